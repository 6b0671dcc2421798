//! The durable outbox (stage 5): what was accepted stays here until it is delivered or an operator removes it.
//!
//! # The contract of every implementation
//!
//! 1. **Accept.** [`Outbox::accept`] returns `Ok` only after the events' requests and rejects are on disk (fsync
//!    done, not merely handed to the system). A submission is stored completely or not at all.
//! 2. **Chunks.** One commit stores one [`chunk::Chunk`]: the requests of many posts in the order in which they were
//!    accepted. Chunk ids only grow. Every destination reads the chunks in order, at its own pace. A chunk is deleted
//!    when all its requests are settled. Reading never changes anything.
//! 3. **Settle.** A request leaves its chunk by one [`Settlement`]: delivered, parked (it waits in a row of its own,
//!    with the time of its next attempt), or dead (a dead letter). A settlement is durable with the next commit. If a
//!    crash loses one, the call is made once more; the call itself is never lost.
//! 4. **Order.** Live events and old ones ([`Lane`]) share the chunks. Chunk and index order one user's requests, parked
//!    or not. A later request may be parked while an earlier one is still in its chunk: a reader that starts again
//!    loads the chunks up to [`Outbox::last_parked_chunk`] before it continues with parked requests.
//! 5. **De-duplication.** An id that was accepted from the same source within its window is not accepted again, even
//!    after a restart. An id whose first copy was rejected or skipped is not remembered. The number of remembered ids is
//!    limited by the configuration; the oldest are forgotten first.
//! 6. **Room.** If the waiting calls or the dead letters exceed their configured size, or the disk has less than its
//!    free floor, nothing is accepted ([`AcceptError::Full`]) until there is room again; [`Outbox::room`] gives the
//!    reason. A full disk has no other effect: settlements are kept in memory and stored as soon as possible. If too much
//!    waits for its commit, the error is [`AcceptError::Busy`].
//! 7. **Failure.** After any other failed commit nothing more is accepted until a restart ([`AcceptError::Failed`]): after
//!    a failed fsync it is unknown what is on disk.
//! 8. **One owner.** A second process on the same outbox is refused at open; any process may read ([`Archive`]).
//! 9. **Damage.** A chunk, a parked call, a dead letter or a reject whose bytes changed on the disk is kept, reported once,
//!    counted, shown by lists, and never sent.
//! 10. **Dead letters and rejects** are kept until they are replayed or purged, or expire; rejects also until they exceed
//!     their size. Ages count running time. [`Outbox::keep_house`], called once a minute, removes expired rows even if
//!     nothing is committed. A replay stores its result and removes the original in one commit. Both kinds share one
//!     number space.
//!
//! To add an implementation: a folder beside `sqlite/`, which must pass the same tests (`tests/it/outbox`).

mod archive;
pub mod chunk;
mod clock;
mod command;
mod damage;
mod derived;
mod frame;
mod groups;
mod handle;
mod jobs;
mod lane;
mod owner;
mod recent;
mod recover;
mod recovery_note;
mod space;
mod sqlite;
mod stage;
mod tail;
mod values;
mod waiting;
mod writer;

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::accoil::Fingerprint;
use crate::reasons::Reason;

pub use crate::facts::{Accepted, Reject, Submission};
pub use archive::Archive;
pub use damage::Stored;
pub use derived::{Delivered, Held};
pub use groups::Group;
pub use handle::{ChangeError, Outbox, ReadError};
pub use jobs::{Job, JobState, JobStep, NewJob};
pub use lane::{Background, Lane};
pub use owner::{announce, owner};
pub use recover::{Recovered, recover};
pub use space::NoRoom;
pub use sqlite::{
    BackupError, DeadLetter, Filter, Kind, Lock, Missing, OpenError, Parked, StoredReject, backup, lock,
};
pub use waiting::{
    CallId, GoneError, GoneStep, NoCallId, WaitingCall, WaitingFilter, WaitingFor, WaitingPage,
};

/// The result of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Events that were new and are now stored.
    pub accepted: usize,
    /// Events whose id had been accepted before; they were not stored again.
    pub duplicates: usize,
}

/// What became of dead letters that were to be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replayed {
    /// How many wait to be delivered again.
    pub calls: usize,
    /// These are damaged: they stay, and are not sent.
    pub damaged: Vec<i64>,
}

/// The settings of an outbox.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file. `:memory:` is refused, because it would not be durable.
    pub path: std::path::PathBuf,
    /// The largest number of ids remembered for de-duplication.
    pub deduplication_ids: usize,
    /// The longest de-duplication window of any source.
    pub longest_window: Duration,
    /// The most bytes that may wait for delivery.
    pub max_bytes: u64,
    /// The bytes that must stay free on the disk. Unused pages of the file itself count as free.
    pub min_free_disk: u64,
    pub dead_letters: Retention,
    pub rejects: Retention,
}

/// A number of rows and their total size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Amount {
    pub rows: u64,
    pub bytes: u64,
}

impl Amount {
    pub(crate) const fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.bytes += more.bytes;
    }

    pub(crate) const fn remove(&mut self, less: Self) {
        self.rows = self.rows.saturating_sub(less.rows);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }
}

/// What the outbox contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Calls that wait to be delivered.
    pub waiting: Amount,
    pub dead_letters: Amount,
    pub rejects: Amount,
}

/// How long dead letters and rejects are kept, in running time, and how many bytes of them. The oldest rejects over
/// their limit are removed. Dead letters over theirs stop acceptance, because they were accepted.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub age: Duration,
    pub bytes: u64,
}

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
}

/// Where a request is stored until it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The `index`-th of the `of` requests of a chunk.
    Chunk { chunk: i64, index: u32, of: u32 },
    /// A row of its own. It keeps the chunk and index that it came from, by which it is ordered.
    Parked { row: i64, chunk: i64, index: u32 },
}

impl Place {
    /// Returns the key that orders one user's requests.
    pub const fn order(&self) -> (i64, u32) {
        match *self {
            Self::Chunk { chunk, index, .. } | Self::Parked { chunk, index, .. } => (chunk, index),
        }
    }
}

/// One try of a call, as stored with a waiting call or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    /// The HTTP status; `None` if no answer came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// What failed, with the beginning of the answer.
    pub reason: String,
    /// The duration of the call in milliseconds; `None` in attempts of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub took_ms: Option<u32>,
    /// The outbox's running time at `at`, by which a call becomes old; none in attempts of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub running: Option<DateTime<Utc>>,
}

/// When a parked call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    pub at: DateTime<Utc>,
    /// The time between the last attempt and `at`, if there was an attempt.
    pub wait: Option<Duration>,
}

/// How a request leaves the place where it is stored.
#[derive(Debug)]
pub enum Settlement {
    /// Accoil accepted it, or it need not be sent. `fingerprints` are those of a derived call.
    Delivered { place: Place, fingerprints: Vec<Fingerprint> },
    /// It waits for its own next attempt, or (`None`) behind an earlier call of its user.
    Parked { job: Box<chunk::Job>, attempts: Vec<Attempt>, next_attempt_at: Option<DateTime<Utc>> },
    /// It can never be delivered; the last attempt has the details.
    Dead { job: Box<chunk::Job>, attempts: Vec<Attempt>, reason: Reason },
}

impl Settlement {
    /// Bytes that it adds to the disk, until its chunk is done.
    pub(crate) fn stored_bytes(&self) -> usize {
        match self {
            Self::Delivered { .. } => 0,
            Self::Parked { job, .. } if matches!(job.place, Place::Parked { .. }) => 0,
            Self::Parked { job, .. } | Self::Dead { job, .. } => job.body.len() + job.original.len(),
        }
    }
}
