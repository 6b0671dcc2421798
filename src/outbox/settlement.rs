//! How a call leaves the place where it is stored, and what is kept of its attempts.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Place;
use super::chunk::Job;
use crate::accoil::Fingerprint;
use crate::reasons::Reason;

/// One try of a call, as stored with a waiting call or a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Attempt {
    pub at: DateTime<Utc>,
    /// The HTTP status; `None` if no answer came.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// What failed, with the beginning of the answer.
    pub reason: String,
    /// The duration of the call in milliseconds; `None` in attempts of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub took_ms: Option<u32>,
    /// The outbox's running time at `at`, by which a call becomes old; none in attempts of earlier versions.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub running: Option<DateTime<Utc>>,
}

/// When a parked call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    pub at: DateTime<Utc>,
    /// The time between the last attempt and `at`, if there was an attempt.
    pub wait: Option<Duration>,
}

/// A call that waits in a row of its own.
#[derive(Debug, Clone)]
pub struct Parked {
    pub job: Job,
    pub attempts: Vec<Attempt>,
    /// `None` if it waits behind an earlier call of its user.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// True if its bytes changed on the disk: it is never sent.
    pub is_damaged: bool,
}

/// How a request leaves the place where it is stored.
#[derive(Debug)]
pub enum Settlement {
    /// Accoil accepted it, or it need not be sent. `fingerprints` are those of a derived call.
    Delivered { place: Place, fingerprints: Vec<Fingerprint> },
    /// It waits for its own next attempt, or (`None`) behind an earlier call of its user.
    Parked { job: Box<Job>, attempts: Vec<Attempt>, next_attempt_at: Option<DateTime<Utc>> },
    /// It can never be delivered; the last attempt has the details.
    Dead { job: Box<Job>, attempts: Vec<Attempt>, reason: Reason },
}

impl Settlement {
    /// Bytes that it adds to the disk, until its chunk is done.
    pub(super) fn stored_bytes(&self) -> usize {
        match self {
            Self::Delivered { .. } => 0,
            Self::Parked { job, .. } if matches!(job.place, Place::Parked { .. }) => 0,
            Self::Parked { job, .. } | Self::Dead { job, .. } => job.body.len() + job.original.len(),
        }
    }
}
