//! The two syncs through the real binary, against a sandbox in this process: what they write, and what they never do.

mod answers;
mod dry_run;
mod kills;
mod odd;
mod rate;
mod rules;
mod schedule;
mod through_relay;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use accoil_relay::sandbox::{Fault, Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

use crate::relay::{TEST_TIMEOUT, command, test_variables};
use crate::sandbox::RunningSandbox;

const TO_ACCOIL: &str = "vitally-to-accoil";
const TO_VITALLY: &str = "accoil-to-vitally";

/// Configures both systems. A test appends its own text after a complete section.
const BOTH: &str = r#"
[[destinations]]
name = "accoil"
api_key = "accoil-key"
base_url = "${SANDBOX}"
mrr_unit = "dollars"

[deliver]
retry_initial = "20ms"
retry_max = "100ms"

[accounts]
token = "accoil_token"
workspace_id = "13"
base_url = "${SANDBOX}"

[vitally]
secret = "vitally-secret"
base_url = "${SANDBOX}"
"#;

/// A folder with a configuration and an outbox, and the systems that the sync talks to.
struct Place {
    folder: TempDir,
    served: RunningSandbox,
}

/// The exit code and output of a command.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    /// stdout: one JSON object per line.
    lines: Vec<Value>,
    stderr: String,
}

impl Place {
    async fn new(options: Options, toml: &str) -> Self {
        let place =
            Self { folder: tempfile::tempdir().unwrap(), served: RunningSandbox::start(options).await };
        place.configure(toml);
        place
    }

    /// The usual twelve companies.
    async fn usual() -> Self {
        Self::new(Options::default(), BOTH).await
    }

    fn configure(&self, toml: &str) {
        std::fs::write(self.folder().join("accoil-relay.toml"), toml).unwrap();
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn sandbox(&self) -> &Sandbox {
        &self.served.sandbox
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut sync = command();
        sync.arg("sync").args(arguments).current_dir(self.folder());
        sync.envs(test_variables(self.folder(), &self.served.url));
        sync
    }

    /// Runs `sync` to its end.
    async fn sync(&self, arguments: &[&str]) -> Run {
        run(self.command(arguments)).await
    }

    /// Runs it; it must exit with 0. Returns its summary.
    async fn synced(&self, arguments: &[&str]) -> Value {
        let run = self.sync(arguments).await;
        assert_eq!(run.code, Some(0), "{run:#?}");
        run.summary().clone()
    }

    /// Starts `sync` on its own in the background; its output is not read.
    fn start(&self, direction: &str) -> Child {
        self.command(&[direction]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Returns the bodies of the group calls that Accoil accepted, by account, in order.
    fn groups(&self) -> BTreeMap<String, Vec<Value>> {
        let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for call in self.sandbox().received() {
            assert_eq!((call.path.as_str(), call.problems.as_slice()), ("/v2/group", &[][..]), "{call:?}");
            let body = serde_json::to_value(&call.body).unwrap();
            groups.entry(body["groupId"].as_str().unwrap().to_owned()).or_default().push(body);
        }
        groups
    }

    /// Returns the bodies of the writes to Vitally by Vitally's id, in order. There must be only updates.
    fn writes(&self) -> BTreeMap<String, Vec<Value>> {
        let mut writes: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for write in self.sandbox().vitally().writes() {
            assert_eq!(write.method, "PUT", "{write:?}");
            writes.entry(write.id).or_default().push(write.body);
        }
        writes
    }

    fn fault(&self, fault: Fault) {
        self.sandbox().faults().add(fault).unwrap();
    }

    /// Returns the present Vitally account with this externalId.
    fn vitally(&self, external: &str) -> Value {
        let accounts = self.sandbox().vitally().accounts();
        accounts.into_iter().find(|account| account["externalId"] == external).unwrap()
    }

    /// Changes a Vitally account as its owner would, not through the API.
    fn change_vitally(&self, external: &str, change: impl FnOnce(&mut Value)) {
        let mut account = self.vitally(external);
        change(&mut account);
        assert!(self.sandbox().vitally().set(account));
    }

    /// Changes an Accoil account by its `tracking_id`.
    fn change_accoil(&self, tracking_id: &str, change: impl FnOnce(&mut Value)) {
        let accounts = self.sandbox().accounts().list();
        let mut account = accounts.into_iter().find(|one| one["tracking_id"] == tracking_id).unwrap();
        change(&mut account);
        assert!(self.sandbox().accounts().set(account));
    }
}

impl Run {
    /// Returns the last line.
    fn summary(&self) -> &Value {
        let summary = self.lines.last().and_then(|line| line.get("summary"));
        summary.unwrap_or_else(|| panic!("there is no summary: {self:#?}"))
    }

    fn changes(&self) -> Vec<&Value> {
        self.lines.iter().filter_map(|line| line.get("change")).collect()
    }
}

/// Runs a command and kills it if it does not end.
async fn run(mut command: Command) -> Run {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (stdout, stderr) = (read(stdout), read(stderr));
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() && start.elapsed() < TEST_TIMEOUT {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // This does nothing if it has ended.
    child.kill().unwrap();
    let code = child.wait().unwrap().code();
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    assert!(code.is_some(), "it does not end: {stdout} {stderr}");
    let lines = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Run { code, lines, stderr }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).unwrap();
        text
    })
}

/// Returns how many accounts were written, unchanged, resumed, unknown, skipped, failed.
fn counts(summary: &Value) -> [u64; 6] {
    let list = |name: &str| summary[name].as_array().unwrap().len() as u64;
    let number = |name: &str| summary[name].as_u64().unwrap();
    [
        number("written"),
        number("unchanged"),
        number("resumed"),
        list("unknown"),
        list("skipped"),
        list("failed"),
    ]
}

/// Returns the reasons in one of the summary's lists, by the account's externalId or name.
fn reasons<'a>(summary: &'a Value, list: &str) -> Vec<(&'a str, &'a str)> {
    let named = |one: &'a Value| one["external_id"].as_str().or(one["name"].as_str()).unwrap_or_default();
    let list = summary[list].as_array().unwrap().iter();
    list.map(|one| (named(one), one["reason"].as_str().unwrap_or_default())).collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < TEST_TIMEOUT, "{what}: it does not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
