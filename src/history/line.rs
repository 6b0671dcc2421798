//! The line of an event: everything the history always keeps of it, without what it held.
//!
//! What many events have in common (source, name, mappings, refusals) is their [`Shape`], kept once a block.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::event_id::EventId;
use crate::facts::Verdict;
use crate::reasons::Reason;

/// What an event has in common with many others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    pub source: Arc<str>,
    /// The name of its `decode::Form`.
    pub form: Arc<str>,
    /// `track`, `identify`, …; empty if nobody could read it.
    pub kind: String,
    /// `Signed Up`; of calls without a name, the type.
    pub name: String,
    /// The version of the mappings that it met; 0 if nobody knows.
    pub mappings: u64,
    /// The code of the reason why it was skipped; empty if it was not.
    pub skipped: String,
    pub refusals: Vec<Refusal>,
    /// In the order in which they are to be sent.
    pub calls: Vec<Call>,
}

/// Why one mapping, or every one, refused the event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// Empty when the event could not be read at all.
    #[serde(default)]
    pub mapping: String,
    #[serde(default)]
    pub field: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub code: String,
}

/// One call that the event became.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    pub destination: Arc<str>,
    pub mapping: Arc<str>,
    pub action: String,
    pub path: String,
    /// What was left out or converted, for people; empty mostly.
    pub warnings: String,
    /// Implied by another event: sent only if its content is new.
    pub is_derived: bool,
}

/// How one attempt of one call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Which of the event's calls, from 0.
    pub call: u8,
    /// 1 for the first; 0 if no call was made.
    pub number: u8,
    pub ending: Arc<Ending>,
    pub took_us: u32,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// What many attempts have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ending {
    pub destination: Arc<str>,
    pub outcome: Outcome,
    /// The code of the reason; empty for a delivered call.
    pub reason: String,
    /// The HTTP status; 0 when no answer came.
    pub status: u16,
    /// The beginning of the answer, or how the call failed.
    pub text: String,
}

/// [`Verdict`] as it is kept and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Delivered,
    Held,
    Waits,
    Behind,
    Dead,
}

impl Outcome {
    /// Whether nothing more happens to the call by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Held | Self::Dead)
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Delivered => Self::Delivered,
            Verdict::Held => Self::Held,
            Verdict::Waits => Self::Waits,
            Verdict::Behind => Self::Behind,
            Verdict::Dead => Self::Dead,
        }
    }
}

/// What became of an event, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Taken in; not every call has an outcome yet.
    Accepted,
    Delivered,
    /// Nothing new to tell: every call was what had been delivered before.
    Held,
    /// A call waits for its next attempt, or behind another one.
    Waiting,
    /// A call became a dead letter.
    Dead,
    /// Every mapping that matched refused it, or it could not be read.
    Rejected,
    Skipped,
    Duplicate,
}

impl Status {
    pub const ALL: [Self; 8] = [
        Self::Accepted,
        Self::Delivered,
        Self::Held,
        Self::Waiting,
        Self::Dead,
        Self::Rejected,
        Self::Skipped,
        Self::Duplicate,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Dead => "dead",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
            Self::Duplicate => "duplicate",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// One event as the history shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: EventId,
    /// When it was received, in milliseconds since 1970.
    pub received_at: i64,
    /// Whose calls stay in order: the user id, else the group id. With `hash_users` a hash of it. Empty if there is none.
    pub user: String,
    pub message_id: String,
    pub group: String,
    /// It had been accepted before under the same id.
    pub is_duplicate: bool,
    /// Made of a reject or a kept event instead of a post.
    pub is_replay: bool,
    /// Whether what it held is kept, too.
    pub has_payload: bool,
    pub shape: Arc<Shape>,
    /// In the order in which they ended.
    pub attempts: Vec<Attempt>,
}

impl Line {
    pub fn at(&self) -> DateTime<Utc> {
        time(self.received_at)
    }

    /// The last thing that is known of a call.
    pub fn last_attempt(&self, call: usize) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| usize::from(attempt.call) == call)
    }

    pub fn status(&self) -> Status {
        if self.is_duplicate {
            return Status::Duplicate;
        }
        if self.shape.calls.is_empty() {
            return if self.shape.refusals.is_empty() { Status::Skipped } else { Status::Rejected };
        }
        let outcomes = || {
            let calls = 0..self.shape.calls.len();
            calls.map(|call| self.last_attempt(call).map(|attempt| attempt.ending.outcome))
        };
        let any = |wanted: &[Outcome]| outcomes().flatten().any(|outcome| wanted.contains(&outcome));
        if any(&[Outcome::Dead]) {
            Status::Dead
        } else if any(&[Outcome::Waits, Outcome::Behind]) {
            Status::Waiting
        } else if outcomes().any(|outcome| outcome.is_none()) {
            Status::Accepted
        } else if any(&[Outcome::Delivered]) {
            Status::Delivered
        } else {
            Status::Held
        }
    }

    /// Whether some mapping refused it while others made calls of it.
    pub fn is_partly_rejected(&self) -> bool {
        !self.shape.calls.is_empty() && !self.shape.refusals.is_empty()
    }

    /// Whether something was left out of a call, or replaced in it.
    pub fn has_warnings(&self) -> bool {
        self.shape.calls.iter().any(|call| !call.warnings.is_empty())
    }

    /// Every code of a reason in it: why it was skipped, refused, delayed or given up.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        let duplicate = self.is_duplicate.then(|| Reason::Duplicate.code());
        let refusals = self.shape.refusals.iter().map(|refusal| refusal.code.as_str());
        let attempts = self.attempts.iter().map(|attempt| attempt.ending.reason.as_str());
        duplicate
            .into_iter()
            .chain([self.shape.skipped.as_str()])
            .chain(refusals)
            .chain(attempts)
            .filter(|code| !code.is_empty())
    }

    /// Whether nothing more happens to it by itself.
    pub(super) fn is_settled(&self) -> bool {
        self.is_duplicate
            || (0..self.shape.calls.len())
                .all(|call| self.last_attempt(call).is_some_and(|attempt| attempt.ending.outcome.is_final()))
    }

    /// Adds an attempt; one of an unknown call belongs to the first of its destination that is not settled.
    pub(super) fn add(&mut self, mut attempt: Attempt) {
        if usize::from(attempt.call) >= self.shape.calls.len() {
            let destination = &attempt.ending.destination;
            let open = |index: &usize| {
                self.last_attempt(*index).is_none_or(|attempt| !attempt.ending.outcome.is_final())
            };
            let mut calls = self.shape.calls.iter().enumerate();
            let call = calls.find(|(index, call)| call.destination == *destination && open(index));
            let Some(call) = call.and_then(|(index, _)| u8::try_from(index).ok()) else { return };
            attempt.call = call;
        }
        self.attempts.push(attempt);
    }
}

/// The moment, from milliseconds since 1970.
pub(super) fn time(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default()
}
