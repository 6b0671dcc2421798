//! Where calls are stored and when they are retried: `[outbox]` and `[deliver]`.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::tree::Node;
use super::value::{self, Problem, Reading};

/// `[outbox]`
#[derive(Debug, Clone)]
pub struct Outbox {
    /// The SQLite file of `url = "sqlite:PATH"`; relative to the current directory.
    pub path: PathBuf,
    /// Event ids that all sources together keep in memory; the oldest are dropped first. 0 disables de-duplication.
    pub deduplication_ids: usize,
    /// The most bytes that may wait for delivery, and the bytes that must stay free on the disk. Beyond either limit the relay
    /// answers 503.
    pub max_bytes: u64,
    pub min_free_disk: u64,
    /// How long dead letters and rejects are kept, and how many bytes of them; the oldest are dropped first.
    pub keep_dead_letters: Duration,
    pub max_dead_letter_bytes: u64,
    pub keep_rejects: Duration,
    pub max_reject_bytes: u64,
}

/// `[deliver]`: when a failed call is retried, and when retries end.
#[derive(Debug, Clone)]
pub struct Deliver {
    /// The longest wait before the first retry. The limit doubles with each retry.
    pub retry_initial: Duration,
    /// The longest wait between two attempts.
    pub retry_max: Duration,
    /// The time since the first attempt after which a failing call becomes a dead letter.
    pub retry_max_age: Duration,
    pub retry_max_attempts: usize,
}

impl Outbox {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            path: section.require("url", sqlite_path),
            deduplication_ids: section.require("deduplication_ids", value::integer(0..=100_000_000)),
            max_bytes: section.require("max_bytes", value::size),
            min_free_disk: section.require("min_free_disk", value::size_or_zero),
            keep_dead_letters: section.require("keep_dead_letters", value::duration),
            max_dead_letter_bytes: section.require("max_dead_letter_bytes", value::size),
            keep_rejects: section.require("keep_rejects", value::duration),
            max_reject_bytes: section.require("max_reject_bytes", value::size),
        }
    }
}

impl Deliver {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            retry_initial: section.require("retry_initial", value::duration),
            retry_max: section.require("retry_max", value::duration),
            retry_max_age: section.require("retry_max_age", value::duration),
            retry_max_attempts: section.require("retry_max_attempts", value::integer(1..=100_000)),
        }
    }
}

/// The path of `sqlite:PATH`.
pub(super) fn sqlite_path(node: &Node) -> Reading<PathBuf> {
    let url = value::text(node)?;
    if url.starts_with("nats://") || url.starts_with("tls://") {
        return Err(Problem::new(
            "names a NATS server, which this version cannot use yet",
            "keep the outbox in a file: url = \"sqlite:relay.db\"",
        ));
    }
    let path = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    path.filter(|path| !path.is_empty() && *path != ":memory:" && !path.starts_with("//"))
        .filter(|path| !path.contains(['?', '\0']))
        .map(PathBuf::from)
        .ok_or_else(|| {
            Problem::new(
                "is not \"sqlite:\" and the path of a file",
                "write \"sqlite:relay.db\" or \"sqlite:/var/lib/accoil-relay/relay.db\"",
            )
        })
}
