//! The types that every stage shares: the kind of sender, the kind of event, and the event itself.
//!
//! An [`Event`] has the shape of Segment's spec, whichever sender it came from. `decode` makes it, and the later stages only
//! read it. It borrows from the request's bytes and never outlives them.

use chrono::{DateTime, Utc};

use crate::json::Value;
use crate::reasons::Reason;

/// The family of senders that a source accepts (`kind` of a source in the configuration).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    #[default]
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

/// One event, as the stages after `decode` see it.
#[derive(Debug, Clone)]
pub struct Event<'a> {
    /// The event in the shape of Segment's spec: always an object with a `type`.
    pub value: Value<'a>,
    /// When the relay received it. This time replaces a missing `timestamp`.
    pub received_at: DateTime<Utc>,
    /// True if another event implies this one (an Amplitude track that carries group or user properties). Such a call
    /// is sent only if its content differs from the last one delivered for its id
    /// (`docs/amplitude.md#what-one-event-becomes`).
    pub derived: bool,
    /// What was replaced or left out while the event was read. Every request made from the event carries these
    /// warnings.
    pub warnings: Vec<Violation>,
}

/// One item of a request body, read or refused on its own: a bad item never costs the others.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// The item's own bytes as the sender wrote them: kept for rejects, dead letters and replay.
    pub original: &'a str,
    /// `messageId` or `insert_id`, for de-duplication within the source.
    pub message_id: Option<String>,
    pub outcome: DecodeResult<'a>,
}

/// The result of the decode stage for one item.
#[derive(Debug, Clone)]
pub enum DecodeResult<'a> {
    /// The events that the item becomes, in the order in which their calls must be sent: derived ones first.
    Events(Vec<Event<'a>>),
    /// There is nothing to send, and that is no fault; counted under this reason.
    Skipped(Reason),
    /// The item cannot be delivered. It is kept as a reject with the reason: what is wrong, where, and what to do.
    Rejected(Violation),
}

/// One reason why an event or one of its fields was refused or, as a warning, changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's key in the action or the event; empty if the reason is about the whole event.
    pub field: String,
    /// What is wrong with which kind of value, and what to do. It never contains the value itself.
    pub reason: String,
    /// The reason code for counting and looking up.
    pub code: Reason,
}

impl Violation {
    /// Returns a violation with the code [`Reason::Rejected`]; [`Self::coded`] sets a more specific one.
    pub fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into(), code: Reason::Rejected }
    }

    /// Returns the violation with this code.
    #[must_use]
    pub fn coded(self, code: Reason) -> Self {
        Self { code, ..self }
    }
}

/// Which of Accoil's two request forms a destination uses (`api` of a destination).
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
