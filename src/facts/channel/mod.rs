//! The channel from the stages to the history thread. It is bounded by bytes, and sending waits for nothing but the copy of a fact.
//!
//! When it is nearly full, events are passed on without their payloads; when it is full, they are left out. Both are counted.
//! The history thread polls the channel instead of being woken, so that sending costs no system call.

mod budget;
mod queue;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::{Counts, Mappings, Mark, Outcomes, Received, RefusedRequest, RefusedRequests, trace};
use queue::{End, Queue};

/// One message to the history.
#[derive(Debug)]
pub enum Fact {
    /// Posts and outcomes.
    Batch(Batch),
    Mappings(Mappings),
    Mark(Mark),
}

/// There is no fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoFact {
    /// There may be one later.
    Yet,
    /// No stage can send any more.
    Ever,
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
struct Channel {
    queue: Mutex<Queue>,
    arrived: Condvar,
}

impl Channel {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a stage add to the queue, and wakes the history thread if it has slept for long. Does nothing if the thread has ended: the
    /// relay is stopping, or runs without a history.
    fn add(&self, add: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue();
        if queue.ended == Some(End::Inbox) {
            return;
        }
        add(&mut queue);
        if std::mem::take(&mut queue.is_awaited) {
            drop(queue);
            self.arrived.notify_one();
        }
    }
}

/// The end of the channel that all clones of [`Facts`] share.
#[derive(Debug)]
struct Sender(Arc<Channel>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.add(|queue| queue.ended = Some(End::Senders));
    }
}

/// The sending side. Clones send to the same history; [`Facts::off`] sends to none.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    to: Option<Arc<Sender>>,
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
        let channel = Arc::new(Channel { queue: Mutex::new(Queue::new()), arrived: Condvar::new() });
        let refused_requests = Arc::new(RefusedRequests::default());
        let inbox = Inbox { channel: Arc::clone(&channel), refused_requests: Arc::clone(&refused_requests) };
        (Self { to: Some(Arc::new(Sender(channel))), refused_requests, ..Self::default() }, inbox)
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
    pub fn received(&self, received: &Received<'_>) {
        self.counts.received(received);
        trace::received(received);
        if let Some(sender) = &self.to {
            let now = Instant::now();
            sender.0.add(|queue| queue.post(received, now));
        }
    }

    /// Emits the outcomes of calls, collected in one turn of a destination.
    pub fn outcomes(&self, outcomes: &Outcomes) {
        if let Some(sender) = &self.to
            && !outcomes.outcomes.is_empty()
        {
            sender.0.add(|queue| queue.outcomes(outcomes));
        }
    }

    /// Emits the mappings that are in force from now on.
    pub fn mappings(&self, mappings: Mappings) {
        if let Some(sender) = &self.to {
            sender.0.add(|queue| queue.rare(Fact::Mappings(mappings)));
        }
    }

    /// Emits a change of state; rare.
    pub fn mark(&self, mark: Mark) {
        if let Some(sender) = &self.to {
            sender.0.add(|queue| queue.rare(Fact::Mark(mark)));
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
        self.to.as_ref().map(|sender| sender.0.queue().left_out).unwrap_or_default()
    }
}

/// The receiving side. Only the history thread uses it.
#[derive(Debug)]
pub struct Inbox {
    channel: Arc<Channel>,
    refused_requests: Arc<RefusedRequests>,
}

impl Inbox {
    /// Sets how many bytes of payloads are wanted per second. If the history `searches_all` events for values to hide, it gets every
    /// payload, and those that it keeps are marked.
    pub fn want_payloads(&self, rate: u64, searches_all: bool) {
        self.channel.queue().want_payloads(rate, searches_all);
    }

    /// Returns the next fact. If there is none, waits for it, but not longer than `within`.
    pub fn take(&self, within: Duration) -> Result<Fact, NoFact> {
        let mut queue = self.channel.queue();
        if let Some(fact) = queue.take() {
            return Ok(fact);
        }
        if queue.ended.is_none() && !within.is_zero() {
            queue.is_awaited = true;
            let is_awaited = |queue: &mut Queue| queue.is_awaited;
            let waited = self.channel.arrived.wait_timeout_while(queue, within, is_awaited);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
            queue.is_awaited = false;
        }
        let none = if queue.ended.is_some() { NoFact::Ever } else { NoFact::Yet };
        queue.take().ok_or(none)
    }

    /// Returns a batch after it was read. Until then it takes room in the channel.
    pub fn give_back(&self, batch: Batch) {
        self.channel.queue().give_back(batch);
    }

    pub fn refused_requests(&self) -> &RefusedRequests {
        &self.refused_requests
    }

    pub fn left_out(&self) -> LeftOutCounts {
        self.channel.queue().left_out
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.channel.queue().abandon();
    }
}

#[cfg(test)]
mod tests;
