//! The status of each destination, for health and metrics; its dispatcher writes it.
//!
//! It contains nothing of an event, and of an answer only the status and the location of a redirect.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::breaker::State;
use super::connection::{Answer, CallError};
use super::counters::Counters;
use crate::facts::OutcomeKind;
use crate::outbox::chunk::Job;

/// A destination, as its dispatcher last saw it.
#[derive(Debug, Clone)]
pub struct Status {
    pub name: Arc<str>,
    pub state: State,
    /// When this state began.
    pub since: DateTime<Utc>,
    /// When an operator paused it, if it is paused.
    pub paused_since: Option<DateTime<Utc>>,
    /// When the next call is tried, while the destination is left alone.
    pub next_probe_at: Option<DateTime<Utc>>,
    /// The most calls in flight now; fewer than configured while it is overloaded.
    pub concurrency: usize,
    /// The last failure, without the text of the answer.
    pub last_error: Option<Arc<str>>,
    /// Calls in memory, including those in flight; more may wait in the outbox.
    pub loaded: usize,
    pub in_flight: usize,
    /// Users with calls in rows of their own, usually for a retry.
    pub waiting_users: usize,
    /// Users whose calls have failed for a minute or more, while others may succeed.
    pub failing_users: usize,
    /// Failures by kind and call times, for metrics.
    pub counters: Arc<Counters>,
    /// Since the start, like the next three.
    pub delivered: u64,
    /// Calls that were not sent, because the destination got the same content before.
    pub held: u64,
    /// Attempts that failed and are retried.
    pub retried: u64,
    /// Calls that became dead letters.
    pub dead: u64,
}

impl Status {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            state: State::Ok,
            since: Utc::now(),
            paused_since: None,
            next_probe_at: None,
            concurrency: 0,
            last_error: None,
            loaded: 0,
            in_flight: 0,
            waiting_users: 0,
            failing_users: 0,
            counters: Arc::default(),
            delivered: 0,
            held: 0,
            retried: 0,
            dead: 0,
        }
    }

    /// Counts the result of a call. `tried` is its attempt, if one was made.
    pub(super) fn count(
        &mut self,
        job: &Job,
        kind: OutcomeKind,
        tried: Option<(&Result<Answer, CallError>, Duration)>,
        at: DateTime<Utc>,
    ) {
        match kind {
            OutcomeKind::Delivered => self.delivered += 1,
            OutcomeKind::Held => self.held += 1,
            OutcomeKind::Waits => self.retried += 1,
            OutcomeKind::Dead => self.dead += 1,
            OutcomeKind::Behind => {}
        }
        let Some((result, took)) = tried else { return };
        self.counters.call_time.add(took);
        if kind != OutcomeKind::Delivered {
            self.counters.failed(result);
        } else if job.event.has_time() {
            let since = (at - job.event.time()).to_std().unwrap_or_default();
            self.counters.event_to_delivered.add(since);
        }
    }

    /// Returns why the destination gets no calls now; `None` if it gets calls.
    pub fn reason(&self) -> Option<&str> {
        self.last_error.as_deref().filter(|_| self.state != State::Ok)
    }
}
