//! Why the relay cannot use a cluster as its outbox.

use std::path::PathBuf;

use super::super::Cause;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("outbox {servers}: no NATS server answers; check outbox.url, the network and the servers")]
    Unreachable { servers: String, source: Cause },
    #[error(
        "outbox {servers}: the NATS server does not let this relay sign in; check outbox.nkey, outbox.credentials, or the user and \
         password in outbox.url"
    )]
    SignIn { servers: String, source: Cause },
    #[error(
        "outbox {servers}: a server in outbox.url has a user without a password, or another user than the server before; write \
         \"nats://USER:PASSWORD@a:4222,b:4222\", or set outbox.nkey"
    )]
    Users { servers: String },
    #[error("outbox {}: the file cannot be used to sign in to NATS; check that it exists and may be read", path.display())]
    Credentials { path: PathBuf, source: std::io::Error },
    #[error(
        "outbox {servers}: the NATS server is version {found}; the relay needs 2.12.3 or newer, which has atomic batches and \
         syncs each write: upgrade every server of the cluster"
    )]
    TooOld { servers: String, found: String },
    #[error(
        "outbox {servers}: JetStream is off, or this user may not use it; enable `jetstream` on every server of the cluster"
    )]
    NoJetStream { servers: String, source: Cause },
    #[error("outbox {servers}: the largest message is {found} bytes; set `max_payload` to 1 MB or more")]
    SmallPayload { servers: String, found: usize },
    #[error("outbox stream {stream}: it cannot be created or read")]
    Stream { stream: String, source: Cause },
    #[error(
        "outbox stream {stream}: it exists with other settings ({what}), and so belongs to another program or version; name \
         another in outbox.stream"
    )]
    Foreign { stream: String, what: &'static str },
    #[error(
        "outbox stream {stream}: it was moved to {to}, or the move is not finished: set outbox.url to that one, or run `accoil-relay \
         outbox move` again"
    )]
    Moved { stream: String, to: String },
    #[error(
        "outbox stream {stream}: written by a later version (format {found}, this program knows up to {known})"
    )]
    Version { stream: String, found: u32, known: u32 },
}
