//! The circumstances that decoding depends on: the source's settings, the limits, the time of receipt.

use chrono::{DateTime, Utc};

/// What becomes of an event of a person who has no user id (`docs/accoil-api.md#users`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Counted and dropped: an Amplitude source's default.
    Skip,
    /// Kept as a reject: a Segment source's default, where validation names the missing field.
    Reject,
}

/// The settings of a source that decoding depends on (`docs/amplitude.md#what-one-event-becomes`).
#[derive(Debug, Clone)]
pub struct SourceSettings {
    pub anonymous: Anonymous,
    /// Amplitude event types to take; empty: all of them. `$identify` and `$groupidentify` always pass.
    pub events: Vec<String>,
    /// Amplitude event types to leave out.
    pub exclude_events: Vec<String>,
    /// Amplitude event properties that travel, as the track's member `selected`; none by default.
    pub event_properties: Vec<String>,
    /// Candidates of this group type come before all others when the primary group is chosen.
    pub prefer_group_type: Option<String>,
    /// Where an Amplitude event has its user id, members joined by dots: `user_properties.email`.
    pub user_id: String,
}

impl SourceSettings {
    /// The defaults of a source whose anonymous events are treated so.
    pub fn new(anonymous: Anonymous) -> Self {
        Self {
            anonymous,
            events: Vec::new(),
            exclude_events: Vec::new(),
            event_properties: Vec::new(),
            prefer_group_type: None,
            user_id: "user_id".to_owned(),
        }
    }
}

/// How large a body's items may be; the body's own size is capped where it is received.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one event; a larger one is a reject.
    pub event_bytes: usize,
    /// Events of one request; more refuse the request.
    pub events: usize,
    /// Levels of nesting of one event; a deeper one is a reject.
    pub depth: usize,
}

/// The request's circumstances that decoding depends on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub received_at: DateTime<Utc>,
    pub source: &'a SourceSettings,
    pub limits: Limits,
    /// The body was not UTF-8, and its broken characters became U+FFFD.
    pub is_text_repaired: bool,
}
