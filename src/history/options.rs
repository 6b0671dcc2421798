//! How much is recorded, where, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::redact::Redactor;

/// How a history is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file.
    pub path: PathBuf,
    /// Blocks older than this leave.
    pub keep: Duration,
    /// The file never has more than this and a twentieth of it, its log included.
    pub max_bytes: u64,
    /// Bytes a second of payloads that are kept; beyond them one event in so many.
    pub payload_rate: u64,
    pub payloads: Payloads,
    /// Where the blocks that leave are written to.
    pub archive: Option<PathBuf>,
    /// What is never shown of an event, and with [`Payloads::Redacted`] never written.
    pub redactor: Redactor,
    /// Lines have a hash instead of the user id; a search by the id finds them all the same.
    pub hash_users: bool,
}

/// What is kept of the events themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payloads {
    /// As they came and as they were sent, so that they can be sent again. What is to be redacted is hidden when it is shown.
    #[default]
    Full,
    /// Without what is to be redacted.
    Redacted,
    /// Nothing: lines only.
    None,
}
