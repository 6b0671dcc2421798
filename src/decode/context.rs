//! What decoding depends on besides the body: the source's settings, the limits, the time of receipt.

use chrono::{DateTime, Utc};

/// What happens to an event that has no user id (`docs/accoil-api.md#users`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Count the event and drop it: the default for an Amplitude source.
    Skip,
    /// Keep the event as a reject: the default for a Segment source. Validation names the missing field.
    Reject,
}

/// The settings of a source that decoding depends on (`docs/amplitude.md#what-one-event-becomes`).
#[derive(Debug, Clone)]
pub struct SourceSettings {
    pub anonymous: Anonymous,
    /// The Amplitude event types to accept; empty means all. This list does not exclude `$identify` and
    /// `$groupidentify`.
    pub events: Vec<String>,
    /// Amplitude event types to leave out.
    pub exclude_events: Vec<String>,
    /// The Amplitude event properties that are copied into the track's member `selected`; none by default.
    pub event_properties: Vec<String>,
    /// When the primary group is chosen, candidates of this group type come before all others.
    pub prefer_group_type: Option<String>,
    /// Where an Amplitude event has its user id, as members joined by dots: `user_properties.email`.
    pub user_id: String,
}

impl SourceSettings {
    /// Returns the default settings with this choice for anonymous events.
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

/// The limits on a body's items. The size of the body itself is limited where it is received.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The largest size of one event in bytes; a larger one becomes a reject.
    pub event_bytes: usize,
    /// The largest number of events in one request; a request with more is refused.
    pub events: usize,
    /// The deepest nesting of one event; a deeper one becomes a reject.
    pub depth: usize,
}

/// The values of one request that decoding depends on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub received_at: DateTime<Utc>,
    pub source: &'a SourceSettings,
    pub limits: Limits,
    /// True if the body was not UTF-8 and its broken characters became U+FFFD.
    pub is_text_repaired: bool,
}
