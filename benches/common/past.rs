//! An invented past for benchmarks of the history: feeds it like a relay, as fast as it takes facts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use accoil_relay::accoil::Request;
use accoil_relay::decode::Form;
use accoil_relay::event_id::EventId;
use accoil_relay::facts::{
    Accepted, Facts, LeftOutCounts, Outcome, OutcomeKind, Outcomes, Received, Submission, Title,
};
use accoil_relay::history::{self, Options, Payloads, Redactor};
use accoil_relay::tasks::Tasks;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

const EVENT: &str = include_str!("../track.json");
/// The message id of that event.
const MESSAGE_ID: &str = "ajs-next-1768473060123-5a2b1c3d-4e5f-6071-8293";
const BATCH: u64 = 100;
/// The most events on their way to the history.
const AHEAD: u64 = 1_000;
/// Events per second of the invented past.
const RATE: u64 = 2_000;

pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join("relay.db.history")
}

/// Records this many events, each with `noise` bytes that cannot be packed, and stops. Returns the CPU time of the history's thread.
pub(crate) async fn record(folder: &Path, events: u64, payload_rate: u64, noise: usize) -> Duration {
    let (facts, inbox) = Facts::channel();
    let tasks = Tasks::new(&CancellationToken::new());
    let options = Options {
        path: path(folder),
        keep: Duration::from_secs(365 * 24 * 3600),
        max_bytes: 16 << 30,
        payload_rate,
        payloads: Payloads::Full,
        archive: None,
        redactor: Redactor::default(),
        hash_users: false,
    };
    let reader = history::start(options, inbox, Box::new(|_| {}), &tasks).unwrap();
    let (thread, before) = thread_time();
    let mut spent = Duration::ZERO;
    for first in (0..events).step_by(usize::try_from(BATCH).unwrap_or(usize::MAX)) {
        send(&facts, first, noise);
        if first % AHEAD == 0 {
            while reader.state().unwrap().events + AHEAD < first {
                std::thread::sleep(Duration::from_millis(1));
            }
            spent = time_of(&thread);
        }
    }
    while reader.state().unwrap().events < events {
        std::thread::sleep(Duration::from_millis(5));
        spent = time_of(&thread);
    }
    assert_eq!(facts.left_out(), LeftOutCounts::default());
    assert!(tasks.stop(Duration::from_secs(60)).await);
    spent.saturating_sub(before)
}

fn at(number: u64) -> DateTime<Utc> {
    let begin = Utc::now().timestamp() / 3600 * 3600 - 30 * 24 * 3600;
    DateTime::from_timestamp_millis(begin * 1000 + i64::try_from(number * 1000 / RATE).unwrap()).unwrap()
}

pub(crate) fn id(number: u64) -> EventId {
    EventId((at(number).timestamp_millis().cast_unsigned() << 22) | (number & 0xffff))
}

pub(crate) fn user(number: u64) -> String {
    format!("user-{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)
}

fn send(facts: &Facts, first: u64, noise: usize) {
    let destination: Arc<str> = Arc::from("accoil");
    let mapping: Arc<str> = Arc::from("Track Calls");
    let accepted = (first..first + BATCH).map(|number| {
        let (user, message_id) = (user(number), format!("message-{number:012x}"));
        let original = EVENT.replacen("user-0123456789", &user, 1).replacen(MESSAGE_ID, &message_id, 1);
        let original = original.replacen('{', &format!("{{\"noise\":\"{}\",", noise_of(number, noise)), 1);
        let request = Request {
            destination: Arc::clone(&destination),
            mapping: Arc::clone(&mapping),
            action: "track",
            path: "/v2/track",
            user,
            fingerprints: Vec::new(),
            warnings: String::new(),
            body: format!(r#"{{"event":"Report Viewed","userId":"{message_id}","timestamp":"2026-11-26T10:00:00.000Z"}}"#).into(),
        };
        Accepted {
            event: id(number),
            original: Bytes::from(original),
            message_id: Some(message_id),
            requests: vec![request],
            warned: Vec::new(),
            title: Some(Title::new("track", ["Signed Up", "", ""])),
        }
    });
    let accepted: Vec<_> = accepted.collect();
    let received_at = at(first);
    let outcomes = accepted.iter().map(|event| Outcome {
        event: event.event,
        request: 0,
        attempt: 1,
        kind: OutcomeKind::Delivered,
        reason: None,
        status: 202,
        took_us: 1_200,
        at: received_at,
        text: Bytes::new(),
    });
    let outcomes = Outcomes { destination: Arc::clone(&destination), outcomes: outcomes.collect() };
    let submission = Submission {
        source: Arc::from("web"),
        form: Form::SegmentBatch,
        received_at,
        deduplication_window: Duration::ZERO,
        accepted,
        rejects: Vec::new(),
        skipped: Vec::new(),
        envelope: None,
        mappings: 1,
    };
    facts.received(&Received::new(&submission));
    facts.outcomes(&outcomes);
}

/// The file with the CPU time of the history's thread, and that time. Waits until the thread has its name.
fn thread_time() -> (PathBuf, Duration) {
    loop {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let named = |path: &PathBuf| {
            std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "history")
        };
        if let Some(thread) = threads.map(|thread| thread.unwrap().path()).find(named) {
            let thread = thread.join("schedstat");
            let time = time_of(&thread);
            return (thread, time);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn time_of(thread: &Path) -> Duration {
    let text = std::fs::read_to_string(thread).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Letters that look random, two for each byte.
fn noise_of(number: u64, bytes: usize) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        format!("{state:016x}")
    };
    (0..bytes.div_ceil(8)).map(|_| next()).collect()
}
