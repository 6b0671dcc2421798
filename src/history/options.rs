//! The options of a history: how much it records, where, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use super::redact::Redactor;

/// The options of a history.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file.
    pub path: PathBuf,
    /// Blocks older than this are removed.
    pub keep: Duration,
    /// The largest size of the file and its log. They may exceed it by a twentieth.
    pub max_bytes: u64,
    /// The bytes per second of payloads that are kept; payloads beyond it are left out.
    pub payload_rate: u64,
    pub payloads: Payloads,
    /// The folder to which blocks are written before they are removed.
    pub archive: Option<PathBuf>,
    /// Hides values when an event is shown and, with [`Payloads::Redacted`], before it is written.
    pub redactor: Redactor,
    /// Whether lines have a hash instead of the user id. A search by the id still finds them.
    pub hash_users: bool,
}

/// Which payloads are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payloads {
    /// Whole, so that events can be sent again. Hidden values are hidden when an event is shown.
    #[default]
    Full,
    /// Without the hidden values.
    Redacted,
    /// None: only lines.
    None,
}
