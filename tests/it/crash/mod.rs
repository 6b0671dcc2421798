//! A real relay under load is killed many times. Then the oracle checks that every event that was answered with 200 is there.

pub(crate) mod load;
pub(crate) mod oracle;

use std::time::{Duration, Instant};

use accoil_relay::sandbox::{Fault, Options};
use http::Method;
use serde_json::json;
use tempfile::TempDir;

use self::load::{Load, SENDERS, USERS, configuration};
use self::oracle::{Event, OutboxContent, Verdict};
use crate::http::send;
use crate::power::recording::{compile, recorded};
use crate::relay::{Process, TEST_TIMEOUT, USUAL, command, test_variables};
use crate::sandbox::RunningSandbox;

/// `KILLS` in the environment sets another number.
const KILLS: usize = 25;

/// With more waiting calls than this, the senders pause.
const MANY: u64 = 2000;

pub(crate) fn number_from_environment(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |text| text.parse().expect("a number"))
}

pub(crate) fn everything() -> Options {
    Options { keep: usize::MAX, ..Options::default() }
}

/// Returns the next number of a fixed sequence, so that the kills are the same each time.
fn next(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

/// A relay under load, over any number of runs of the process.
struct Trial {
    folder: TempDir,
    served: RunningSandbox,
    relay: Process,
    load: Load,
    /// The number of calls that had arrived at the end of each run of the relay.
    marks: Vec<u64>,
}

impl Trial {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = RunningSandbox::start(everything()).await;
        load::refuse_dead_users(&served);
        let relay = Process::start(folder.path(), &configuration(), &served.url).await;
        let load = Load::start(relay.url("/v1/batch"), |_, _| ());
        Self { folder, served, relay, load, marks: Vec::new() }
    }

    /// Starts the relay again after it has ended.
    async fn restart(&mut self) {
        self.served.change_address().await;
        self.marks.push(self.served.sandbox.total());
        self.relay = Process::start(self.folder.path(), &configuration(), &self.served.url).await;
        self.load.turn_to(self.relay.url("/v1/batch"));
    }

    /// Adds faults if there are none, fewer in a row than would make the relay pause its deliveries.
    fn add_faults(&self, random: &mut u64) {
        if self.served.sandbox.faults().list().len() > SENDERS {
            return;
        }
        for fault in [
            Fault { status: Some(503), times: next(random, 2) + 1, ..Fault::default() },
            Fault { close: true, times: next(random, 2) + 1, ..Fault::default() },
        ] {
            self.served.sandbox.faults().add(fault).unwrap();
        }
    }

    /// Pauses the load while many calls wait, so that a test on a slow machine does not end with all of them.
    fn hold_back(&self) {
        let sent = (self.load.batches() * USERS) as u64;
        self.load.pause(sent > self.served.sandbox.total() + MANY);
    }

    /// Ends the load, waits until no call waits, and judges.
    async fn verdict(self) -> Verdict {
        let acknowledged = self.load.finish().await;
        let kept = OutboxContent::settled(self.folder.path()).await;
        let calls: Vec<_> = (1_u64..)
            .zip(self.served.sandbox.received())
            .map(|(count, call)| {
                let run = self.marks.partition_point(|mark| *mark < count);
                (run, Event::of_call(&call))
            })
            .collect();
        oracle::judge(&acknowledged, &calls, &kept)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_load_lose_nothing() {
    let kills = number_from_environment("KILLS", KILLS);
    let mut trial = Trial::start().await;
    let (mut random, mut terminated, mut reloads) = (0x9E37_79B9_7F4A_7C15, 0, 0);
    for _ in 0..kills {
        trial.add_faults(&mut random);
        trial.hold_back();
        tokio::time::sleep(Duration::from_millis(20 + next(&mut random, 180))).await;
        if next(&mut random, 3) == 0 {
            trial.relay.signal("HUP");
            reloads += 1;
            tokio::time::sleep(Duration::from_millis(next(&mut random, 30))).await;
        }
        if next(&mut random, 4) == 0 {
            trial.relay.terminate();
            terminated += 1;
            tokio::time::sleep(Duration::from_millis(next(&mut random, 60))).await;
        }
        trial.relay.signal("KILL");
        trial.relay.wait().await;
        trial.restart().await;
    }
    let verdict = trial.verdict().await;
    println!(
        "{kills} kills, {terminated} of them after SIGTERM, {reloads} reloads: {} events acknowledged, {} calls arrived, \
         {} dead letters, {} rejects; {} calls repeated; faults: {}",
        verdict.acknowledged,
        verdict.arrived,
        verdict.dead_letters,
        verdict.rejects,
        verdict.repeated,
        verdict.faults.len()
    );
    assert_eq!(verdict.faults, [""; 0]);
    assert!(verdict.acknowledged > kills && verdict.dead_letters > 0 && verdict.rejects > 0, "{verdict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_ends_well_within_the_deadline_and_repeats_nothing() {
    let mut trial = Trial::start().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    trial.relay.terminate();
    let status = trial.relay.wait().await;
    assert!(status.success() && asked.elapsed() < Duration::from_secs(20), "{status}");
    trial.restart().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let verdict = trial.verdict().await;
    assert_eq!((verdict.repeated, &verdict.faults), (0, &Vec::new()), "{verdict:?}");
}

#[tokio::test]
async fn a_second_process_on_the_same_file_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let served = RunningSandbox::start(Options::default()).await;
    let _first = Process::start(folder.path(), USUAL, &served.url).await;
    let mut second = command();
    second.arg("serve").current_dir(&folder).envs(test_variables(folder.path(), &served.url));
    let second = crate::child::output(second).await;
    let stderr = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("another process has it open"), "{stderr}");
}

#[tokio::test]
async fn a_damaged_outbox_is_refused_and_moved_aside_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let served = RunningSandbox::start(Options::default()).await;
    std::fs::write(folder.path().join("relay.db"), vec![7; 100_000]).unwrap();
    let mut serve = command();
    serve.args(["serve"]).current_dir(folder.path()).envs(test_variables(folder.path(), &served.url));
    std::fs::write(folder.path().join("accoil-relay.toml"), USUAL).unwrap();
    let refused = crate::child::output(serve).await;
    let stderr = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && stderr.contains("--recover-outbox"), "{stderr}");
    assert_eq!(std::fs::metadata(folder.path().join("relay.db")).unwrap().len(), 100_000);

    let mut serve = command();
    serve.args(["serve", "--recover-outbox"]);
    let relay = Process::start_as(serve, folder.path(), USUAL, &served.url).await;
    assert!(relay.log().contains("moved aside"), "{}", relay.log());
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name.to_string_lossy().starts_with("relay.db.corrupt-")));
}

#[tokio::test]
async fn after_a_failed_commit_nothing_is_accepted_until_a_restart_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let served = RunningSandbox::start(everything()).await;
    let library = compile(folder.path());
    let broken = folder.path().join("broken");
    let mut serve = recorded(&library, &folder.path().canonicalize().unwrap(), &folder.path().join("record"));
    serve.env("RECORDER_FAIL", &broken);
    // Nothing is delivered before the disk breaks.
    let away = configuration().replace("${SANDBOX}", "http://127.0.0.1:9");
    let relay = Process::start_as(serve, folder.path(), &away, &served.url).await;
    let mut acknowledged = 0;
    let refused = loop {
        let event = json!({
            "userId": "0-0", "event": acknowledged.to_string(), "writeKey": "web-key",
            "timestamp": "2026-01-02T03:04:05Z",
        });
        let answer = relay.post("/v1/track", &[], event.to_string()).await;
        if answer.status != 200 {
            break answer;
        }
        acknowledged += 1;
        match acknowledged {
            ..10 => {}
            10 => std::fs::write(&broken, "").unwrap(),
            _ => panic!("an event was accepted that cannot be stored"),
        }
    };
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (503, Some("door.failed")));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(send(Method::GET, &relay.url("/readyz"), &[], "").await.status, 503);
    relay.kill();

    let _relay = Process::start(folder.path(), &configuration(), &served.url).await;
    assert!(served.sandbox.wait_for(acknowledged, TEST_TIMEOUT).await);
    // The refused event may have reached the disk nevertheless.
    assert!(served.sandbox.total() <= acknowledged + 1);
}
