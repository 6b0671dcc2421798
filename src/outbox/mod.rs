//! The durable outbox (stage 5): what was accepted stays here until it is delivered or an operator removes it.
//!
//! # The contract of every backend
//!
//! 1. **Accept.** [`Outbox::accept`] returns `Ok` only after the events' requests and rejects are on disk (fsync
//!    done, not merely handed to the system). A submission is stored completely or not at all.
//! 2. **Chunks.** One commit stores at most one [`chunk::Chunk`] for each lane: the requests of many posts in the order in which they
//!    were accepted. [`Position`]s only grow. Every destination reads the chunks in order, at its own pace. A chunk is
//!    deleted when all its requests are settled. Reading never changes anything.
//! 3. **Settle.** A request leaves its chunk by one [`Settlement`]: delivered, parked (it waits in a row of its own,
//!    with the time of its next attempt), or dead (a dead letter). A settlement is durable with the next commit. If a
//!    crash loses one, the call is made once more; the call itself is never lost.
//! 4. **Order.** Live events and old ones ([`Priority`]) share the chunks. The [`Position`] orders one user's calls,
//!    parked or not. A later call may be parked while an earlier one is still in its chunk: a reader that starts
//!    again loads the chunks up to [`Lane::resume_point`] before it continues with parked calls.
//! 5. **De-duplication.** An id that was accepted from the same source within its window is not accepted again, even
//!    after a restart. An id whose first copy was rejected or skipped is not remembered. The number of remembered ids is
//!    limited by the configuration; the oldest are forgotten first.
//! 6. **Room.** If the waiting calls or the dead letters exceed their configured size, or the disk has less than its
//!    free floor, nothing is accepted ([`AcceptError::Full`]) until there is room again; [`Outbox::room`] gives the
//!    reason. A full disk has no other effect: settlements are kept in memory and stored as soon as possible. If too much
//!    waits for its commit, the error is [`AcceptError::Busy`].
//! 7. **Failure.** After any other failed commit nothing more is accepted until a restart ([`AcceptError::Failed`]): after
//!    a failed fsync it is unknown what is on disk.
//! 8. **One owner.** A [`Lane`] has one owner at a time. All calls of a user to a destination are in one lane. SQLite has
//!    one lane, and a second process on the same file is refused at open; any process may read ([`Archive`]).
//! 9. **Damage.** A chunk, a parked call, a dead letter or a reject whose bytes changed on the disk is kept, reported once,
//!    counted, shown by lists, and never sent.
//! 10. **Dead letters and rejects** are kept until they are replayed or purged, or expire; rejects also until they exceed
//!     their size. Ages count running time. [`Outbox::keep_house`], called once a minute, removes expired rows even if
//!     nothing is committed. Both kinds share one number space, and are grouped by reason ([`Outbox::groups`]).
//! 11. **Last delivered.** The content that was last delivered for each derived call is stored with the settlement, and
//!     forgotten 30 days after the last delivery.
//!
//! **Atomic**, one commit each: a submission with its ids; a replay with the removal of the reject or dead letter that it
//! replaces; a step of a job with the job's progress; a move of calls to another destination; a settlement with the
//! row that it makes, the row that it removes, and the fingerprints that it records.
//! **Idempotent**: a settlement while its chunk has unsettled requests, a purge, a replay of dead letters, keeping a
//! value, making calls due. To repeat one of them changes nothing. An accept is idempotent only for events with an id, within their window.
//!
//! To add a backend: a folder beside `sqlite/`, its variant in `handle`, and its line in the conformance suite
//! (`tests/it/outbox/contract`).

pub mod chunk;

mod amount;
mod clock;
mod damage;
mod derived;
mod error;
mod frame;
mod groups;
mod handle;
mod jobs;
mod lane;
mod letters;
mod moved;
mod moving;
pub mod nats;
mod position;
mod priority;
mod recent;
mod settlement;
mod shown;
mod sqlite;
mod tail;
mod waiting;
mod waiting_changes;

use std::time::Duration;

pub use crate::facts::{Accepted, Reject, Submission};
pub use amount::{Amount, Retention, Usage};
pub use damage::Stored;
pub use derived::{LastDelivered, Unchanged};
pub use error::{AcceptError, Cause, ChangeError, NoRoom, OpenError, ReadError};
pub use groups::{Group, group_text};
pub use handle::Outbox;
pub use jobs::{Job, JobState, JobStep, NewJob};
pub use lane::{Lane, Lanes, Lease};
pub use letters::{DeadLetter, Filter, Kind, PageFrom, StoredReject};
pub use moved::MovedRecord;
pub use moving::{Move, MoveError};
pub use position::{InvalidCallId, Place, Position};
pub use priority::{Background, Priority};
pub use settlement::{Attempt, Parked, Retry, Settlement};
pub use sqlite::{Archive, BackupError, Lock, Losses, Recovery, announce, backup, lock, owner, recover};
pub use waiting::{WaitingCall, WaitingFilter, WaitingFor, WaitingPage};
pub use waiting_changes::{ChangeWaitingError, OrphanedStep};

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
