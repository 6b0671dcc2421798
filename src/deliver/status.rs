//! How each destination is doing, for health and metrics: written by its dispatcher.
//!
//! Holds nothing of an event, and of an answer only its status and where a redirect points.

use std::sync::Arc;

use super::breaker::State;
use super::counters::Counters;

/// A destination, as its dispatcher last saw it.
#[derive(Debug, Clone)]
pub struct Status {
    pub name: Arc<str>,
    pub state: State,
    /// What the last failure was, without the text of the answer.
    pub last_error: Option<Arc<str>>,
    /// Requests in memory, in flight ones included; more may wait in the outbox.
    pub loaded: usize,
    pub in_flight: usize,
    /// Users with requests waiting in rows of their own, mostly for a retry.
    pub waiting_users: usize,
    /// Users whose call has been failing for a minute or more, while others may do well.
    pub failing_users: usize,
    /// Failures by kind and call times, for metrics.
    pub counters: Arc<Counters>,
    /// Since the start, as the next two.
    pub delivered: u64,
    /// Attempts that failed and are made again.
    pub retried: u64,
    /// Requests that became dead letters.
    pub dead: u64,
}

impl Status {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            state: State::Ok,
            last_error: None,
            loaded: 0,
            in_flight: 0,
            waiting_users: 0,
            failing_users: 0,
            counters: Arc::default(),
            delivered: 0,
            retried: 0,
            dead: 0,
        }
    }

    /// Why it gets no calls now, if it gets none.
    pub fn reason(&self) -> Option<&str> {
        self.last_error.as_deref().filter(|_| self.state != State::Ok)
    }
}
