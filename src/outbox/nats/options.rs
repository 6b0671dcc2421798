//! The settings of an outbox in a NATS cluster, as `[outbox]` gives them.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::super::Retention;

/// The cluster's address, the relay's credentials, and the limits of the stream.
#[derive(Debug, Clone)]
pub struct Options {
    /// The servers of `outbox.url`, each as `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// The name of the stream, and the first word of all its subjects.
    pub stream: String,
    /// A credentials file (`.creds`) of a user.
    pub credentials: Option<PathBuf>,
    /// The seed of an `NKey`.
    pub nkey: Option<SecretString>,
    /// A file of certificates that the relay trusts beside those of the system.
    pub ca: Option<PathBuf>,
    /// The relay's own certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The number of lanes of a new stream. A stream keeps the number that it was created with.
    pub lanes: u16,
    /// How long a lane belongs to a relay after it was last renewed.
    pub lease: Duration,
    /// The longest time that one call to a destination may take.
    pub call_timeout: Duration,
    pub deduplication_ids: usize,
    pub longest_window: Duration,
    pub max_bytes: u64,
    pub dead_letters: Retention,
    pub rejects: Retention,
    /// The address of the other outbox while `outbox move` moves this one. `None` in a relay.
    pub moves_to: Option<String>,
}
