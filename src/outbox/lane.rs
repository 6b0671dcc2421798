//! Lanes: the parts of the outbox that one relay owns. A dispatcher reads and settles through them.
//!
//! All calls of a user to a destination are in one lane, in order. An outbox for one relay has one lane, for ever. An
//! outbox for several relays has many, and each lane has one owner at a time: the owner has a [`Lease`] and loses the
//! lane when the lease ends. Each time a lane changes its owner, its epoch grows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::chunk::Chunk;
use super::{Outbox, Parked, Position, ReadError, Retry, Settlement};
use crate::accoil::Fingerprint;

/// The lanes that this process owns at present.
#[derive(Debug, Clone, Default)]
pub struct Lanes {
    pub owned: Vec<Lane>,
    /// The number of lanes of the outbox, including those of other owners.
    pub all: u16,
}

/// A lane that this process owns, or owned. A cheap clone.
#[derive(Debug, Clone)]
pub struct Lane {
    id: u16,
    epoch: u64,
    lease: Lease,
    outbox: Outbox,
}

impl Lane {
    pub(crate) const fn new(id: u16, epoch: u64, lease: Lease, outbox: Outbox) -> Self {
        Self { id, epoch, lease, outbox }
    }

    pub const fn id(&self) -> u16 {
        self.id
    }

    /// Grows whenever the lane gets a new owner.
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The time before which a call must end; `None` if the lane is owned for ever.
    pub fn valid_until(&self) -> Option<Instant> {
        self.lease.valid_until()
    }

    /// True, for ever, as soon as another process may own the lane.
    pub fn lost(&self) -> bool {
        self.lease.has_ended()
    }

    /// Counts a call that ends before this time. Returns false if the lease does not last as long. The owner keeps the lane until
    /// [`Self::end_calls`] has counted the call back.
    pub fn begin_call(&self, ends: Instant) -> bool {
        self.lease.begin_call(ends)
    }

    /// Counts calls back that have ended. The caller must have reported their outcomes by [`Self::settle`] before.
    pub fn end_calls(&self, calls: usize) {
        self.lease.end_calls(calls);
    }

    /// The position before all calls of the lane.
    pub const fn start(&self) -> Position {
        Position::start(self.id)
    }

    /// The position after the newest committed chunk.
    pub fn latest(&self) -> Position {
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.latest_position(),
            Outbox::Nats(outbox) => outbox.latest_position(self.id, self.epoch),
        }
    }

    /// Returns the first chunk after this position, from memory if possible; `None` if there is none yet.
    pub async fn next_chunk(&self, after: Position) -> Result<Option<Arc<Chunk>>, ReadError> {
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.chunk_after(after.chunk).await,
            Outbox::Nats(outbox) => outbox.next_chunk(after, self.epoch).await,
        }
    }

    /// Reports how calls of this lane ended; durable with the next commit. Does nothing once the lane is lost: its
    /// new owner makes the calls once more.
    pub fn settle(&self, settlements: Vec<Settlement>) {
        if self.lost() {
            return;
        }
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.settle(settlements),
            Outbox::Nats(outbox) => outbox.settle(self.id, self.epoch, settlements),
        }
    }

    /// Returns when all earlier settlements of this lane are stored, or refused.
    pub async fn flush(&self) -> Result<(), ReadError> {
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.flush().await,
            Outbox::Nats(outbox) => outbox.flush().await,
        }
    }

    /// Returns the first parked calls of each of these users, in order, after all earlier settlements.
    pub async fn parked(&self, destination: &str, users: Vec<String>) -> Result<Vec<Parked>, ReadError> {
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.parked(destination, users).await,
            Outbox::Nats(outbox) => outbox.parked(self.id, destination, users).await,
        }
    }

    /// Returns the users with parked calls, and when the first of these is tried again.
    pub async fn parked_users(&self, destination: &str) -> Result<Vec<(String, Option<Retry>)>, ReadError> {
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.parked_users(destination).await,
            Outbox::Nats(outbox) => outbox.parked_users(self.id, destination).await,
        }
    }

    /// Returns how many calls of a destination are parked in the background.
    pub async fn parked_in_background(&self, destination: &str) -> Result<u64, ReadError> {
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.parked_in_background(destination).await,
            Outbox::Nats(outbox) => outbox.parked_in_background(self.id, destination).await,
        }
    }

    /// Returns the position after the newest chunk that a parked call came from. Chunks up to it may contain
    /// earlier calls of the same users, which must be loaded before the parked ones are sent.
    pub async fn resume_point(&self, destination: &str) -> Result<Option<Position>, ReadError> {
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.resume_point(destination).await,
            Outbox::Nats(outbox) => outbox.resume_point(self.id, destination).await,
        }
    }

    /// Returns the fingerprints that were delivered last and when each was stored, oldest first.
    pub async fn last_delivered(&self, most: usize) -> Result<Vec<(Fingerprint, DateTime<Utc>)>, ReadError> {
        match &self.outbox {
            Outbox::Sqlite(outbox) => outbox.last_delivered(most).await,
            Outbox::Nats(outbox) => outbox.last_delivered(most).await,
        }
    }
}

/// The right to work on a lane. The owner renews it; it ends once and for all.
#[derive(Debug, Clone)]
pub struct Lease(Option<Arc<Term>>);

#[derive(Debug)]
struct Term {
    used: Mutex<Use>,
    has_ended: AtomicBool,
}

#[derive(Debug)]
struct Use {
    valid_until: Instant,
    /// The calls that were begun, and whose outcome was not reported yet.
    calls: usize,
}

impl Term {
    fn with<T>(&self, work: impl FnOnce(&mut Use) -> T) -> T {
        work(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lease {
    pub(crate) const FOR_EVER: Self = Self(None);

    fn valid_until(&self) -> Option<Instant> {
        Some(self.0.as_ref()?.with(|used| used.valid_until))
    }

    fn begin_call(&self, ends: Instant) -> bool {
        let Some(term) = &self.0 else { return true };
        term.with(|used| {
            let lasts = ends <= used.valid_until;
            used.calls += usize::from(lasts);
            lasts
        })
    }

    fn end_calls(&self, calls: usize) {
        if let Some(term) = &self.0 {
            term.with(|used| used.calls = used.calls.saturating_sub(calls));
        }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.0.as_ref().is_some_and(|term| term.has_ended.load(Ordering::Acquire))
    }
}

/// What the owner of a lease does with it.
impl Lease {
    pub(crate) fn until(valid_until: Instant) -> Self {
        let (used, has_ended) = (Mutex::new(Use { valid_until, calls: 0 }), AtomicBool::new(false));
        Self(Some(Arc::new(Term { used, has_ended })))
    }

    pub(crate) fn renew(&self, until: Instant) {
        if let Some(term) = &self.0 {
            term.with(|used| used.valid_until = until);
        }
    }

    /// The calls that were begun, and whose outcome was not reported yet.
    pub(crate) fn calls(&self) -> usize {
        self.0.as_ref().map_or(0, |term| term.with(|used| used.calls))
    }

    pub(crate) fn end(&self) {
        if let Some(term) = &self.0 {
            term.has_ended.store(true, Ordering::Release);
        }
    }
}
