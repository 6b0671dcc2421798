//! The history of a running relay: opened after the outbox, stopped last.

use std::sync::atomic::Ordering;

use super::error::StartError;
use crate::config::{self, Config};
use crate::deliver::Status;
use crate::facts::{Facts, Inbox, Mark};
use crate::history::{self, Counters, OpenError, Options, Payloads, Reader, Redactor, Sample};
use crate::receive::Receiver;
use crate::tasks::Tasks;
use crate::telemetry::Process;
use chrono::Utc;

/// Returns the sending side of the facts, and the receiving side if a history is kept.
pub(super) fn channel(config: &Config) -> (Facts, Option<Inbox>) {
    let (facts, inbox) = match config.history_path() {
        Some(_) => {
            let (facts, inbox) = Facts::channel();
            (facts, Some(inbox))
        }
        None => (Facts::off(), None),
    };
    // A refused body was not decoded, so its hidden values cannot be found.
    let facts = if config.privacy.redact.is_empty() { facts } else { facts.without_bodies() };
    (facts, inbox)
}

/// Returns the redactor of the paths that `[privacy]` hides.
pub fn redactor(config: &Config) -> Redactor {
    Redactor::new(config.privacy.redact.iter().map(String::as_str))
}

/// Opens the history and starts its thread. If the disk refuses the file, the relay runs without a history.
pub(super) async fn start(
    config: &Config,
    inbox: Option<Inbox>,
    receiver: Receiver,
    tasks: &Tasks,
) -> Result<Reader, StartError> {
    let (Some(inbox), Some(options)) = (inbox, options(config)) else { return Ok(Reader::off()) };
    let (path, tasks) = (options.path.clone(), tasks.clone());
    // Opening may check the whole file, so it must not block a thread that serves.
    let open = move || history::start(options, inbox, counters(receiver), &tasks);
    match tokio::task::spawn_blocking(open).await.map_err(|_| StartError::Stopped)? {
        Ok(reader) => Ok(reader),
        Err(error @ OpenError::Database { .. }) => {
            let error = with_causes(&error);
            tracing::error!(
                error.message = error,
                file = %path.display(),
                "the history cannot be opened: the relay runs without it, and only failures are recorded. Check the disk, \
                 then restart the relay"
            );
            Ok(Reader::off())
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns an error's text with those of its causes.
fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn options(config: &Config) -> Option<Options> {
    let section = &config.history;
    Some(Options {
        path: config.history_path()?,
        keep: section.keep,
        max_bytes: section.max_bytes,
        payload_rate: section.payload_rate,
        payloads: match section.payloads {
            config::Payloads::Full => Payloads::Full,
            config::Payloads::Redacted => Payloads::Redacted,
            config::Payloads::None => Payloads::None,
        },
        archive: section.archive.clone(),
        redactor: redactor(config),
        hash_users: config.privacy.hash_users,
    })
}

/// Reads the same counters as `/metrics`.
fn counters(receiver: Receiver) -> Counters {
    Box::new(move |sample| {
        sources(sample, &receiver);
        for status in receiver.destinations() {
            destination(sample, &status);
        }
        outbox(sample, &receiver);
        if let Some(Process { memory, .. }) = Process::read() {
            sample.level(&["memory"], memory);
        }
    })
}

fn sources(sample: &mut Sample, receiver: &Receiver) {
    for source in receiver.sources().iter() {
        let (name, counts) = (&*source.name, &source.counts);
        for (kind, count) in [
            ("accepted", &counts.accepted),
            ("duplicate", &counts.duplicates),
            ("skipped", &counts.skipped),
            ("rejected", &counts.rejected),
            ("bytes", &counts.bytes),
        ] {
            sample.count(&[kind, name], count.load(Ordering::Relaxed));
        }
        for (reason, count) in counts.reasons.iter() {
            sample.count(&["reason", name, reason.code()], count);
        }
    }
    receiver.traffic().refused(|source, _route, _status, reason, count| {
        sample.add(&["refused", source, reason.code()], count);
    });
    for (route, took) in receiver.traffic().timings() {
        sample.times(&["answer", route], took);
    }
}

fn destination(sample: &mut Sample, status: &Status) {
    let name = &*status.name;
    for (kind, count) in [
        ("delivered", status.delivered),
        ("held", status.held),
        ("retried", status.retried),
        ("dead", status.dead),
    ] {
        sample.count(&[kind, name], count);
    }
    for failures in status.counters.failures() {
        sample.add(&["failed", name, failures.reason.code()], failures.count);
    }
    for (kind, level) in [
        ("in_flight", status.in_flight),
        ("loaded", status.loaded),
        ("waiting_users", status.waiting_users),
        ("failing_users", status.failing_users),
    ] {
        sample.level(&[kind, name], level as u64);
    }
    sample.times(&["call", name], &status.counters.call_time);
    sample.times(&["to_delivered", name], &status.counters.event_to_delivered);
}

fn outbox(sample: &mut Sample, receiver: &Receiver) {
    let outbox = receiver.outbox();
    let usage = outbox.usage();
    sample.level(&["waiting"], usage.waiting.rows);
    sample.level(&["waiting_bytes"], usage.waiting.bytes);
    sample.level(&["dead_letters"], usage.dead_letters.rows);
    sample.level(&["rejects"], usage.rejects.rows);
    if let Some(free) = outbox.free_disk() {
        sample.level(&["free_disk"], free);
    }
    sample.times(&["commit"], outbox.commit_timings());
}

/// Marks that the relay started, with the mappings in force.
pub(super) fn mark_start(facts: &Facts, receiver: &Receiver) {
    facts.mappings(receiver.sources().to_fact(Utc::now()));
    mark(facts, "start", format!("accoil-relay {}", env!("CARGO_PKG_VERSION")));
}

pub(super) fn mark_stop(facts: &Facts) {
    mark(facts, "stop", "asked to stop".to_owned());
}

fn mark(facts: &Facts, kind: &'static str, text: String) {
    facts.mark(Mark { at: Utc::now(), kind, text });
}
