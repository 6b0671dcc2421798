//! Dead letters and rejects: what is kept of each, and the filter that selects some of them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Attempt;
use crate::accoil::Fingerprint;
use crate::event_id::EventId;

/// A call that can never be delivered as it is.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub event: EventId,
    /// Which of the event's requests it is, from 0; `u8::MAX` if that is not known.
    pub number: u8,
    /// The event's name; empty if it has none.
    pub name: String,
    /// The event's `messageId` or `insert_id`; empty if it has none.
    pub message_id: String,
    /// The reason's code; empty in rows of earlier versions.
    pub code: String,
    pub destination: String,
    pub user: String,
    pub source: String,
    pub mapping: String,
    pub action: String,
    pub path: String,
    pub body: Vec<u8>,
    pub original: Vec<u8>,
    pub warnings: String,
    pub attempts: Vec<Attempt>,
    pub fingerprints: Vec<Fingerprint>,
    /// Its bytes changed on the disk: it is shown, and never sent.
    pub is_damaged: bool,
}

/// An event that was refused, with the reasons as JSON: `[{"mapping","field","reason"}]`.
#[derive(Debug, Clone)]
pub struct StoredReject {
    pub id: i64,
    /// When it was received.
    pub at: DateTime<Utc>,
    pub event: EventId,
    /// As in [`DeadLetter`], like the next three.
    pub name: String,
    pub user: String,
    pub message_id: String,
    pub code: String,
    pub source: String,
    /// The name of the form that it was posted in; see `decode::Form`.
    pub form: String,
    pub original: Vec<u8>,
    pub reasons: String,
    /// The shared members of its batch, as JSON.
    pub envelope: Option<String>,
    /// As in [`DeadLetter`].
    pub is_damaged: bool,
}

/// A dead letter or a reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    DeadLetter,
    Reject,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::DeadLetter, Self::Reject];
}

/// Selects rows that match every given condition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    pub ids: Vec<i64>,
    /// Only dead letters have one.
    pub destination: Option<String>,
    /// The user of a dead letter's call, or the `userId` or `user_id` of a reject.
    pub user: Option<String>,
    /// The event's name, or its id.
    pub event: Option<String>,
    /// The event's `messageId` or `insert_id`.
    pub message_id: Option<String>,
    /// The source of the event.
    pub source: Option<String>,
    /// The code of the reason.
    pub code: Option<String>,
    /// The key of a group; see `outbox::Group`.
    pub group: Option<u64>,
    /// A part of the text of an attempt's or a reject's reason; case does not matter.
    pub reason: Option<String>,
    /// A part of the event as it was received; case does not matter.
    pub text: Option<String>,
    pub since: Option<DateTime<Utc>>,
    /// Up to this time, not including it.
    pub until: Option<DateTime<Utc>>,
}

/// Where a page begins, and in which order it is read.
#[derive(Debug, Clone, Copy)]
pub enum PageFrom {
    /// Oldest first, after this id.
    After(i64),
    /// Newest first, before this id.
    Before(i64),
}
