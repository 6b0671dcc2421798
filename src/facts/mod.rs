//! The facts about events: what a post contained, how each call ended, which requests were turned away.
//!
//! A stage emits each fact once: the outbox after a commit, the dispatcher when it settles a call, the door when it refuses.
//! [`Facts`] gives them to their consumers: the metrics' counters, the log and the history. It never waits and never fails:
//! what finds no room on the way to the history is left out and counted.

mod channel;
mod counts;
mod door;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::accoil::Request;
use crate::decode::Form;
use crate::event_id::EventId;
use crate::reasons::Reason;

pub use channel::{Fact, Facts, Inbox, LeftOut};
pub use counts::{Counts, SourceCounts};
pub use door::{Door, DoorGroup, DoorKey, KeyHint, Sample, TurnedAway};

/// One accepted event: its original bytes and the requests it became. Never without a request.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub event: EventId,
    /// The item as the sender wrote it.
    pub original: Bytes,
    /// For de-duplication; `None` when the sender gave none.
    pub message_id: Option<String>,
    pub requests: Vec<Request>,
    /// What was left out, replaced or converted in the requests; mostly empty.
    pub warned: Vec<Reason>,
}

/// An event, or one mapping's view of it, that cannot be delivered as things are.
#[derive(Debug, Clone)]
pub struct Reject {
    pub event: EventId,
    pub original: Bytes,
    /// What its batch said about all its events, as `decode::Shared::to_json` gives it.
    pub envelope: Option<Arc<str>>,
    /// JSON: `[{"mapping","field","reason","code"}]`.
    pub reasons: String,
    /// The code of the first of the reasons.
    pub code: Reason,
    /// The destinations and mappings that refused it; empty if the event could not be read.
    pub refused_by: Vec<(Arc<str>, Arc<str>)>,
}

/// A skipped event: nothing of it is sent or stored, but the history keeps it.
#[derive(Debug, Clone)]
pub struct Passed {
    pub event: EventId,
    pub original: Bytes,
    pub message_id: Option<String>,
    pub reason: Reason,
}

/// All that one post brought, stored together or not at all.
#[derive(Debug)]
pub struct Submission {
    /// The source's name in the configuration.
    pub source: Arc<str>,
    /// In which form its items came, so that an event can be read again.
    pub form: Form,
    pub received_at: DateTime<Utc>,
    /// How long the source remembers its ids; zero: not at all.
    pub deduplication_window: Duration,
    pub accepted: Vec<Accepted>,
    pub rejects: Vec<Reject>,
    /// Only for the history: the outbox stores none of these.
    pub passed: Vec<Passed>,
    /// Only for the history: what the post said about all its events, as `decode::Shared::to_json` gives it.
    pub envelope: Option<Arc<str>>,
    /// Only for the history: the [`Mappings::version`] that was in force; 0 if nobody knows.
    pub mappings: u64,
}

impl Submission {
    /// Bytes it holds in memory.
    pub fn size(&self) -> usize {
        let accepted = self.accepted.iter().map(|event| {
            let bodies: usize = event.requests.iter().map(|request| request.body.len() + 128).sum();
            event.original.len() + bodies
        });
        let rejects = self.rejects.iter().map(|reject| reject.original.len() + 256);
        let passed = self.passed.iter().map(|event| event.original.len() + 96);
        accepted.chain(rejects).chain(passed).sum()
    }

    /// Events in it; one that is accepted in part and rejected in part may count twice.
    pub fn events(&self) -> usize {
        self.accepted.len() + self.rejects.len() + self.passed.len()
    }
}

/// A post after its commit, or one with nothing to commit.
#[derive(Debug)]
pub struct Received {
    pub submission: Submission,
    /// Which of `submission.accepted` had been accepted before, by their index, in order.
    pub duplicates: Vec<u32>,
    /// Whether it was made of a reject or of a kept event instead of a post.
    pub is_replay: bool,
}

/// How one attempt of one call ended, or that a call was settled without one.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub event: EventId,
    /// Which of the event's requests it was, from 0; [`Self::UNKNOWN_REQUEST`] if nobody knows.
    pub request: u8,
    /// 1 for the first; 0 if no call was made.
    pub attempt: u8,
    pub verdict: Verdict,
    /// Why it was not delivered; none for a delivered call.
    pub reason: Option<Reason>,
    /// The HTTP status; 0 when no answer came.
    pub status: u16,
    /// How long the call took, in microseconds.
    pub took_us: u32,
    pub at: DateTime<Utc>,
    /// The beginning of the answer's body, or how the call failed; mostly short.
    pub text: Bytes,
}

impl Outcome {
    pub const UNKNOWN_REQUEST: u8 = u8::MAX;
}

/// What an attempt came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    Delivered,
    /// Not sent: the destination was told the same before.
    Held,
    /// It failed and waits for its next attempt.
    Waits,
    /// It waits behind an earlier call of its user.
    Behind,
    /// It became a dead letter.
    Dead,
}

/// The outcomes of one turn of one destination.
#[derive(Debug, Clone)]
pub struct Outcomes {
    pub destination: Arc<str>,
    pub outcomes: Vec<Outcome>,
}

/// A version of the effective mappings of all destinations, told when they are read.
#[derive(Debug, Clone)]
pub struct Mappings {
    /// A hash of the document; never 0.
    pub version: u64,
    /// From when on it was in force.
    pub at: DateTime<Utc>,
    /// From it the same mappings can be compiled again.
    pub document: Arc<str>,
}

/// A change of state that charts show as a tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub at: DateTime<Utc>,
    /// A word such as `start`, `stop`, `mappings`, `destination`, `pause`, `config`.
    pub kind: &'static str,
    /// What changed, for people; nothing personal.
    pub text: String,
}
