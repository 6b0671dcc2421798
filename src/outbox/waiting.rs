//! The waiting calls as lists show them: which ones, since when, behind what, and after which attempts.
//!
//! A call waits in its chunk until its turn comes, or in a row of its own until its next attempt. `waiting_changes` has what
//! an operator does with waiting calls.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::chunk::Job;
use super::{Attempt, Position};
use crate::decode::Labels;
use crate::event_id::EventId;

/// Selects waiting calls that match every given condition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WaitingFilter {
    pub ids: Vec<Position>,
    pub destination: Option<String>,
    pub user: Option<String>,
    /// The event's id, or its name.
    pub event: Option<String>,
}

impl WaitingFilter {
    /// Checks the conditions that do not need the event.
    pub(super) fn admits(&self, job: &Job) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.destination, job.destination.as_str())
            && is(&self.user, job.user.as_str())
            && (self.ids.is_empty() || self.ids.contains(&job.place.position()))
    }

    pub(super) fn admits_event(&self, event: EventId, labels: &Labels) -> bool {
        self.event.as_ref().is_none_or(|wanted| *wanted == labels.name || wanted.parse() == Ok(event))
    }
}

/// What a waiting call waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitingFor {
    /// For its turn: the calls before it come first. It may also be in flight.
    Turn,
    /// For its next attempt.
    Retry,
    /// For an earlier call of its user.
    Earlier,
    /// Nothing: its bytes changed on the disk, so that it is kept and never sent.
    Damaged,
}

/// A waiting call.
#[derive(Debug, Clone)]
pub struct WaitingCall {
    pub id: Position,
    pub labels: Labels,
    pub job: Job,
    pub waiting_for: WaitingFor,
    /// The earlier call of the same user that must be finished first.
    pub behind: Option<(Position, EventId)>,
    pub attempts: Vec<Attempt>,
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// Some waiting calls, in order.
#[derive(Debug, Default)]
pub struct WaitingPage {
    pub calls: Vec<WaitingCall>,
    /// The start of the next page; `None` on the last one.
    pub next: Option<Position>,
}
