//! The durable outbox (stage 5): what was accepted stays here until it is delivered or an operator decides.
//!
//! # The contract, to which every implementation is held
//!
//! 1. **Accept.** [`Outbox::accept`] returns `Ok` only after the events' requests and rejects are on disk (fsync
//!    done, not merely handed to the system). All of a submission is stored, or nothing of it.
//! 2. **Chunks.** What is committed together is one [`chunk::Chunk`]: the requests of many posts in the order in which
//!    they were accepted. Chunk ids only grow. A chunk is read in order, by every destination at its own pace,
//!    and forgotten when all its requests are settled. Reading never changes anything.
//! 3. **Settle.** A request leaves its chunk by one [`Settlement`]: delivered, parked (it waits in a row of its own,
//!    with the time of its next attempt), or dead (a dead letter). A settlement is durable with the next
//!    commit; one lost in a crash means that the call is made once more, never that it is lost.
//! 4. **Order.** Live events and old ones ([`Lane`]) share the chunks. Chunk and index order one user's requests, parked or not. A later one may be parked while an earlier
//!    one is still in its chunk: a reader that begins anew loads the chunks up to [`Outbox::last_parked_chunk`] before
//!    it goes on with what is parked.
//! 5. **De-duplication.** An id that was accepted from the same source within its window is not accepted
//!    again, restarts included; an id whose first copy was rejected or skipped is not remembered. Memory for it is
//!    bounded: beyond the configured number the oldest ids are forgotten first.
//! 6. **Room.** Beyond the configured size of what waits or of the dead letters, or below the free-disk floor, nothing is
//!    accepted ([`AcceptError::Full`]) until there is room again; [`Outbox::room`] says which. A full disk is no more than that. What was settled meanwhile is
//!    kept in memory and stored as soon as it can be. Too much waiting to be committed is [`AcceptError::Busy`].
//! 7. **Failure.** After any other failed commit nothing more is accepted until a restart ([`AcceptError::Failed`]): a
//!    failed fsync says nothing about what is on disk.
//! 8. **One owner.** A second process on the same outbox is refused at open; any process may read ([`Archive`]).
//! 9. **Damage.** A chunk, a parked call, a dead letter or a reject whose bytes changed on the disk is kept, reported once,
//!    counted, shown by lists, and never sent.
//! 10. **Dead letters and rejects** are kept until they are replayed, purged, or over their age, rejects also until they are
//!     over their size. Ages are counted in the time that the relay ran. [`Outbox::keep_house`], called once a minute, removes
//!     what is too old, also when nothing is committed. A replay stores what it makes and removes what it was made of in one
//!     commit. Both kinds share one number space.
//!
//! 10. **Jobs.** What a step of a [`Job`] makes and the job's progress are one commit; a step of a job that is not running changes
//!     nothing.
//!
//! To add an implementation: a file beside `sqlite/`, held to the same tests (`tests/it/outbox.rs`).

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
mod space;
mod sqlite;
mod stage;
mod tail;
mod values;
mod waiting;
mod writer;

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

/// What became of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Events that were new and are now stored.
    pub accepted: usize,
    /// Events whose id had been accepted before; not stored again.
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

/// How an outbox is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The database file; `:memory:` is refused, for nothing in it would be durable.
    pub path: std::path::PathBuf,
    /// Most ids remembered for de-duplication.
    pub deduplication_ids: usize,
    /// The longest de-duplication window of any source.
    pub longest_window: std::time::Duration,
    /// Most bytes that may wait to be delivered.
    pub max_bytes: u64,
    /// Bytes that must stay free on the disk; what the file itself can use again counts as free.
    pub min_free_disk: u64,
    pub dead_letters: Retention,
    pub rejects: Retention,
}

/// How many of something, and how large they are together.
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

/// What the outbox holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Usage {
    /// Calls that wait to be delivered.
    pub waiting: Amount,
    pub dead_letters: Amount,
    pub rejects: Amount,
}

/// How long what could not be delivered is kept, by the time that the relay ran, and how much of it. Rejects beyond their
/// size leave, the oldest first; dead letters beyond theirs stop acceptance, for they were accepted.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    pub age: std::time::Duration,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum AcceptError {
    #[error("the outbox is busy: more is waiting to be stored than fits; try again in a moment")]
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
    /// A row of its own, parked there from the chunk and index by which it is ordered.
    Parked { row: i64, chunk: i64, index: u32 },
}

impl Place {
    /// By which one user's requests are ordered.
    pub const fn order(&self) -> (i64, u32) {
        match *self {
            Self::Chunk { chunk, index, .. } | Self::Parked { chunk, index, .. } => (chunk, index),
        }
    }
}

/// One try of a call, as kept with what waits or has failed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    /// The HTTP status; none when no answer came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// What went wrong, with the beginning of the answer.
    pub reason: String,
    /// How long the call took, in milliseconds; none in attempts of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub took_ms: Option<u32>,
}

/// How a request leaves the place where it was stored.
#[derive(Debug)]
pub enum Settlement {
    /// Accoil took it, or it need not be sent; `said` is what a derived call told Accoil.
    Delivered { place: Place, said: Vec<Fingerprint> },
    /// It waits: for its own next attempt, or (`None`) behind an earlier call of its user.
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
