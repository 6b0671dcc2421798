//! A real relay under load is killed again and again, then the oracle: an answer of 200 is an obligation. Every
//! acknowledged event arrived, each user's in order, and one that came twice was in flight at a kill.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accoil_relay::sandbox::{Fault, Options, Received};
use http::Method;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::http::{send, try_send};
use crate::relay::{PATIENCE, Process, USUAL, command, surroundings};
use crate::sandbox::Served;

const KILLS: usize = 50;
const SENDERS: usize = 6;
/// Of one sender, each in every batch.
const USERS: usize = 5;

fn configuration() -> String {
    format!(
        "{USUAL}concurrency = 8\n[server]\nshutdown_timeout = \"20s\"\n\
         [deliver]\nretry_initial = \"20ms\"\nretry_max = \"100ms\"\n"
    )
}

/// Senders that post batches to whatever relay is up; each waits for its 200 before it goes on.
struct Load {
    url: Arc<Mutex<String>>,
    stop: CancellationToken,
    /// Each yields how many batches were answered 200.
    senders: JoinSet<(usize, usize)>,
}

impl Load {
    fn start(url: String) -> Self {
        let (url, stop) = (Arc::new(Mutex::new(url)), CancellationToken::new());
        let mut senders = JoinSet::new();
        for sender in 0..SENDERS {
            senders.spawn(send_batches(sender, Arc::clone(&url), stop.clone()));
        }
        Self { url, stop, senders }
    }

    fn turn_to(&self, url: String) {
        *self.url.lock().unwrap() = url;
    }

    /// Acknowledged batches by sender.
    async fn finish(self) -> BTreeMap<usize, usize> {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.senders.join_all()).await.unwrap().into_iter().collect()
    }
}

/// A batch that was not answered 200 is sent again as it is, with the same ids, as SDKs do.
async fn send_batches(sender: usize, url: Arc<Mutex<String>>, stop: CancellationToken) -> (usize, usize) {
    let mut acknowledged = 0;
    while !stop.is_cancelled() {
        let events: Vec<_> = (0..USERS)
            .map(|user| {
                let user = format!("{sender}-{user}");
                json!({
                    "type": "track", "userId": user, "event": acknowledged.to_string(),
                    "messageId": format!("{user}-{acknowledged}"), "timestamp": "2026-01-02T03:04:05Z",
                })
            })
            .collect();
        let batch = json!({"batch": events, "writeKey": "web-key"}).to_string();
        loop {
            let target = url.lock().unwrap().clone();
            match try_send(Method::POST, &target, &[], batch.clone()).await {
                Ok(answer) if answer.status == 200 => break,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
        acknowledged += 1;
    }
    (sender, acknowledged)
}

/// What arrived, held against what was acknowledged.
#[derive(Debug, Default)]
struct Verdict {
    acknowledged: usize,
    arrived: usize,
    duplicates: usize,
}

/// `marks`: the sandbox's last sequence at each kill.
fn judge(acknowledged: &BTreeMap<usize, usize>, calls: &[Received], marks: &[u64]) -> Verdict {
    // Of each user: the last number of this run of the relay, and every number's first sequence.
    let mut last: HashMap<(String, usize), usize> = HashMap::new();
    let mut first: HashMap<String, BTreeMap<usize, u64>> = HashMap::new();
    let mut verdict = Verdict::default();
    for call in calls {
        let body = serde_json::to_value(&call.body).unwrap();
        let user = body["userId"].as_str().unwrap().to_owned();
        let number: usize = body["event"].as_str().unwrap().parse().unwrap();
        let run = marks.partition_point(|mark| *mark < call.sequence);
        if let Some(before) = last.insert((user.clone(), run), number) {
            assert!(before < number, "user {user}: {number} came after {before} in one run");
        }
        let numbers = first.entry(user.clone()).or_default();
        verdict.arrived += 1;
        if numbers.contains_key(&number) {
            // It came in an earlier run, as the order within one run shows: so it was in flight at a kill.
            verdict.duplicates += 1;
        } else {
            assert!(
                numbers.last_key_value().is_none_or(|(latest, _)| *latest < number),
                "user {user}: order"
            );
            numbers.insert(number, call.sequence);
        }
    }
    for (sender, batches) in acknowledged {
        for user in 0..USERS {
            let user = format!("{sender}-{user}");
            let arrived = first.get(&user).map_or(0, BTreeMap::len);
            assert_eq!(arrived, *batches, "user {user}: acknowledged events that never arrived");
            verdict.acknowledged += batches;
        }
    }
    verdict
}

/// So many calls, none missing: every batch has one event of each user of its sender.
fn expected(acknowledged: &BTreeMap<usize, usize>) -> usize {
    acknowledged.values().sum::<usize>() * USERS
}

async fn arrived(served: &Served, acknowledged: &BTreeMap<usize, usize>) -> Vec<Received> {
    let start = Instant::now();
    loop {
        let calls = served.sandbox.received();
        let mut distinct: Vec<_> = calls
            .iter()
            .map(|call| {
                let body = serde_json::to_value(&call.body).unwrap();
                (body["userId"].to_string(), body["event"].to_string())
            })
            .collect();
        distinct.sort_unstable();
        distinct.dedup();
        if distinct.len() >= expected(acknowledged) || start.elapsed() > PATIENCE {
            return calls;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn everything() -> Options {
    Options { keep: usize::MAX, ..Options::default() }
}

/// The next of a fixed run of numbers: the same kills every time.
fn next(state: &mut u64, below: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_kills_under_load_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(everything()).await;
    let toml = configuration();
    let mut relay = Process::start(folder.path(), &toml, &served.url).await;
    let load = Load::start(relay.url("/v1/batch"));
    let (mut random, mut marks) = (0x9E37_79B9_7F4A_7C15, Vec::new());
    for _ in 0..KILLS {
        for fault in [
            Fault { status: Some(503), times: next(&mut random, 4) + 1, ..Fault::default() },
            Fault { close: true, times: next(&mut random, 3) + 1, ..Fault::default() },
        ] {
            served.sandbox.faults().add(fault).unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20 + next(&mut random, 180))).await;
        relay.kill();
        // What the sandbox had been sent is counted to the run that sent it.
        tokio::time::sleep(Duration::from_millis(20)).await;
        marks.push(last_sequence(&served));
        relay = Process::start(folder.path(), &toml, &served.url).await;
        load.turn_to(relay.url("/v1/batch"));
    }
    served.sandbox.faults().clear();
    let acknowledged = load.finish().await;
    let calls = arrived(&served, &acknowledged).await;
    let verdict = judge(&acknowledged, &calls, &marks);
    println!(
        "{KILLS} kills: {} events acknowledged, {} calls arrived, 0 lost, {} repeated, all of them in flight at a kill",
        verdict.acknowledged, verdict.arrived, verdict.duplicates
    );
    assert!(verdict.acknowledged > KILLS, "there was load: {verdict:?}");
}

fn last_sequence(served: &Served) -> u64 {
    let last = |calls: Vec<Received>| calls.last().map_or(0, |call| call.sequence);
    last(served.sandbox.received()).max(last(served.sandbox.refused()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_ends_well_within_the_deadline_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(everything()).await;
    let relay = Process::start(folder.path(), &configuration(), &served.url).await;
    let load = Load::start(relay.url("/v1/batch"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    let asked = Instant::now();
    relay.terminate();
    let status = relay.ended().await;
    assert!(status.success() && asked.elapsed() < Duration::from_secs(20), "{status}");
    let mark = last_sequence(&served);
    let relay = Process::start(folder.path(), &configuration(), &served.url).await;
    load.turn_to(relay.url("/v1/batch"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let acknowledged = load.finish().await;
    let verdict = judge(&acknowledged, &arrived(&served, &acknowledged).await, &[mark]);
    assert_eq!(verdict.duplicates, 0, "{verdict:?}");
}

#[tokio::test]
async fn a_second_process_on_the_same_file_refuses_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(Options::default()).await;
    let _first = Process::start(folder.path(), USUAL, &served.url).await;
    let second = tokio::task::spawn_blocking({
        let (folder, url) = (folder.path().to_owned(), served.url.clone());
        move || {
            command().arg("serve").current_dir(&folder).envs(surroundings(&folder, &url)).output().unwrap()
        }
    });
    let second = second.await.unwrap();
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another process has it open"), "{said}");
}

#[tokio::test]
async fn a_damaged_outbox_is_refused_and_moved_aside_only_by_order() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(Options::default()).await;
    std::fs::write(folder.path().join("relay.db"), vec![7; 100_000]).unwrap();
    let mut serve = command();
    serve.args(["serve"]).current_dir(folder.path()).envs(surroundings(folder.path(), &served.url));
    std::fs::write(folder.path().join("accoil-relay.toml"), USUAL).unwrap();
    let refused = tokio::task::spawn_blocking(move || serve.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && said.contains("--recover-outbox"), "{said}");
    assert_eq!(std::fs::metadata(folder.path().join("relay.db")).unwrap().len(), 100_000);

    let mut serve = command();
    serve.args(["serve", "--recover-outbox"]);
    let relay = Process::start_as(serve, folder.path(), USUAL, &served.url).await;
    assert!(relay.log().contains("moved aside"), "{}", relay.log());
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().any(|name| name.to_string_lossy().starts_with("relay.db.corrupt-")));
}

/// A file that may not grow is what a broken disk looks like to SQLite: not full, failed.
#[tokio::test]
async fn after_a_failed_commit_nothing_is_accepted_until_a_restart_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::start(everything()).await;
    // Nothing is delivered before the end, so that the file must grow.
    let away = configuration().replace("${SANDBOX}", "http://127.0.0.1:9");
    let relay = Process::start_as(limited(), folder.path(), &away, &served.url).await;
    let mut acknowledged = 0;
    let refused = loop {
        let event = json!({
            "userId": "0-0", "event": acknowledged.to_string(), "writeKey": "web-key",
            "properties": {"filler": "x".repeat(20_000)}, "timestamp": "2026-01-02T03:04:05Z",
        });
        let answer = relay.post("/v1/track", &[], event.to_string()).await;
        if answer.status != 200 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 1000);
    };
    assert_eq!((refused.status.as_u16(), refused.json()["code"].as_str()), (503, Some("door.failed")));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(send(Method::GET, &relay.url("/readyz"), &[], "").await.status, 503);
    relay.kill();

    let _relay = Process::start(folder.path(), &configuration(), &served.url).await;
    assert!(served.sandbox.wait_for(acknowledged, PATIENCE).await);
    // The last one was refused, and yet may have reached the disk: more than asked is no loss.
    assert!(served.sandbox.total() <= acknowledged + 1);
}

/// `serve` with files of a megabyte at most.
fn limited() -> Command {
    let mut shell = Command::new("sh");
    shell.env_clear().args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$0\" serve"]);
    shell.arg(Path::new(env!("CARGO_BIN_EXE_accoil-relay")));
    shell
}
