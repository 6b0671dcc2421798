//! Where calls are stored and when they are retried.

use std::path::PathBuf;
use std::time::Duration;

use super::show::Show;
use super::table::section;
use super::value::{self, Problem, Reading};
use crate::document::Node;

section! {
    /// The calls that are accepted and not yet delivered.
    Always [outbox] pub struct Outbox {
        /// `sqlite:` and the path of a file.
        url: OutboxUrl = default("sqlite:relay.db"), outbox_url;
        /// Event ids that all sources together remember; the oldest are dropped first. 0 disables de-duplication.
        deduplication_ids: usize = default(1000000), value::integer(0..=100_000_000);
        /// The most bytes that may wait for delivery; beyond it senders get 503 and send again. 10 GiB.
        max_bytes: u64 = default(10737418240), value::size;
        /// Bytes that must stay free on the disk, or senders get 503. Free space inside the file counts as free. 256 MiB.
        min_free_disk: u64 = default(268435456), value::size_or_zero;
        /// How long dead letters (calls that Accoil refused for good) are kept, counted while the relay runs.
        keep_dead_letters: Duration = default("30d"), value::duration;
        /// The most bytes of dead letters; beyond it senders get 503 until some are replayed or purged. 1 GiB.
        max_dead_letter_bytes: u64 = default(1073741824), value::size;
        /// How long rejects (events that could not be mapped) are kept, counted while the relay runs.
        keep_rejects: Duration = default("30d"), value::duration;
        /// The most bytes of rejects; beyond it the oldest are removed. 256 MiB.
        max_reject_bytes: u64 = default(268435456), value::size;
    }
}

section! {
    /// When a failed call is retried, and when retries end.
    Always [deliver] pub struct Deliver {
        /// The longest wait before the first retry. The limit doubles with each retry.
        retry_initial: Duration = default("1s"), value::duration;
        /// The longest wait between two attempts, unless Accoil asks for more (`Retry-After`).
        retry_max: Duration = default("10m"), value::duration;
        /// The time since the first attempt after which a failing call becomes a dead letter. Time in which Accoil refused
        /// the key does not count.
        retry_max_age: Duration = default("24h"), value::duration;
        /// The number of attempts after which a failing call becomes a dead letter.
        retry_max_attempts: usize = default(60), value::integer(1..=100_000);
    }
}

/// `sqlite:PATH`
#[derive(Debug, Clone)]
pub struct OutboxUrl {
    /// Relative to the current directory.
    pub path: PathBuf,
}

impl Show for OutboxUrl {
    fn show(&self) -> Option<toml::Value> {
        format!("sqlite:{}", self.path.display()).show()
    }
}

impl OutboxUrl {
    /// Reads it as it is written in the configuration.
    pub fn parse(url: &str) -> Result<Self, String> {
        let told = |problem: Problem| format!("{}; {}", problem.what, problem.advice);
        Self::read(url).map_err(told)
    }

    fn read(url: &str) -> Reading<Self> {
        sqlite_path(url).map(|path| Self { path })
    }
}

fn outbox_url(node: &Node<'_>) -> Reading<OutboxUrl> {
    OutboxUrl::read(&value::text(node)?)
}

/// The path of `sqlite:PATH`.
pub(super) fn sqlite_path(url: &str) -> Reading<PathBuf> {
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
