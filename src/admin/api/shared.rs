//! Shapes that more than one view has.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::outbox::Attempt;
use crate::reasons::Reason;

/// A reason of the catalogue: `docs/reasons.md`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReasonView {
    /// Stable: `reject.missing`.
    pub code: String,
    /// `refused`, `skipped`, `warning`, `rejected`, `waiting` or `dead letter`.
    pub kind: String,
    pub title: String,
    pub happened: String,
    pub to_do: String,
}

impl From<Reason> for ReasonView {
    fn from(reason: Reason) -> Self {
        Self {
            code: reason.code().to_owned(),
            kind: reason.kind().name().to_owned(),
            title: reason.title().to_owned(),
            happened: reason.happened().to_owned(),
            to_do: reason.to_do().to_owned(),
        }
    }
}

impl ReasonView {
    /// Returns the reason with this code, if the catalogue has it.
    pub fn of_code(code: &str) -> Option<Self> {
        Reason::of_code(code).map(Self::from)
    }
}

/// One try of a call.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AttemptView {
    pub at: DateTime<Utc>,
    /// The HTTP status; absent if no answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What failed, with the beginning of the answer. Empty for a success.
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u32>,
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        let Attempt { at, status, reason, took_ms, running: _ } = attempt;
        Self { at: *at, status: *status, reason: reason.clone(), took_ms: *took_ms }
    }
}

/// Returns what was received or sent: JSON as it is, anything else as text.
pub fn payload(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes)))
}
