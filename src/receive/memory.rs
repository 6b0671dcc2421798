//! The memory for request bodies and long heads: a limit for all, a small part for bodies that may belong to no source,
//! and a share for each address.
//!
//! Memory is taken as bytes arrive, never for what is only announced. Nothing waits for memory: without it a request
//! is refused.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::BodyError;
use super::turns::Turns;
use crate::config::Limits;

/// Memory is counted in units of this many bytes.
const UNIT: usize = 1024;
/// A body that arrives in pieces gets memory in steps of this size.
pub(super) const STEP: usize = 64 * 1024;
/// The part of all memory for bodies without a right key in a header: one over this number.
const KEYLESS_PART: usize = 8;
/// A head up to this size takes no memory, because each connection has a buffer of this size anyway.
const LONG_HEAD: usize = 8 * 1024;

/// The memory that all bodies share, and the turns for slow work. Clones share the same memory.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Budgets>);

#[derive(Debug)]
struct Budgets {
    all: Budget,
    keyless: Budget,
    turns: Turns,
}

#[derive(Debug)]
struct Budget {
    units: Arc<Semaphore>,
    /// The most bytes that one address may use.
    share: usize,
}

impl Budget {
    /// An address may use half, and always enough for decompressing a body of the largest size.
    fn new(bytes: usize, largest: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)), share: (bytes / 2).max(largest.saturating_mul(2)) }
    }

    fn take(&self, units: u32) -> Result<OwnedSemaphorePermit, BodyError> {
        Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| BodyError::NoRoom)
    }
}

impl Memory {
    pub fn new(limits: &Limits) -> Self {
        let routes = [limits.webhook_bytes, limits.amplitude_bytes, limits.amplitude_batch_bytes];
        let largest = routes.into_iter().fold(limits.tracking_batch_bytes, usize::max);
        let all = limits.buffered_bytes;
        let keyless = (all / KEYLESS_PART).max(largest.saturating_mul(2)).min(all);
        Self(Arc::new(Budgets {
            all: Budget::new(all, largest),
            keyless: Budget::new(keyless, largest),
            turns: Turns::default(),
        }))
    }

    /// Runs work on a body; for a large body, off the async workers and a few at a time.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        is_large: bool,
        is_keyed: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BodyError> {
        if !is_large {
            return Ok(work());
        }
        self.0.turns.run(is_keyed, work).await.ok_or(BodyError::NoRoom)
    }
}

/// A sender's address, and how many bytes its bodies use. Clones share the same address.
#[derive(Debug, Clone, Default)]
pub(super) struct Peer {
    pub(super) address: Option<IpAddr>,
    bytes: Arc<AtomicUsize>,
}

impl Peer {
    pub(super) fn new(address: IpAddr) -> Self {
        Self { address: Some(address), bytes: Arc::default() }
    }

    /// Returns whether a connection of this address is open.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.bytes) > 1
    }
}

/// The memory for a long request head.
#[derive(Debug)]
pub(super) struct HeadRoom {
    memory: Memory,
    peer: Peer,
    held: Option<BodyMemory>,
}

impl HeadRoom {
    pub(super) const fn new(memory: Memory, peer: Peer) -> Self {
        Self { memory, peer, held: None }
    }

    /// Takes memory for an unfinished head of this size, or returns some.
    pub(super) fn hold(&mut self, head: usize) -> Result<(), BodyError> {
        if head <= LONG_HEAD {
            self.held = None;
        } else if self.held.is_none() {
            let mut held = BodyMemory::new(self.memory.clone(), self.peer.clone(), true);
            held.take(STEP)?;
            self.held = Some(held);
        }
        Ok(())
    }
}

/// The memory that a body uses; released when this is dropped.
#[derive(Debug)]
pub(super) struct BodyMemory {
    memory: Memory,
    peer: Peer,
    is_keyed: bool,
    bytes: usize,
    all: Option<OwnedSemaphorePermit>,
    keyless: Option<OwnedSemaphorePermit>,
}

impl Drop for BodyMemory {
    fn drop(&mut self) {
        self.peer.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl BodyMemory {
    pub(super) const fn new(memory: Memory, peer: Peer, is_keyed: bool) -> Self {
        Self { memory, peer, is_keyed, bytes: 0, all: None, keyless: None }
    }

    pub(super) fn take(&mut self, bytes: usize) -> Result<(), BodyError> {
        let units = bytes.div_ceil(UNIT);
        let bytes = units * UNIT;
        let budgets = &self.memory.0;
        let budget = if self.is_keyed { &budgets.all } else { &budgets.keyless };
        let before = self.peer.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > budget.share {
            return Err(BodyError::NoShare);
        }
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        merge(&mut self.all, budgets.all.take(units)?);
        if !self.is_keyed {
            merge(&mut self.keyless, budgets.keyless.take(units)?);
        }
        Ok(())
    }

    /// Takes the missing memory for a body that has `length` bytes now and may have `limit`.
    pub(super) fn grow(&mut self, length: usize, limit: usize) -> Result<(), BodyError> {
        let Some(missing) = length.checked_sub(self.bytes).filter(|missing| *missing > 0) else {
            return Ok(());
        };
        // Usually the first piece is the whole body; after it, memory grows in steps.
        let step = if self.bytes == 0 { 0 } else { STEP.min(limit.saturating_sub(self.bytes)) };
        self.take(missing.max(step))
    }
}

fn merge(held: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match held {
        Some(held) => held.merge(more),
        None => *held = Some(more),
    }
}
