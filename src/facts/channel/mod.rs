//! The channel from the stages to the history thread. It is bounded by bytes, and sending never waits.
//!
//! When it is nearly full, posts are sent without their payloads; when it is full, they are left out. Both are counted.
//! The history thread polls the channel instead of being woken, so that sending costs no system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;

use super::{Counts, Mappings, Mark, Outcomes, Received, RefusedRequest, RefusedRequests, trace};

/// The bytes of all posts in the channel. The last quarter is for posts without payloads.
const MAX_BYTES: usize = 16 << 20;
const MAX_BYTES_WITH_PAYLOADS: usize = MAX_BYTES / 4 * 3;
const MAX_OUTCOMES: usize = 64 << 10;
/// The bytes that an event without its payload counts as.
const LINE_BYTES: usize = 256;

/// One message to the history.
#[derive(Debug)]
pub enum Fact {
    Received { received: Received, bytes: usize, has_payloads: bool },
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

#[derive(Debug, Default)]
struct Level {
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
        let level = Arc::new(Level::default());
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
        let mut bytes = received.submission.size() + events * LINE_BYTES;
        let before = level.bytes.load(Ordering::Relaxed);
        let has_payloads = before + bytes <= MAX_BYTES_WITH_PAYLOADS;
        if !has_payloads {
            bytes = events * LINE_BYTES;
            if before + bytes > MAX_BYTES {
                level.events_left_out.fetch_add(events as u64, Ordering::Relaxed);
                return;
            }
            strip(&mut received);
            level.payloads_left_out.fetch_add(events as u64, Ordering::Relaxed);
        }
        level.bytes.fetch_add(bytes, Ordering::Relaxed);
        // This fails only if the history thread has ended: the relay is stopping, or runs without a history.
        let _ = sender.send(Fact::Received { received, bytes, has_payloads });
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
    fn left_out(&self) -> LeftOutCounts {
        LeftOutCounts {
            payloads: self.payloads_left_out.load(Ordering::Relaxed),
            events: self.events_left_out.load(Ordering::Relaxed),
            outcomes: self.outcomes_left_out.load(Ordering::Relaxed),
        }
    }
}

/// Removes the payloads; the rest is enough for a line.
fn strip(received: &mut Received) {
    let submission = &mut received.submission;
    for event in &mut submission.accepted {
        event.original = Bytes::new();
        event.requests.iter_mut().for_each(|request| request.body = Vec::new());
    }
    submission.rejects.iter_mut().for_each(|reject| reject.original = Bytes::new());
    submission.skipped.iter_mut().for_each(|event| event.original = Bytes::new());
}

/// The receiving side. Only the history thread uses it.
#[derive(Debug)]
pub struct Inbox {
    facts: mpsc::Receiver<Fact>,
    level: Arc<Level>,
    refused_requests: Arc<RefusedRequests>,
}

impl Inbox {
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
