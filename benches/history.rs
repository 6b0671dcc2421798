//! Measures how much CPU time and disk the history needs for an event, and how long a search by an exact id takes among many events.
//!
//! `cargo bench --bench history -- [--events 10000000] [--payloads 200000]`. It feeds the history like a relay, as fast as the history
//! takes facts, and reads the CPU time of its thread. The file is in the temporary folder.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "its figures are its output")]
#![expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use accoil_relay::accoil::Request;
use accoil_relay::decode::Form;
use accoil_relay::event_id::EventId;
use accoil_relay::facts::{
    Accepted, Facts, LeftOutCounts, Outcome, OutcomeKind, Outcomes, Received, Submission,
};
use accoil_relay::history::{self, Filter, Options, Payloads, Reader, Redactor, Show};
use accoil_relay::tasks::Tasks;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

const EVENT: &str = include_str!("track.json");
/// The message id of that event.
const MESSAGE_ID: &str = "ajs-next-1768473060123-5a2b1c3d-4e5f-6071-8293";
const BATCH: u64 = 100;
/// The most events on their way to the history.
const AHEAD: u64 = 1_000;
/// Events per second of the invented past.
const RATE: u64 = 2_000;

fn main() {
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let (mut events, mut payloads) = (10_000_000, 200_000);
    while let (Some(name), Some(value)) = (given.next(), given.next()) {
        match name.as_str() {
            "--events" => events = value.parse().unwrap(),
            "--payloads" => payloads = value.parse().unwrap(),
            _ => panic!("unknown option {name}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (what, count, rate) in [("lines", payloads, 0), ("lines and payloads", payloads, u64::MAX)] {
        let folder = tempfile::tempdir().unwrap();
        let spent = runtime.block_on(record(folder.path(), count, rate));
        let bytes = std::fs::metadata(path(folder.path())).unwrap().len();
        println!(
            "{what}: {:.2} us of the history's thread and {:.0} bytes of disk an event",
            spent.as_secs_f64() * 1e6 / count as f64,
            bytes as f64 / count as f64
        );
    }
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(record(folder.path(), events, 0));
    search(folder.path(), events);
}

fn path(folder: &Path) -> PathBuf {
    folder.join("relay.db.history")
}

/// Records this many events and stops. Returns the CPU time of the history's thread.
async fn record(folder: &Path, events: u64, payload_rate: u64) -> Duration {
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
        send(&facts, first);
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
    println!("  RSS {} MB", memory() >> 20);
    spent.saturating_sub(before)
}

fn at(number: u64) -> DateTime<Utc> {
    let begin = Utc::now().timestamp() / 3600 * 3600 - 30 * 24 * 3600;
    DateTime::from_timestamp_millis(begin * 1000 + i64::try_from(number * 1000 / RATE).unwrap()).unwrap()
}

fn id(number: u64) -> EventId {
    EventId((at(number).timestamp_millis().cast_unsigned() << 22) | (number & 0xffff))
}

fn user(number: u64) -> String {
    format!("user-{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)
}

fn send(facts: &Facts, first: u64) {
    let destination: Arc<str> = Arc::from("accoil");
    let mapping: Arc<str> = Arc::from("Track Calls");
    let accepted = (first..first + BATCH).map(|number| {
        let (user, message_id) = (user(number), format!("message-{number:012x}"));
        let original = EVENT.replacen("user-0123456789", &user, 1).replacen(MESSAGE_ID, &message_id, 1);
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
            warned: Vec::new(), title: None,
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
    facts.received(Received { submission, duplicates: Vec::new(), is_replay: false });
    facts.outcomes(outcomes);
}

/// Searches for events from the whole past, by each kind of id.
fn search(folder: &Path, events: u64) {
    let reader = Reader::of_file(path(folder), Redactor::default());
    let bytes = std::fs::metadata(path(folder)).unwrap().len();
    println!("{events} events in {} MB", bytes >> 20);
    let numbers: Vec<u64> = (0..20).map(|part| part * (events / 20) + 17).collect();
    let ask = |what: &str, ask: &dyn Fn(u64)| {
        let mut times: Vec<Duration> = numbers
            .iter()
            .map(|number| {
                let began = Instant::now();
                ask(*number);
                began.elapsed()
            })
            .collect();
        let first = times[0];
        times.sort_unstable();
        println!("{what}: the first {first:.0?}, median {:.0?}, longest {:.0?}", times[10], times[19]);
    };
    let one = |filter: Filter, number: u64| {
        let page = reader.search(&filter, None, 10).unwrap();
        assert!(
            page.lines.iter().any(|line| line.id == id(number)),
            "{number} was not found: {}",
            page.is_cut
        );
    };
    ask("event id", &|number| drop(reader.event(id(number), Show::Whole).unwrap().unwrap()));
    ask("user id", &|number| one(Filter { user: Some(user(number)), ..Filter::default() }, number));
    ask("message id", &|number| {
        one(Filter { message_id: Some(format!("message-{number:012x}")), ..Filter::default() }, number);
    });
    ask("any id", &|number| {
        one(Filter { any: Some(format!("message-{number:012x}")), ..Filter::default() }, number);
    });
    ask("unknown user id", &|number| {
        let filter = Filter { user: Some(format!("nobody-{number}")), ..Filter::default() };
        assert!(reader.search(&filter, None, 10).unwrap().lines.is_empty());
    });
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

/// Resident memory of this process, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
