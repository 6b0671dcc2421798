//! The line of an event: what the history keeps of every event, without its payload.
//!
//! The values that many events share (source, name, mappings, refusals) are their [`Shape`], which a block stores once.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::event_id::EventId;
use crate::facts::{MAX_BYTES, OutcomeKind, cut};
use crate::reasons::Reason;

/// The values that an event shares with many others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    pub source: Arc<str>,
    /// The name of its `decode::Form`.
    pub form: Arc<str>,
    /// `track`, `identify`, …; empty if the event could not be read.
    pub kind: String,
    /// The event's name, such as `Signed Up`; the type if it has no name.
    pub name: String,
    /// The version of the mappings that were in force; 0 if it is unknown.
    pub mappings: u64,
    /// The reason code if the event was skipped; otherwise empty.
    pub skipped: String,
    pub refusals: Vec<Refusal>,
    /// In the order in which they must be sent.
    pub calls: Vec<Call>,
}

/// Why one mapping, or the relay itself, refused the event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Refusal {
    /// Empty if the event could not be read at all.
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
    /// What was left out or converted, as text for a person; usually empty.
    pub warnings: String,
    /// True if another event implies the call. It is sent only if its content is new.
    pub is_derived: bool,
}

/// How one attempt of one call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The index of the call among those of the event, from 0.
    pub call: u8,
    /// The number of the attempt, from 1; 0 if no call was made.
    pub number: u8,
    pub ending: Arc<Ending>,
    pub took_us: u32,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// The values that many attempts share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ending {
    pub destination: Arc<str>,
    pub outcome: Outcome,
    /// The reason code; empty for a delivered call.
    pub reason: String,
    /// The HTTP status; 0 if there was no answer.
    pub status: u16,
    /// The beginning of the answer, or how the call failed.
    pub text: String,
}

/// A [`OutcomeKind`] in the form that is stored and shown.
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
    /// Returns whether the call is finished: nothing more happens to it without an operator.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Held | Self::Dead)
    }
}

impl From<OutcomeKind> for Outcome {
    fn from(kind: OutcomeKind) -> Self {
        match kind {
            OutcomeKind::Delivered => Self::Delivered,
            OutcomeKind::Held => Self::Held,
            OutcomeKind::Waits => Self::Waits,
            OutcomeKind::Behind => Self::Behind,
            OutcomeKind::Dead => Self::Dead,
        }
    }
}

/// What became of an event, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Accepted; at least one call has no outcome yet.
    Accepted,
    Delivered,
    /// Every call was left out, because its content had been delivered before.
    Held,
    /// A call waits for its next attempt, or behind another one.
    Waiting,
    /// A call became a dead letter.
    Dead,
    /// Every mapping that matched refused it, or the relay could not read it.
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

/// The line of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub id: EventId,
    /// The time of receipt, in milliseconds since 1970.
    pub received_at: i64,
    pub ids: Ids,
    /// True if an event with the same message id had been accepted before.
    pub is_duplicate: bool,
    /// True if it was made from a reject or a past event, not from a post.
    pub is_replay: bool,
    /// Whether its payload is kept.
    pub has_payload: bool,
    pub shape: Arc<Shape>,
    /// In the order in which they ended. Most events have one.
    pub attempts: SmallVec<[Attempt; 1]>,
}

/// The ids that the sender gave an event, in one piece of memory: thousands of lines are in memory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ids {
    texts: Box<str>,
    user_end: u16,
    message_id_end: u16,
}

impl Ids {
    /// Cuts long ids.
    pub fn new(user: &str, message_id: &str, group: &str) -> Self {
        let [user, message_id, group] = [user, message_id, group].map(|id| cut(id, MAX_BYTES));
        let mut texts = String::with_capacity(user.len() + message_id.len() + group.len());
        texts.push_str(user);
        texts.push_str(message_id);
        let end = |length: usize| u16::try_from(length).unwrap_or(0);
        let (user_end, message_id_end) = (end(user.len()), end(texts.len()));
        texts.push_str(group);
        Self { texts: texts.into(), user_end, message_id_end }
    }

    pub const fn len(&self) -> usize {
        self.texts.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    fn part(&self, begin: u16, end: usize) -> &str {
        self.texts.get(begin.into()..end).unwrap_or_default()
    }
}

impl Line {
    /// Returns the user id, else the group id: calls with the same value are made in order. With `hash_users` it is a hash. Empty if
    /// the event has neither.
    pub fn user(&self) -> &str {
        self.ids.part(0, self.ids.user_end.into())
    }

    pub fn message_id(&self) -> &str {
        self.ids.part(self.ids.user_end, self.ids.message_id_end.into())
    }

    pub fn group(&self) -> &str {
        self.ids.part(self.ids.message_id_end, self.ids.len())
    }

    pub fn at(&self) -> DateTime<Utc> {
        time(self.received_at)
    }

    /// Returns the latest attempt of a call.
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

    /// Returns whether some mappings refused the event while others made calls of it.
    pub fn is_partly_rejected(&self) -> bool {
        !self.shape.calls.is_empty() && !self.shape.refusals.is_empty()
    }

    /// Returns whether anything was left out of a call or replaced in it.
    pub fn has_warnings(&self) -> bool {
        self.shape.calls.iter().any(|call| !call.warnings.is_empty())
    }

    /// Returns every reason code in the line: of a skip, a refusal, a delay, a dead letter.
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

    /// Returns whether the event is finished: nothing more happens to it without an operator.
    pub(super) fn is_settled(&self) -> bool {
        self.is_duplicate
            || (0..self.shape.calls.len())
                .all(|call| self.last_attempt(call).is_some_and(|attempt| attempt.ending.outcome.is_final()))
    }

    /// Adds an attempt. If its call is unknown, it goes to the first unfinished call to the same destination.
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

/// Converts milliseconds since 1970.
pub(super) fn time(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default()
}
