//! The channel from the stages to the history thread: bounded by what it holds, and it never waits.
//!
//! When it is nearly full, posts are sent without their payloads; when it is full, they are left out. Both are counted.
//! The receiving side looks into it now and then instead of being woken, so that sending costs no system call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;

use super::{Counts, Door, Mappings, Mark, Outcomes, Received, TurnedAway, trace};

/// Posts may hold this much; the last quarter is for posts without payloads.
const MOST_BYTES: usize = 16 << 20;
const MOST_BYTES_WITH_PAYLOADS: usize = MOST_BYTES / 4 * 3;
const MOST_OUTCOMES: usize = 64 << 10;
/// What an event without its payload holds.
const LINE_BYTES: usize = 256;

/// One thing that was told.
#[derive(Debug)]
pub enum Fact {
    Received { received: Received, bytes: usize, has_payloads: bool },
    Outcomes(Outcomes),
    Mappings(Mappings),
    Mark(Mark),
}

/// What found no room, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct LeftOut {
    /// Events whose line is kept, but not what they held.
    pub payloads: u64,
    /// Events of which nothing is recorded.
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
    door: Arc<Door>,
    /// Nothing of the body of a request that was turned away is kept.
    without_bodies: bool,
}

impl Facts {
    /// Without a history: counters and the log are the only consumers.
    pub fn off() -> Self {
        Self::default()
    }

    pub fn channel() -> (Self, Inbox) {
        let (sender, facts) = mpsc::channel();
        let level = Arc::new(Level::default());
        let door = Arc::new(Door::default());
        let inbox = Inbox { facts, level: Arc::clone(&level), door: Arc::clone(&door) };
        (Self { to: Some((sender, level)), door, ..Self::default() }, inbox)
    }

    /// The same, but without the bodies of requests that are turned away: nobody knows what is in them.
    #[must_use]
    pub fn without_bodies(self) -> Self {
        Self { without_bodies: true, ..self }
    }

    /// Whether anybody records what is sent: what is made for the history alone need not be made otherwise.
    pub const fn is_on(&self) -> bool {
        self.to.is_some()
    }

    /// A post, after its commit.
    pub fn received(&self, mut received: Received) {
        self.counts.received(&received);
        trace::received(&received);
        let Some((sender, level)) = &self.to else { return };
        let events = received.submission.events();
        let mut bytes = received.submission.size() + events * LINE_BYTES;
        let before = level.bytes.load(Ordering::Relaxed);
        let has_payloads = before + bytes <= MOST_BYTES_WITH_PAYLOADS;
        if !has_payloads {
            bytes = events * LINE_BYTES;
            if before + bytes > MOST_BYTES {
                level.events_left_out.fetch_add(events as u64, Ordering::Relaxed);
                return;
            }
            strip(&mut received);
            level.payloads_left_out.fetch_add(events as u64, Ordering::Relaxed);
        }
        level.bytes.fetch_add(bytes, Ordering::Relaxed);
        // The history thread has ended when this fails: the relay stops, or runs on without it.
        let _ = sender.send(Fact::Received { received, bytes, has_payloads });
    }

    /// What became of the calls of one turn of a destination.
    pub fn outcomes(&self, outcomes: Outcomes) {
        let Some((sender, level)) = &self.to else { return };
        let count = outcomes.outcomes.len();
        if count == 0 {
            return;
        }
        if level.outcomes.load(Ordering::Relaxed) + count > MOST_OUTCOMES {
            level.outcomes_left_out.fetch_add(count as u64, Ordering::Relaxed);
            return;
        }
        level.outcomes.fetch_add(count, Ordering::Relaxed);
        let _ = sender.send(Fact::Outcomes(outcomes));
    }

    /// The mappings in force from now on.
    pub fn mappings(&self, mappings: Mappings) {
        if let Some((sender, _)) = &self.to {
            let _ = sender.send(Fact::Mappings(mappings));
        }
    }

    /// A change of state; rare.
    pub fn mark(&self, mark: Mark) {
        if let Some((sender, _)) = &self.to {
            let _ = sender.send(Fact::Mark(mark));
        }
    }

    /// A request that was turned away at the door.
    pub fn turned_away(&self, turned_away: &TurnedAway<'_>) {
        self.door.add(turned_away, !self.without_bodies);
    }

    /// What was received since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The requests that were turned away, in groups.
    pub fn door(&self) -> &Door {
        &self.door
    }

    pub fn left_out(&self) -> LeftOut {
        self.to.as_ref().map(|(_, level)| level.left_out()).unwrap_or_default()
    }
}

impl Level {
    fn left_out(&self) -> LeftOut {
        LeftOut {
            payloads: self.payloads_left_out.load(Ordering::Relaxed),
            events: self.events_left_out.load(Ordering::Relaxed),
            outcomes: self.outcomes_left_out.load(Ordering::Relaxed),
        }
    }
}

/// Without what it holds: what is left makes a line.
fn strip(received: &mut Received) {
    let submission = &mut received.submission;
    for event in &mut submission.accepted {
        event.original = Bytes::new();
        event.requests.iter_mut().for_each(|request| request.body = Vec::new());
    }
    submission.rejects.iter_mut().for_each(|reject| reject.original = Bytes::new());
    submission.passed.iter_mut().for_each(|event| event.original = Bytes::new());
}

/// The receiving side; for the history thread alone.
#[derive(Debug)]
pub struct Inbox {
    facts: mpsc::Receiver<Fact>,
    level: Arc<Level>,
    door: Arc<Door>,
}

impl Inbox {
    /// What has come, or, if nothing has, what comes first within this time.
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

    pub fn door(&self) -> &Door {
        &self.door
    }

    pub fn left_out(&self) -> LeftOut {
        self.level.left_out()
    }
}

#[cfg(test)]
mod tests;
