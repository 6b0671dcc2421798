//! The words every stage shares: what kind of sender, what kind of event, and the event itself.
//!
//! An [`Event`] is in the Segment spec's shape, whoever sent it; `decode` makes it, every later stage only
//! reads it. It borrows from the request's bytes and never outlives them.

use chrono::{DateTime, Utc};

use crate::json::Value;
use crate::reasons::Reason;

/// Which family of senders a source speaks to (`kind` of a source in the configuration).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    Segment,
    Amplitude,
}

impl SourceKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Segment => "segment",
            Self::Amplitude => "amplitude",
        }
    }
}

/// One event as the stages after `decode` see it.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// The event in the shape of the Segment spec; always an object with a `type`.
    pub value: Value<'a>,
    /// When the relay received it: the time that stands in for a missing `timestamp`.
    pub received_at: DateTime<Utc>,
    /// Implied by another event (an Amplitude track that carries group or user properties); such a call is
    /// sent only when its content differs from the last one delivered for its id
    /// (`docs/amplitude.md#what-one-event-becomes`).
    pub derived: bool,
    /// What was replaced or left out while the event was read: every request that it becomes carries them.
    pub warnings: Vec<Violation>,
}

/// One item of a request body, read or refused on its own: a bad one never costs its neighbours.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// The item's own bytes as they came: kept for rejects, dead letters and replay.
    pub original: &'a str,
    /// `messageId` or `insert_id`, for de-duplication within the source.
    pub message_id: Option<String>,
    pub outcome: Decoded<'a>,
}

/// What became of one item at the decode stage.
#[derive(Debug, Clone)]
pub enum Decoded<'a> {
    /// The events it stands for, in the order in which their calls are to be sent: derived ones first.
    Events(Vec<Event<'a>>),
    /// There is nothing to send, and that is right; counted under this reason.
    Skipped(Reason),
    /// Cannot be delivered; kept as a reject with the reason: what was wrong, where, and what to do.
    Rejected(Violation),
}

/// One reason why an event or one of its fields was refused or, as a warning, changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's key in the action or the event; empty when the event as a whole is meant.
    pub field: String,
    /// What was wrong with which kind of value, and what to do: never the value itself.
    pub reason: String,
    /// By which it is counted and looked up.
    pub code: Reason,
}

impl Violation {
    /// Counted as [`Reason::Rejected`] unless [`Self::coded`] names a closer one.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), code: Reason::Rejected }
    }

    /// The same, counted under this reason.
    #[must_use]
    pub fn coded(self, code: Reason) -> Self {
        Self { code, ..self }
    }
}

/// In which of Accoil's two request forms a destination is spoken to (`api` of a destination).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// The documented ingress API: `/v2/identify`, `/v2/group`, `/v2/track` (`docs/accoil-api.md#the-v2-api`).
    #[default]
    V2,
    /// What Segment's own destination posts to `/segment` (`docs/accoil-api.md#the-segment-endpoint`,
    /// `docs/segment.md#segments-accoil-destination`).
    Segment,
}

impl Dialect {
    pub const fn name(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::Segment => "segment",
        }
    }
}
