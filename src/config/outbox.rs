//! What waits and when it is tried again: `[outbox]` and `[deliver]`.

use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::tree::Node;
use super::value::{self, Complaint, Reading};

/// `[outbox]`
#[derive(Debug, Clone)]
pub struct Outbox {
    /// The SQLite file of `url = "sqlite:PATH"`; relative to where the relay runs, as data is.
    pub path: PathBuf,
    /// Event ids kept in memory over all sources, the oldest out first; none switches de-duplication off.
    pub deduplication_ids: usize,
    /// Bytes that may wait to be delivered, and that must stay free on the disk; beyond either senders hear 503.
    pub max_bytes: u64,
    pub min_free_disk: u64,
    /// How long and how many bytes of dead letters and rejects are kept, the oldest out first.
    pub keep_dead_letters: Duration,
    pub max_dead_letter_bytes: u64,
    pub keep_rejects: Duration,
    pub max_reject_bytes: u64,
}

/// `[deliver]`: when a call that failed is made again, and when no more.
#[derive(Debug, Clone)]
pub struct Deliver {
    /// The longest wait before the second attempt; it doubles from there.
    pub retry_initial: Duration,
    /// The longest wait between two attempts.
    pub retry_max: Duration,
    /// From the first attempt on; a call that fails beyond it is a dead letter.
    pub retry_max_age: Duration,
    pub retry_max_attempts: usize,
}

impl Outbox {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            path: section.need("url", sqlite_path),
            deduplication_ids: section.need("deduplication_ids", value::whole(0..=100_000_000)),
            max_bytes: section.need("max_bytes", value::size),
            min_free_disk: section.need("min_free_disk", value::size_or_none),
            keep_dead_letters: section.need("keep_dead_letters", value::duration),
            max_dead_letter_bytes: section.need("max_dead_letter_bytes", value::size),
            keep_rejects: section.need("keep_rejects", value::duration),
            max_reject_bytes: section.need("max_reject_bytes", value::size),
        }
    }
}

impl Deliver {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            retry_initial: section.need("retry_initial", value::duration),
            retry_max: section.need("retry_max", value::duration),
            retry_max_age: section.need("retry_max_age", value::duration),
            retry_max_attempts: section.need("retry_max_attempts", value::whole(1..=100_000)),
        }
    }
}

fn sqlite_path(node: &Node) -> Reading<PathBuf> {
    let url = value::text(node)?;
    if url.starts_with("nats://") || url.starts_with("tls://") {
        return Err(Complaint::new(
            "names a NATS server, which this version cannot use yet",
            "keep the outbox in a file: url = \"sqlite:relay.db\"",
        ));
    }
    let path = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    path.filter(|path| !path.is_empty() && *path != ":memory:" && !path.starts_with("//"))
        .filter(|path| !path.contains(['?', '\0']))
        .map(PathBuf::from)
        .ok_or_else(|| {
            Complaint::new(
                "is not \"sqlite:\" and the path of a file",
                "write \"sqlite:relay.db\" or \"sqlite:/var/lib/accoil-relay/relay.db\"",
            )
        })
}
