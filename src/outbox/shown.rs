//! What the outbox shows of its state, whatever stores it. To add a backend: an arm in each operation.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::{broadcast, watch};

use super::handle::Outbox;
use super::lane::{Lane, Lanes, Lease};
use super::priority::Background;
use super::{NoRoom, Stored, Usage};
use crate::telemetry::Timings;

/// The state of the outbox. Each of these costs a few atomic reads, unless it says otherwise.
impl Outbox {
    /// The lanes that this process owns. A SQLite outbox has one, for ever: its receiver never changes.
    pub fn lanes(&self) -> watch::Receiver<Lanes> {
        match self {
            Self::Sqlite(_) => {
                let lane = Lane::new(0, 0, Lease::FOR_EVER, self.clone());
                watch::channel(Lanes { owned: vec![lane], all: 1 }).1
            }
            Self::Nats(outbox) => outbox.lanes(),
        }
    }

    /// Changes with every committed chunk of a lane that this process owns; the value means nothing.
    pub fn committed(&self) -> watch::Receiver<i64> {
        match self {
            Self::Sqlite(outbox) => outbox.committed(),
            Self::Nats(outbox) => outbox.committed(),
        }
    }

    /// Returns the users whose parked calls an operator made due. A receiver that missed some must treat all users as
    /// due.
    pub fn made_due(&self) -> broadcast::Receiver<Arc<[(String, String)]>> {
        match self {
            Self::Sqlite(outbox) => outbox.made_due(),
            Self::Nats(outbox) => outbox.made_due(),
        }
    }

    /// Becomes true, permanently, when a commit has failed.
    pub fn failed(&self) -> watch::Receiver<bool> {
        match self {
            Self::Sqlite(outbox) => outbox.failed(),
            Self::Nats(outbox) => outbox.failed(),
        }
    }

    /// Returns why nothing is accepted at present, if so.
    pub fn room(&self) -> Result<(), NoRoom> {
        match self {
            Self::Sqlite(outbox) => outbox.room(),
            Self::Nats(outbox) => outbox.room(),
        }
    }

    /// Returns what the outbox contains.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Sqlite(outbox) => outbox.usage(),
            Self::Nats(outbox) => outbox.usage(),
        }
    }

    /// Returns the bytes that wait for delivery.
    pub fn waiting_bytes(&self) -> u64 {
        self.usage().waiting.bytes
    }

    /// Returns the most bytes that may wait, and the least that must stay free on the disk.
    pub fn limits(&self) -> (u64, u64) {
        match self {
            Self::Sqlite(outbox) => outbox.limits(),
            Self::Nats(outbox) => outbox.limits(),
        }
    }

    /// Returns the free bytes of its disk; `None` if the disk does not answer. Costs one system call.
    pub fn free_disk(&self) -> Option<u64> {
        match self {
            Self::Sqlite(outbox) => outbox.free_disk(),
            Self::Nats(outbox) => outbox.free_disk(),
        }
    }

    /// Returns the background calls and the room for more.
    pub fn background(&self) -> &Background {
        match self {
            Self::Sqlite(outbox) => outbox.background(),
            Self::Nats(outbox) => outbox.background(),
        }
    }

    /// Returns how long commits took.
    pub fn commit_timings(&self) -> &Timings {
        match self {
            Self::Sqlite(outbox) => outbox.commit_timings(),
            Self::Nats(outbox) => outbox.commit_timings(),
        }
    }

    /// Returns how many damaged rows of this kind were found since the start.
    pub fn damaged(&self, stored: Stored) -> u64 {
        match self {
            Self::Sqlite(outbox) => outbox.damaged(stored),
            Self::Nats(outbox) => outbox.damaged(stored),
        }
    }

    /// Returns the time by which calls become old: it moves only while the relay runs, whatever the wall clock does.
    pub fn running_time(&self) -> DateTime<Utc> {
        match self {
            Self::Sqlite(outbox) => outbox.running_time(),
            Self::Nats(outbox) => outbox.running_time(),
        }
    }
}
