//! A relay is killed three times during a replay: each call is made once more, and only calls that the outbox still had as waiting at a
//! kill may be repeated.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use accoil_relay::outbox::{Archive, Filter, JobState, Kind, NewJob, Outbox, Settlement, WaitingFilter};
use accoil_relay::reasons::Reason;
use accoil_relay::replay::{Counted, How, Order, Select};
use accoil_relay::sandbox::{Options, Sandbox};
use http::Method;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::crash::number_from_environment;
use crate::http::send_within;
use crate::outbox::{event, options, request, submission};
use crate::past::archive;
use crate::relay::{Process, TEST_TIMEOUT, USUAL};
use crate::replays::order;
use crate::sandbox::RunningSandbox;

const KEY: (&str, &str) = ("x-api-key", "web-key");
/// Events per second at most.
const RATE: usize = 10_000;

/// By user, at how many kills the outbox had a call of theirs as waiting. The relay cannot know whether it was delivered, so
/// each of these kills may repeat it.
#[derive(Debug, Default)]
pub(crate) struct MayRepeat(HashMap<String, usize>);

impl MayRepeat {
    /// Reads the outbox of a relay that was killed just now.
    pub(crate) fn add(&mut self, folder: &Path) {
        let archive = Archive::open(&folder.join("relay.db")).unwrap();
        let mut after = None;
        loop {
            let page = archive.waiting(&WaitingFilter::default(), after, 1000).unwrap();
            for call in &page.calls {
                *self.0.entry(call.job.user.as_str().to_owned()).or_default() += 1;
            }
            after = page.next;
            if after.is_none() {
                return;
            }
        }
    }

    /// Fails if a call was repeated although the outbox knew that it was delivered. Returns the number of repeats.
    pub(crate) fn check(&self, arrived: &HashMap<String, usize>, wanted: &HashMap<String, usize>) -> usize {
        let mut repeated = 0;
        for (user, times) in arrived {
            let more = times - wanted[user];
            let most = self.0.get(user).copied().unwrap_or(0);
            assert!(more <= most, "{user}: {times} calls, {} wanted, {most} waited at a kill", wanted[user]);
            repeated += more;
        }
        repeated
    }
}

/// Waits until each of these users' calls has arrived as often as wanted. Returns how often they arrived.
pub(crate) async fn arrived(
    sandbox: &Sandbox,
    wanted: &HashMap<String, usize>,
    timeout: Duration,
) -> Result<HashMap<String, usize>, String> {
    let deadline = Instant::now() + timeout;
    loop {
        let begin = Instant::now();
        let mut times: HashMap<String, usize> = HashMap::new();
        for call in sandbox.received() {
            let user = call.body.get("userId").and_then(|user| user.as_str()).unwrap();
            *times.entry(user.to_owned()).or_default() += 1;
        }
        let missing = wanted.iter().filter(|(user, wanted)| times.get(*user) < Some(*wanted)).count();
        if missing == 0 {
            return Ok(times);
        }
        if begin > deadline {
            return Err(format!("the calls of {missing} users are missing"));
        }
        tokio::time::sleep(Duration::from_millis(20) + begin.elapsed()).await;
    }
}

/// `LETTERS` in the environment sets another number of dead letters.
#[tokio::test(flavor = "multi_thread")]
async fn of_dead_letters() {
    let letters = number_from_environment("LETTERS", 3000);
    let served = RunningSandbox::start(Options { keep: letters * 2, ..Options::default() }).await;
    let folder = tempdir().unwrap();
    let outbox = Outbox::open(&options(folder.path())).unwrap();
    let body = |user: &str| json!({"userId": user, "event": "E"}).to_string();
    let users: Vec<String> = (0..letters).map(|number| format!("u{number}")).collect();
    let calls: Vec<_> =
        users.iter().map(|user| event(None, vec![request("accoil", user, body(user))])).collect();
    outbox.accept(submission(calls, Vec::new())).await.unwrap();
    let (jobs, _) = crate::outbox::jobs(&outbox, "accoil").await;
    let dead =
        |job| Settlement::Dead { job: Box::new(job), attempts: Vec::new(), reason: Reason::DeadExhausted };
    crate::outbox::settle(&outbox, jobs.into_iter().map(dead).collect());
    outbox.flush().await.unwrap();
    let up_to = outbox.newest_number().await.unwrap();
    let all = Select::failures(Kind::DeadLetter, Filter::default());
    let order = order(all, How::AsSent, Counted { count: letters as u64, up_to });
    let order = Order { rate: u32::try_from(RATE).unwrap(), ..order };
    let text = serde_json::to_string(&order).unwrap();
    let job = NewJob { kind: "replay", order: text, up_to, expect: letters as u64, by: "test".to_owned() };
    let id = outbox.create_job(job).await.unwrap();
    outbox.close().await;
    let relay = Process::start(folder.path(), USUAL, &served.url).await;
    let wanted = users.into_iter().map(|user| (user, 1)).collect();
    let end = JobEnd { id, sent: letters as u64, failed: 0 };
    three_kills(relay, folder.path(), USUAL, &served, &wanted, &end).await;
}

/// Half of the events are in the history: they were delivered once before, and each tenth was skipped. The other half is in the
/// archive. `EVENTS` in the environment sets another number.
#[tokio::test(flavor = "multi_thread")]
async fn of_past_events() {
    let events = number_from_environment("EVENTS", 4000);
    let half = events / 2;
    let served = RunningSandbox::start(Options { keep: events * 3, ..Options::default() }).await;
    let folder = tempdir().unwrap();
    let kept = folder.path().join("archive");
    fs::create_dir(&kept).unwrap();
    let archived: Vec<String> = (0..half).map(|number| format!("a{number}")).collect();
    archive(&kept, "2026-03-01T10", &archived.chunks(1000).collect::<Vec<_>>());
    let toml = format!("{USUAL}[history]\npayload_rate = 1073741824\narchive = '{}'\n", kept.display());
    let relay = Process::start(folder.path(), &toml, &served.url).await;
    let is_skipped = |number: usize| number.is_multiple_of(10);
    for first in (0..half).step_by(500) {
        let event = |number: usize| {
            json!({"type": "track", "event": "E", "userId": format!("u{number}"), "messageId": number.to_string(),
                "timestamp": "2026-01-02T03:04:05Z", "integrations": {"All": !is_skipped(number)}})
        };
        let batch: Vec<Value> = (first..half.min(first + 500)).map(event).collect();
        let answer = relay.post("/v1/batch", &[KEY], json!({ "batch": batch }).to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let delivered: HashMap<String, usize> =
        (0..half).filter(|number| !is_skipped(*number)).map(|number| (format!("u{number}"), 1)).collect();
    arrived(&served.sandbox, &delivered, timeout(events)).await.unwrap();
    // What is recorded of them is on the disk when the relay has stopped.
    relay.terminate();
    assert!(relay.ended().await.success());

    let relay = Process::start(folder.path(), &toml, &served.url).await;
    let url = relay.admin_url("/api/replays");
    let mut request = json!({"select": {"kind": "event", "filter": {"name": "E"}, "archive": true}, "how": "mappings",
        "rate": RATE.min(events / 2), "dry_run": true});
    let deadline = Instant::now() + timeout(events);
    let dry = loop {
        let began = Instant::now();
        let dry = send_within(timeout(events), Method::POST, &url, request.to_string()).await.json();
        if dry["expect"] == half * 2 {
            println!("a dry run of {events} past events in {:?}", began.elapsed());
            break dry;
        }
        assert!(Instant::now() < deadline, "{dry}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let sums = ["same", "different", "refused", "gone", "not_kept", "redacted"].map(|sum| dry[sum].as_u64());
    let skipped = half - delivered.len();
    assert_eq!(sums, [delivered.len(), half, skipped, 0, 0, 0].map(|sum| Some(sum as u64)), "{dry}");
    request["dry_run"] = false.into();
    (request["expect"], request["up_to"]) = (dry["expect"].clone(), dry["up_to"].clone());
    let job = send_within(timeout(events), Method::POST, &url, request.to_string()).await;
    assert_eq!(job.status, 202, "{job:?}");
    let mut wanted: HashMap<String, usize> = delivered.into_keys().map(|user| (user, 2)).collect();
    let sent = wanted.len() + half;
    wanted.extend(archived.into_iter().map(|user| (user, 1)));
    let id = job.json()["id"].as_i64().unwrap();
    let end = JobEnd { id, sent: sent as u64, failed: skipped as u64 };
    three_kills(relay, folder.path(), &toml, &served, &wanted, &end).await;
}

fn timeout(events: usize) -> Duration {
    TEST_TIMEOUT * u32::try_from(1 + events / 10_000).unwrap()
}

/// What a job must have done in the end.
struct JobEnd {
    id: i64,
    sent: u64,
    failed: u64,
}

/// Kills the relay three times during the job, and checks the calls and the job after its end.
async fn three_kills(
    mut relay: Process,
    folder: &Path,
    toml: &str,
    served: &RunningSandbox,
    wanted: &HashMap<String, usize>,
    job: &JobEnd,
) {
    let (calls, timeout) = (wanted.values().sum::<usize>() as u64, timeout(wanted.len()));
    let before = calls - job.sent;
    let mut may_repeat = MayRepeat::default();
    let began = Instant::now();
    for part in 1..=3 {
        assert!(served.sandbox.wait_for(before + part * job.sent / 5, timeout).await, "{}", relay.log());
        relay.kill();
        may_repeat.add(folder);
        relay = Process::start(folder, toml, &served.url).await;
    }
    let arrived = arrived(&served.sandbox, wanted, timeout).await;
    let arrived = arrived.unwrap_or_else(|missing| panic!("{missing}: {}", relay.log()));
    // The job ends in a commit of its own, after the commit of its last calls.
    let url = relay.admin_url(&format!("/api/replays/{}", job.id));
    let deadline = Instant::now() + timeout;
    while send_within(timeout, Method::GET, &url, String::new()).await.json()["state"] != "done" {
        assert!(Instant::now() < deadline, "the job does not end: {}", relay.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    relay.terminate();
    assert!(relay.ended().await.success());
    let repeated = may_repeat.check(&arrived, wanted);
    println!("{} calls and three kills in {:?}: {repeated} repeated", job.sent, began.elapsed());
    let outbox = Outbox::open(&options(folder)).unwrap();
    let stored = outbox.job(job.id).await.unwrap().unwrap();
    assert_eq!(
        (stored.state, stored.done, stored.failed),
        (JobState::Done, job.sent, job.failed),
        "each once: {stored:?}"
    );
    outbox.close().await;
}
