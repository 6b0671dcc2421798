//! Measures how much CPU time and disk the history needs for an event, and how long a search by an exact id takes among many events.
//!
//! `cargo bench --bench history -- [--events 10000000] [--payloads 200000]`. It feeds the history like a relay, as fast as the history
//! takes facts, and reads the CPU time of its thread. The file is in the temporary folder.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "its figures are its output")]
#![expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

#[path = "common/past.rs"]
mod past;

use std::path::Path;
use std::time::{Duration, Instant};

use accoil_relay::history::{Filter, Reader, Redactor, Show};
use past::{id, path, record, user};

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
        let spent = runtime.block_on(record(folder.path(), count, rate, 0));
        let bytes = std::fs::metadata(path(folder.path())).unwrap().len();
        println!("  RSS {} MB", memory() >> 20);
        println!(
            "{what}: {:.2} us of the history's thread and {:.0} bytes of disk an event",
            spent.as_secs_f64() * 1e6 / count as f64,
            bytes as f64 / count as f64
        );
    }
    let folder = tempfile::tempdir().unwrap();
    runtime.block_on(record(folder.path(), events, 0, 0));
    search(folder.path(), events);
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

/// Resident memory of this process, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
