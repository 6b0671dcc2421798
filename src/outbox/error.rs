//! The errors of an outbox, the same for every backend. They contain none of a backend's own types.

use std::path::PathBuf;

/// The backend's own error.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum AcceptError {
    #[error("the outbox is busy: too much is waiting to be stored; try again in a moment")]
    Busy,
    #[error(
        "the outbox has no room: its size, the size of the dead letters or the disk is at its limit; try again later"
    )]
    Full,
    #[error("the outbox could not store to disk and is closed until the relay is restarted; see its log")]
    Failed,
    #[error("the cluster that stores the outbox does not answer; try again in a moment")]
    Away,
    #[error(
        "an event is too large for the messages of the cluster, also when it is compressed; raise max_payload on the NATS servers"
    )]
    TooLarge,
}

/// Why a replay or a purge was not done; nothing was changed.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("nothing was changed: {0}")]
pub struct ChangeError(#[from] pub AcceptError);

/// Why something could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the outbox could not be read")]
    Failed(#[source] Cause),
    #[error("the cluster that stores the outbox does not answer; try again in a moment")]
    Away,
    #[error("the outbox is closed")]
    Closed,
}

/// Why nothing is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    #[error(
        "the waiting calls fill outbox.max_bytes; `accoil-relay waiting list` shows why they are not delivered; or raise the limit"
    )]
    Waiting,
    #[error(
        "the dead letters fill outbox.max_dead_letter_bytes; see them with `accoil-relay dead-letters list`, then replay or \
         purge them, or raise the limit"
    )]
    DeadLetters,
    #[error(
        "the disk, or the file size limit of the process (ulimit -f), leaves less room than outbox.min_free_disk, or than it \
         takes to record deliveries; free some, or raise the limit"
    )]
    Disk,
}

/// Why an outbox could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Nats(#[from] super::nats::OpenError),
    #[error("outbox {}: the folder or file cannot be opened; check that it exists and may be written", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("outbox {}: the file does not exist; check outbox.url, and the folder in which the command runs", path.display())]
    Missing { path: PathBuf },
    #[error(
        "outbox {}: another process has it open; stop that one, or give each relay a file of its own", path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "outbox {}: the file has a second name (a hard link), and each name would have a log of its own; remove one of \
         them", path.display()
    )]
    Linked { path: PathBuf },
    #[error(
        "{}: this is the outbox's lock file, and it is a link or no regular file; remove it and start again",
        path.display()
    )]
    LockFile { path: PathBuf },
    #[error("outbox {}: this is a database of another program; name another file in outbox.url", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "outbox {}: written by a later version (format {found}, this program knows up to {known}); use that version",
        path.display()
    )]
    Version { path: PathBuf, found: i32, known: i32 },
    #[error("outbox {}: the file system does not let SQLite be durable ({what}); use a local disk", path.display())]
    NotDurable { path: PathBuf, what: String },
    #[error(
        "outbox {}: this is no outbox, or a damaged one ({what}); `serve --recover-outbox` moves it aside and takes what \
         can be read of it into a new one", path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error("outbox {}: the database cannot be opened; check the disk and who may read and write there", path.display())]
    Database { path: PathBuf, source: Cause },
    #[error("outbox {}: its writer thread could not be started; raise the limit of threads or memory of this process", path.display())]
    Writer { path: PathBuf, source: std::io::Error },
}
