//! The facts about events: what a post contained, how each call ended, which requests were refused.
//!
//! Each fact is emitted once: by the outbox after a commit, by the dispatcher when it settles a call, by receive when it
//! refuses a request. [`Facts`] passes them to the metrics' counters, the log and the history. It never waits and never
//! fails: if the history has no room for a fact, the fact is left out and counted.

mod batch;
mod channel;
mod counts;
mod refused_requests;
mod title;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use crate::accoil::Request;
use crate::decode::Form;
use crate::event_id::EventId;
use crate::reasons::Reason;

pub use batch::{Batch, CallPattern, Ending, EventRecord, OutcomeRecord, Pattern, PostRecord, Record};
pub use channel::{Fact, Facts, Inbox, LeftOutCounts, NoFact};
pub use counts::{Counts, SourceCounts};
pub use refused_requests::{
    KeyHint, RefusedRequest, RefusedRequestGroup, RefusedRequestKey, RefusedRequests, Sample,
};
pub use title::{MAX_BYTES, Title, cut};

/// One accepted event: its original bytes and the requests it became. Never without a request.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub event: EventId,
    /// The item as the sender wrote it.
    pub original: Bytes,
    /// For de-duplication; `None` if the sender gave none.
    pub message_id: Option<String>,
    pub requests: Vec<Request>,
    /// What was left out, replaced or converted in the requests; usually empty.
    pub warned: Vec<Reason>,
    /// Only for the history, which reads it from `original` if it is missing.
    pub title: Option<Title>,
}

/// An event that could not be read, or that one or more mappings refused.
#[derive(Debug, Clone)]
pub struct Reject {
    pub event: EventId,
    pub original: Bytes,
    /// The members of its batch that apply to all events, as `decode::Shared::to_json` returned them.
    pub envelope: Option<Arc<str>>,
    /// JSON: `[{"mapping","field","reason","code"}]`.
    pub reasons: String,
    /// The code of the first reason.
    pub code: Reason,
    /// The destinations and mappings that refused it; empty if the event could not be read.
    pub refused_by: Vec<(Arc<str>, Arc<str>)>,
}

/// A skipped event. It is not sent, and only the history records it.
#[derive(Debug, Clone)]
pub struct SkippedEvent {
    pub event: EventId,
    pub original: Bytes,
    pub message_id: Option<String>,
    pub reason: Reason,
}

/// The requests and rejects of one post. The outbox stores all of it or nothing.
#[derive(Debug)]
pub struct Submission {
    /// The source's name in the configuration.
    pub source: Arc<str>,
    /// The form of its items, which is needed to read an event again.
    pub form: Form,
    pub received_at: DateTime<Utc>,
    /// How long the source remembers its message ids; zero: not at all.
    pub deduplication_window: Duration,
    pub accepted: Vec<Accepted>,
    pub rejects: Vec<Reject>,
    /// Only for the history: the outbox stores none of these.
    pub skipped: Vec<SkippedEvent>,
    /// Only for the history: the members of the post that apply to all events, as `decode::Shared::to_json` returned them.
    pub envelope: Option<Arc<str>>,
    /// Only for the history: the [`Mappings::version`] that was in force; 0 if it is unknown.
    pub mappings: u64,
}

impl Submission {
    /// Returns its size in memory, in bytes.
    pub fn size(&self) -> usize {
        let accepted = self.accepted.iter().map(|event| {
            let bodies: usize = event.requests.iter().map(|request| request.body.len() + 128).sum();
            event.original.len() + bodies
        });
        let rejects = self.rejects.iter().map(|reject| reject.original.len() + 256);
        let skipped = self.skipped.iter().map(|event| event.original.len() + 96);
        accepted.chain(rejects).chain(skipped).sum()
    }

    /// Returns the number of events. An event that some mappings accepted and others rejected counts twice.
    pub fn events(&self) -> usize {
        self.accepted.len() + self.rejects.len() + self.skipped.len()
    }
}

/// A post after its commit, or one with nothing to commit.
#[derive(Debug, Clone, Copy)]
pub struct Received<'r> {
    pub submission: &'r Submission,
    /// The indexes in `submission.accepted` of the events that had been accepted before, in order.
    pub duplicates: &'r [u32],
    /// True if it was made from a reject or a past event, not from a post.
    pub is_replay: bool,
}

impl<'r> Received<'r> {
    /// Returns a post without duplicates.
    pub const fn new(submission: &'r Submission) -> Self {
        Self { submission, duplicates: &[], is_replay: false }
    }
}

/// How one attempt of one call ended, or that a call was settled without one.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub event: EventId,
    /// The index of the request among those of its event, from 0; [`Self::UNKNOWN_REQUEST`] if it is unknown.
    pub request: u8,
    /// The number of the attempt, from 1; 0 if no call was made.
    pub attempt: u8,
    pub kind: OutcomeKind,
    /// Why the call was not delivered; `None` for a delivered call.
    pub reason: Option<Reason>,
    /// The HTTP status; 0 if there was no answer.
    pub status: u16,
    /// How long the call took, in microseconds.
    pub took_us: u32,
    pub at: DateTime<Utc>,
    /// The beginning of the answer's body, or how the call failed; usually short.
    pub text: Bytes,
}

impl Outcome {
    pub const UNKNOWN_REQUEST: u8 = u8::MAX;
}

/// What became of a call: how its attempt ended, or how it was settled without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutcomeKind {
    Delivered,
    /// Not sent, because the destination has the same content already (a derived call).
    Held,
    /// It failed and waits for its next attempt.
    Waits,
    /// Not sent yet, because an earlier call of its user waits.
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

/// A version of the mappings of all destinations, emitted when the relay has read them.
#[derive(Debug, Clone)]
pub struct Mappings {
    /// A hash of the document; never 0.
    pub version: u64,
    /// The time from which it was in force.
    pub at: DateTime<Utc>,
    /// A text from which the same mappings can be compiled again.
    pub document: Arc<str>,
}

/// A change of state, which charts show as a mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub at: DateTime<Utc>,
    /// A word such as `start`, `stop`, `mappings`, `destination`, `pause`, `config`.
    pub kind: &'static str,
    /// What changed, as text for a person. It contains no personal value.
    pub text: String,
}
