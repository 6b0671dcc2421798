//! A whole relay for tests with a sandbox to deliver to: in this process ([`TestRelay`]) or in a child ([`Process`]).
//!
//! Both read a configuration as an operator would write it, in a folder of their own and on free ports. `${SANDBOX}` in it is the
//! sandbox's URL. Nothing here waits for a fixed time only.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accoil_relay::config::{Config, Environment};
use accoil_relay::outbox::StoredReject;
use accoil_relay::run::Relay;
use accoil_relay::sandbox::{Options, Received, Sandbox};
use bytes::Bytes;
use http::Method;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::http::{Answer, send};
use crate::sandbox::RunningSandbox;

/// One source of each kind and one destination: what most tests need.
pub(crate) const USUAL: &str = r#"
[[sources]]
name = "web"
kind = "segment"
write_key = "web-key"

[[sources]]
name = "product"
kind = "amplitude"
write_key = "product-key"

[[destinations]]
name = "accoil"
api_key = "accoil-key"
base_url = "${SANDBOX}"
"#;

/// A safety limit: what never happens fails the test instead of blocking it.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(30);
const FILE: &str = "accoil-relay.toml";

/// Returns variables for everything that a test does not care about: free ports, files in the folder.
pub(crate) fn test_variables(directory: &Path, sandbox: &str) -> Vec<(&'static str, String)> {
    vec![
        ("SANDBOX", sandbox.to_owned()),
        ("ACCOIL_RELAY_SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("ACCOIL_RELAY_ADMIN__LISTEN", "127.0.0.1:0".to_owned()),
        ("ACCOIL_RELAY_OUTBOX__URL", format!("sqlite:{}", directory.join("relay.db").display())),
    ]
}

/// A relay and a sandbox in this process.
pub(crate) struct TestRelay {
    pub(crate) relay: Relay,
    pub(crate) sandbox: Sandbox,
    pub(crate) config: Config,
    served: RunningSandbox,
    directory: TempDir,
}

impl TestRelay {
    /// Starts with this configuration file, which must be valid.
    pub(crate) async fn start(toml: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), toml).unwrap();
        let served = RunningSandbox::start(Options::default()).await;
        let test_variables = test_variables(directory.path(), &served.url);
        let environment = Environment::new(directory.path(), test_variables);
        let config = Config::load(None, &environment).unwrap_or_else(|faults| panic!("{faults}"));
        let relay = Relay::start(&config).await.unwrap();
        Self { relay, sandbox: served.sandbox.clone(), config, served, directory }
    }

    pub(crate) async fn usual() -> Self {
        Self::start(USUAL).await
    }

    /// Stops in order and starts again on the same outbox; the sandbox keeps running.
    pub(crate) async fn restart(self) -> Self {
        let Self { relay, sandbox, config, served, directory } = self;
        assert!(relay.stop().await, "stopped in time");
        let relay = Relay::start(&config).await.unwrap();
        Self { relay, sandbox, config, served, directory }
    }

    pub(crate) async fn stop(self) {
        assert!(self.relay.stop().await, "stopped in time");
    }

    /// Stops and returns the folder with the files that it leaves.
    pub(crate) async fn stop_and_keep(self) -> TempDir {
        assert!(self.relay.stop().await, "stopped in time");
        self.directory
    }

    pub(crate) fn folder(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.relay.address)
    }

    pub(crate) fn sandbox_url(&self) -> &str {
        &self.served.url
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        send(Method::POST, &self.url(path), headers, body).await
    }

    /// Waits for this number of calls at the sandbox and returns them; fails if fewer or more arrive.
    pub(crate) async fn calls(&self, count: u64) -> Vec<Received> {
        let reached = self.sandbox.wait_for(count, TEST_TIMEOUT).await;
        let calls = self.sandbox.received();
        assert!(reached && calls.len() as u64 == count, "{count} calls expected: {calls:#?}");
        calls
    }

    /// Returns all rejects, newest first.
    pub(crate) async fn rejects(&self) -> Vec<StoredReject> {
        crate::outbox::newest_rejects(&self.relay.outbox, 10_000).await
    }
}

/// Returns the built binary in an environment without any configuration.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_accoil-relay"));
    command.env_clear();
    command
}

/// `serve` as a child process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    address: String,
    admin_address: String,
    log: Arc<Mutex<String>>,
    /// Notified when the log has ended.
    logged: Arc<tokio::sync::Notify>,
}

impl Process {
    /// Writes the configuration into the folder, starts, and returns when `/readyz` answers 200.
    pub(crate) async fn start(directory: &Path, toml: &str, sandbox: &str) -> Self {
        let mut serve = command();
        serve.arg("serve");
        Self::start_as(serve, directory, toml, sandbox).await
    }

    /// Starts by a command of the test's own that runs `serve` in the end.
    pub(crate) async fn start_as(mut serve: Command, directory: &Path, toml: &str, sandbox: &str) -> Self {
        std::fs::write(directory.join(FILE), toml).unwrap();
        let mut child = serve
            .current_dir(directory)
            .envs(test_variables(directory, sandbox))
            .env("ACCOIL_RELAY_LOG__FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (found, addresses) = oneshot::channel();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, kept) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let logged = Arc::new(tokio::sync::Notify::new());
        let ended = Arc::clone(&logged);
        std::thread::spawn(move || {
            read_log(BufReader::new(stderr), &kept, found);
            ended.notify_one();
        });
        let (address, admin_address) = (String::new(), String::new());
        // From here on it is killed whatever happens.
        let mut process = Self { child, address, admin_address, log, logged };
        let addresses = tokio::time::timeout(TEST_TIMEOUT, addresses).await;
        let addresses = addresses.unwrap_or_else(|_| panic!("it does not start: {}", process.log()));
        [process.address, process.admin_address] =
            addresses.unwrap_or_else(|_| panic!("it ended: {}", process.log()));
        let began = Instant::now();
        // A cluster may not have answered yet.
        while send(Method::GET, &process.url("/readyz"), &[], "").await.status != 200 {
            assert!(began.elapsed() < TEST_TIMEOUT, "it is not ready: {}", process.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        process
    }

    /// The address of the public listener.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin_address)
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        send(Method::POST, &self.url(path), headers, body).await
    }

    /// Sends SIGKILL: the process ends immediately and loses what is in memory.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM: asks the process to stop in order.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    pub(crate) fn signal(&self, name: &str) {
        let script = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").arg("-c").arg(script).status().unwrap().success());
    }

    /// Limits the size of every file that the process writes from now on.
    pub(crate) fn limit_files(&self, bytes: u64) {
        let id = rustix::process::Pid::from_child(&self.child);
        let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
        rustix::process::prlimit(Some(id), rustix::process::Resource::Fsize, limit).unwrap();
    }

    /// Waits until the process has ended by itself.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        self.wait().await
    }

    /// Waits until the process has ended by itself, for tests that still need it.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < TEST_TIMEOUT, "it does not end: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the process has ended by itself and returns its log.
    pub(crate) async fn ended_with_log(self) -> String {
        let (log, done) = (Arc::clone(&self.log), Arc::clone(&self.logged));
        self.ended().await;
        tokio::time::timeout(TEST_TIMEOUT, done.notified()).await.expect("its log ends with it");
        log.lock().unwrap().clone()
    }

    /// Returns the most memory that it ever used, in bytes, as the system counted it.
    pub(crate) fn most_memory(&self) -> u64 {
        self.system_status("VmHWM").trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// Returns a field of `/proc/PID/status`.
    pub(crate) fn system_status(&self, field: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        value.unwrap().trim().to_owned()
    }

    /// Returns its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps the log, and sends the addresses of the public and the admin listener as soon as they are logged.
fn read_log(lines: impl BufRead, log: &Mutex<String>, found: oneshot::Sender<[String; 2]>) {
    let mut found = Some(found);
    for line in lines.lines().map_while(Result::ok) {
        let entry: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        log.lock().unwrap().push_str(&(line + "\n"));
        if let (Some(address), Some(admin)) =
            (entry["server.listen"].as_str(), entry["admin.listen"].as_str())
            && let Some(found) = found.take()
        {
            // If the test has failed meanwhile, nobody receives this.
            let _ = found.send([address.to_owned(), admin.to_owned()]);
        }
    }
}
