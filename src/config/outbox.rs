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
