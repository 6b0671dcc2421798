//! The channel from the stages to the history thread. It is bounded by bytes, and sending never waits.
//!
//! When it is nearly full, posts are sent without their payloads; when it is full, they are left out. Both are counted.
//! The history thread polls the channel instead of being woken, so that sending costs no system call.

mod budget;
mod payloads;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Counts, Mappings, Mark, Outcomes, Received, RefusedRequest, RefusedRequests, trace};
use crate::event_id::EventId;
use payloads::WantedPayloads;

/// The bytes of all posts in the channel. The last quarter is for posts without payloads.
const MAX_BYTES: usize = 16 << 20;
const MAX_BYTES_WITH_PAYLOADS: usize = MAX_BYTES / 4 * 3;
const MAX_OUTCOMES: usize = 64 << 10;
/// How many bytes an event without its payload counts as: about what it uses in memory.
const LINE_BYTES: usize = 384;

/// One message to the history.
#[derive(Debug)]
pub enum Fact {
    /// `kept` are the events whose payload is kept, sorted by id.
    Received {
        received: Received,
        bytes: usize,
        kept: Vec<EventId>,
    },
    Outcomes(Outcomes),
    Mappings(Mappings),
    Mark(Mark),
}

/// The number of facts that found no room in the channel since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LeftOutCounts {
    /// Events that are recorded without their payload.
    pub payloads: u64,
    /// Events that are not recorded at all.
    pub events: u64,
    pub outcomes: u64,
}

#[derive(Debug)]
struct Level {
    wanted: Mutex<WantedPayloads>,
    bytes: AtomicUsize,
    outcomes: AtomicUsize,
    payloads_left_out: AtomicU64,
    events_left_out: AtomicU64,
    outcomes_left_out: AtomicU64,
}

/// The sending side. Clones send to the same history; [`Facts::off`] sends to none.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    to: Option<(mpsc::Sender<Fact>, Arc<Level>)>,
    counts: Arc<Counts>,
    refused_requests: Arc<RefusedRequests>,
    /// True if nothing of a refused request's body may be kept.
    without_bodies: bool,
}

impl Facts {
    /// Returns facts without a history: only the counters and the log consume them.
    pub fn off() -> Self {
        Self::default()
    }

    pub fn channel() -> (Self, Inbox) {
        let (sender, facts) = mpsc::channel();
        let level = Arc::new(Level::new());
        let refused_requests = Arc::new(RefusedRequests::default());
        let inbox =
            Inbox { facts, level: Arc::clone(&level), refused_requests: Arc::clone(&refused_requests) };
        (Self { to: Some((sender, level)), refused_requests, ..Self::default() }, inbox)
    }

    /// Returns the same facts without the bodies of refused requests: an unread body may hold values that must be hidden.
    #[must_use]
    pub fn without_bodies(self) -> Self {
        Self { without_bodies: true, ..self }
    }

    /// Returns whether a history records the facts. If not, callers need not make what only the history uses.
    pub const fn is_on(&self) -> bool {
        self.to.is_some()
    }

    /// Emits a post, after its commit.
    pub fn received(&self, mut received: Received) {
        self.counts.received(&received);
        trace::received(&received);
        let Some((sender, level)) = &self.to else { return };
        let events = received.submission.events();
        let before = level.bytes.load(Ordering::Relaxed);
        let submission = &mut received.submission;
        let mut wanted = level.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = wanted.select(submission, Instant::now());
        let searches_all = wanted.searches_all;
        drop(wanted);
        let mut bytes = submission.size() + events * LINE_BYTES;
        // Without its payload, the values to hide in an event could not be found.
        let mut left_out = 0;
        if before + bytes > MAX_BYTES_WITH_PAYLOADS && !searches_all {
            payloads::strip(submission);
            left_out = std::mem::take(&mut kept).len();
            bytes = events * LINE_BYTES;
        }
        if before + bytes > MAX_BYTES {
            level.events_left_out.fetch_add(events as u64, Ordering::Relaxed);
            return;
        }
        level.payloads_left_out.fetch_add(left_out as u64, Ordering::Relaxed);
        level.bytes.fetch_add(bytes, Ordering::Relaxed);
        // This fails only if the history thread has ended: the relay is stopping, or runs without a history.
        let _ = sender.send(Fact::Received { received, bytes, kept });
    }

    /// Emits the outcomes of calls, collected in one turn of a destination.
    pub fn outcomes(&self, outcomes: Outcomes) {
        let Some((sender, level)) = &self.to else { return };
        let count = outcomes.outcomes.len();
        if count == 0 {
            return;
        }
        if level.outcomes.load(Ordering::Relaxed) + count > MAX_OUTCOMES {
            level.outcomes_left_out.fetch_add(count as u64, Ordering::Relaxed);
            return;
        }
        level.outcomes.fetch_add(count, Ordering::Relaxed);
        let _ = sender.send(Fact::Outcomes(outcomes));
    }

    /// Emits the mappings that are in force from now on.
    pub fn mappings(&self, mappings: Mappings) {
        if let Some((sender, _)) = &self.to {
            let _ = sender.send(Fact::Mappings(mappings));
        }
    }

    /// Emits a change of state; rare.
    pub fn mark(&self, mark: Mark) {
        if let Some((sender, _)) = &self.to {
            let _ = sender.send(Fact::Mark(mark));
        }
    }

    /// Emits a refused request.
    pub fn refused_request(&self, request: &RefusedRequest<'_>) {
        self.refused_requests.add(request, !self.without_bodies);
    }

    /// Returns the counters of received events since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns the refused requests, in groups.
    pub fn refused_requests(&self) -> &RefusedRequests {
        &self.refused_requests
    }

    pub fn left_out(&self) -> LeftOutCounts {
        self.to.as_ref().map(|(_, level)| level.left_out()).unwrap_or_default()
    }
}

impl Level {
    /// At first every payload is wanted.
    fn new() -> Self {
        Self {
            wanted: Mutex::new(WantedPayloads::new(u64::MAX, false)),
            bytes: AtomicUsize::new(0),
            outcomes: AtomicUsize::new(0),
            payloads_left_out: AtomicU64::new(0),
            events_left_out: AtomicU64::new(0),
            outcomes_left_out: AtomicU64::new(0),
        }
    }

    fn left_out(&self) -> LeftOutCounts {
        LeftOutCounts {
            payloads: self.payloads_left_out.load(Ordering::Relaxed),
            events: self.events_left_out.load(Ordering::Relaxed),
            outcomes: self.outcomes_left_out.load(Ordering::Relaxed),
        }
    }
}

/// The receiving side. Only the history thread uses it.
#[derive(Debug)]
pub struct Inbox {
    facts: mpsc::Receiver<Fact>,
    level: Arc<Level>,
    refused_requests: Arc<RefusedRequests>,
}

impl Inbox {
    /// Sets how many bytes of payloads are wanted per second. If the history `searches_all` events for values to hide, it gets every
    /// payload, and those that it keeps are named.
    pub fn want_payloads(&self, rate: u64, searches_all: bool) {
        let mut wanted = self.level.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted = WantedPayloads::new(rate, searches_all);
    }

    /// Returns the next fact. If there is none, waits for it, but not longer than `within`.
    pub fn take(&self, within: Duration) -> Result<Fact, mpsc::RecvTimeoutError> {
        let fact = match self.facts.try_recv() {
            Ok(fact) => fact,
            Err(mpsc::TryRecvError::Disconnected) => return Err(mpsc::RecvTimeoutError::Disconnected),
            Err(mpsc::TryRecvError::Empty) if within.is_zero() => {
                return Err(mpsc::RecvTimeoutError::Timeout);
            }
            Err(mpsc::TryRecvError::Empty) => self.facts.recv_timeout(within)?,
        };
        match &fact {
            Fact::Received { bytes, .. } => drop(self.level.bytes.fetch_sub(*bytes, Ordering::Relaxed)),
            Fact::Outcomes(outcomes) => {
                self.level.outcomes.fetch_sub(outcomes.outcomes.len(), Ordering::Relaxed);
            }
            Fact::Mappings(_) | Fact::Mark(_) => {}
        }
        Ok(fact)
    }

    pub fn refused_requests(&self) -> &RefusedRequests {
        &self.refused_requests
    }

    pub fn left_out(&self) -> LeftOutCounts {
        self.level.left_out()
    }
}

#[cfg(test)]
mod tests;
