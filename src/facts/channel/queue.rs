//! The facts that the history has not read yet. What finds no room is left out and counted: payloads first, then events.

use std::collections::VecDeque;
use std::time::Instant;

use super::budget::Budget;
use super::{Fact, LeftOutCounts};
use crate::facts::batch::{Batch, KnownShared, Part, Payloads, events_of};
use crate::facts::{Outcomes, Received};

/// The bytes of all batches. The last quarter is for events without payloads.
pub(super) const MAX_BYTES: usize = 12 << 20;
const MAX_BYTES_WITH_PAYLOADS: usize = MAX_BYTES / 4 * 3;
const MAX_OUTCOMES: usize = 64 << 10;
/// A larger payload is never kept.
const MAX_PAYLOAD: usize = 1 << 20;
/// A batch that has this size is closed.
const BATCH_BYTES: usize = 256 << 10;
/// The memory of a new batch: the post that fills it is usually not larger than the rest.
const BATCH_MEMORY: usize = BATCH_BYTES + (64 << 10);
/// The batches whose memory is kept for new ones.
const MAX_SPARE: usize = 4;

#[derive(Debug)]
pub(super) struct Queue {
    /// The batch that is being filled.
    open: Batch,
    closed: VecDeque<Batch>,
    rare: VecDeque<Fact>,
    spare: Vec<Vec<u8>>,
    known: KnownShared,
    budget: Budget,
    /// Whether the history searches every event for values to hide: then even what it does not keep is passed on.
    searches_all: bool,
    /// The bytes and outcomes of the closed batches, and of the one that the history reads.
    bytes: usize,
    outcomes: usize,
    pub(super) left_out: LeftOutCounts,
    /// Whether the history thread waits to be woken.
    pub(super) is_awaited: bool,
    pub(super) ended: Option<End>,
}

/// A side of the channel that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// No stage can send any more.
    Senders,
    /// The history thread reads no more.
    Inbox,
}

impl Queue {
    /// At first every payload is wanted.
    pub(super) fn new() -> Self {
        Self {
            open: Batch::default(),
            closed: VecDeque::new(),
            rare: VecDeque::new(),
            spare: Vec::new(),
            known: KnownShared::default(),
            budget: Budget::new(u64::MAX, Instant::now()),
            searches_all: false,
            bytes: 0,
            outcomes: 0,
            left_out: LeftOutCounts::default(),
            is_awaited: false,
            ended: None,
        }
    }

    pub(super) fn want_payloads(&mut self, rate: u64, searches_all: bool) {
        (self.budget, self.searches_all) = (Budget::new(rate, Instant::now()), searches_all);
    }

    pub(super) fn post(&mut self, received: &Received<'_>, now: Instant) {
        self.prepare();
        if self.size() >= MAX_BYTES {
            self.left_out.events += events_of(received).count() as u64;
            return;
        }
        self.open.begin_post(received);
        for event in events_of(received) {
            match self.payloads(&event, now) {
                Some(payloads) => self.open.event(received.submission, &event, payloads, &mut self.known),
                None => self.left_out.events += 1,
            }
        }
    }

    pub(super) fn outcomes(&mut self, outcomes: &Outcomes) {
        let count = outcomes.outcomes.len();
        if self.outcomes + self.open.outcomes + count > MAX_OUTCOMES {
            self.left_out.outcomes += count as u64;
            return;
        }
        self.prepare();
        self.open.outcomes(outcomes, &mut self.known);
    }

    pub(super) fn rare(&mut self, fact: Fact) {
        self.rare.push_back(fact);
    }

    /// Decides how much of an event is passed on; `None`: nothing of it.
    fn payloads(&mut self, event: &Part<'_>, now: Instant) -> Option<Payloads> {
        let (received, sent) = (event.original().len(), event.bodies_len());
        let is_kept =
            received > 0 && received + sent <= MAX_PAYLOAD && self.budget.allow(received + sent, now);
        let (payloads, bytes) = if is_kept || self.searches_all {
            (Payloads::Whole { is_kept }, received + sent)
        } else if event.title().is_none() {
            (Payloads::Original, received)
        } else {
            (Payloads::Nothing, 0)
        };
        let after = self.size() + bytes;
        if self.searches_all {
            // Without its payload, the values to hide in the event could not be found.
            return (after <= MAX_BYTES).then_some(payloads);
        }
        if after <= MAX_BYTES_WITH_PAYLOADS || bytes == 0 {
            return (after <= MAX_BYTES).then_some(payloads);
        }
        self.left_out.payloads += u64::from(is_kept);
        (self.size() <= MAX_BYTES).then_some(Payloads::Nothing)
    }

    fn size(&self) -> usize {
        self.bytes + self.open.size()
    }

    /// Makes the open batch ready for more.
    fn prepare(&mut self) {
        let is_renumbered = self.known.are_many();
        if is_renumbered || self.open.size() >= BATCH_BYTES {
            self.close();
        }
        if self.open.is_empty() {
            let memory = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BATCH_MEMORY));
            self.open = Batch::within(memory);
        }
        if is_renumbered {
            self.known.clear();
            self.open.is_renumbered = true;
        }
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            let closed = std::mem::take(&mut self.open);
            self.bytes += closed.size();
            self.outcomes += closed.outcomes;
            self.closed.push_back(closed);
        }
    }

    /// Returns the next fact.
    pub(super) fn take(&mut self) -> Option<Fact> {
        if let Some(rare) = self.rare.pop_front() {
            return Some(rare);
        }
        if self.closed.is_empty() {
            self.close();
        }
        self.closed.pop_front().map(Fact::Batch)
    }

    /// Takes back a batch that was read. It counts until then.
    pub(super) fn give_back(&mut self, batch: Batch) {
        self.bytes = self.bytes.saturating_sub(batch.size());
        self.outcomes = self.outcomes.saturating_sub(batch.outcomes);
        let memory = batch.into_memory();
        if self.spare.len() < MAX_SPARE && memory.capacity() <= 2 * BATCH_MEMORY {
            self.spare.push(memory);
        }
    }

    /// Forgets everything, because nobody will read it.
    pub(super) fn abandon(&mut self) {
        (self.open, self.closed, self.rare) = (Batch::default(), VecDeque::new(), VecDeque::new());
        self.ended = Some(End::Inbox);
    }
}
