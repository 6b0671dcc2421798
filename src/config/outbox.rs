//! Where calls are stored and when they are retried.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::show::Show;
use super::table::section;
use super::value::{self, Problem, Reading};
use crate::document::Node;
use crate::plain::without_credentials;

section! {
    /// The calls that are accepted and not yet delivered.
    Always [outbox] pub struct Outbox {
        /// `sqlite:` and the path of a file. Or the servers of a NATS cluster that several relays share:
        /// `"nats://a:4222,b:4222,c:4222"`, `"tls://…"` with TLS; see `docs/scaling.md`.
        url: OutboxUrl = default("sqlite:relay.db"), outbox_url;
        /// In a NATS cluster: the name of the stream. Relays with the same stream share its events.
        stream: String = default("accoil-relay"), value::name;
        /// In a NATS cluster: into how many parts a new stream is divided. Each part is delivered by one relay at a time.
        lanes: u32 = default(16), value::integer(1..=256);
        /// In a NATS cluster: how long the calls of a relay that was killed wait until another relay takes them over. Longer
        /// than the longest `request_timeout` of a destination.
        lease: Option<Duration> = optional("40s", "the longest `request_timeout` and 10 seconds"), value::duration;
        /// In a NATS cluster: the file with this relay's credentials (`.creds`).
        credentials: Option<PathBuf> = optional("relay.creds", "none"), file;
        /// In a NATS cluster: the seed of this relay's NKey.
        nkey: Option<SecretString> = secret("${NATS_NKEY}"), value::secret;
        /// In a NATS cluster: a file with certificates of authorities that the relay trusts beside the system's own.
        ca: Option<PathBuf> = optional("ca.pem", "none"), file;
        /// In a NATS cluster: a file with this relay's own certificate.
        certificate: Option<PathBuf> = optional("relay.pem", "none"), file;
        /// In a NATS cluster: the file with the key of `certificate`.
        certificate_key: Option<PathBuf> = optional("relay-key.pem", "none"), file;
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

/// Files on this machine that belong to a relay with an outbox in a cluster are named after this.
const LOCAL: &str = "relay.nats";

/// `sqlite:PATH`, or the servers of a cluster.
#[derive(Debug, Clone)]
pub struct OutboxUrl {
    /// The file, or for a cluster the name after which local files are named. Relative to the current directory.
    pub path: PathBuf,
    /// The servers of the cluster; empty for a file.
    pub servers: Vec<String>,
}

/// A command that reads the file of an outbox was given a cluster.
#[derive(Debug, Clone, thiserror::Error)]
#[error(
    "outbox.url names a NATS cluster, and this command reads the file of an outbox; look at the dashboard or the API of a running \
     relay instead"
)]
pub struct OutboxIsCluster;

impl OutboxUrl {
    /// The file, if it is one.
    pub fn file(&self) -> Result<&Path, OutboxIsCluster> {
        if self.servers.is_empty() { Ok(&self.path) } else { Err(OutboxIsCluster) }
    }

    /// As in the configuration, without passwords.
    pub fn shown(&self) -> String {
        if self.servers.is_empty() {
            format!("sqlite:{}", self.path.display())
        } else {
            without_credentials(&self.servers)
        }
    }
}

impl Show for OutboxUrl {
    fn show(&self) -> Option<toml::Value> {
        self.shown().show()
    }
}

impl OutboxUrl {
    /// Reads it as it is written in the configuration.
    pub fn parse(url: &str) -> Result<Self, String> {
        let told = |problem: Problem| format!("{}; {}", problem.what, problem.advice);
        Self::read(url).map_err(told)
    }

    fn read(url: &str) -> Reading<Self> {
        if url.starts_with("nats://") || url.starts_with("tls://") {
            return Ok(Self { path: PathBuf::from(LOCAL), servers: servers(url)? });
        }
        sqlite_path(url).map(|path| Self { path, servers: Vec::new() })
    }
}

fn outbox_url(node: &Node<'_>) -> Reading<OutboxUrl> {
    OutboxUrl::read(&value::text(node)?)
}

/// The servers of `nats://a:4222,b:4222`: the scheme of the first is that of all that name none.
fn servers(url: &str) -> Reading<Vec<String>> {
    let (scheme, _) = url.split_once("://").unwrap_or(("nats", ""));
    let server = |server: &str| {
        let server = server.trim();
        let named = if server.contains("://") { server.to_owned() } else { format!("{scheme}://{server}") };
        let host = named.split_once("://").map_or("", |(_, host)| host);
        let is_known = named.starts_with("nats://") || named.starts_with("tls://");
        (is_known && !host.is_empty() && !host.contains(['/', ' '])).then_some(named)
    };
    url.split(',').map(server).collect::<Option<Vec<_>>>().ok_or_else(|| {
        Problem::new(
            "is not a list of NATS servers",
            "write \"nats://a:4222,b:4222,c:4222\", with \"tls://\" in front for TLS",
        )
    })
}

/// The path of a file.
fn file(node: &Node<'_>) -> Reading<PathBuf> {
    value::text(node).map(PathBuf::from)
}

/// The path of `sqlite:PATH`.
pub(super) fn sqlite_path(url: &str) -> Reading<PathBuf> {
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
