//! How each destination is doing, for health, metrics and the dashboard: shown by its dispatcher, read by anybody.
//!
//! Holds nothing of an event or an answer: it is shown on the public listener.

use std::sync::Arc;

use super::breaker::State;

/// A destination, as its dispatcher last saw it.
#[derive(Debug, Clone)]
pub struct Status {
    pub name: Arc<str>,
    pub state: State,
    /// What the last failure was, without what the destination wrote.
    pub last_error: Option<Arc<str>>,
    /// Requests in memory, in flight ones included; more may wait in the outbox.
    pub loaded: usize,
    pub in_flight: usize,
    /// Users with requests waiting in rows of their own, mostly for a retry.
    pub waiting_users: usize,
    /// Since the start, as the next two.
    pub delivered: u64,
    /// Attempts that failed and are made again.
    pub retried: u64,
    /// Requests that became dead letters.
    pub dead: u64,
}

impl Status {
    pub(super) const fn new(name: Arc<str>) -> Self {
        Self {
            name,
            state: State::Ok,
            last_error: None,
            loaded: 0,
            in_flight: 0,
            waiting_users: 0,
            delivered: 0,
            retried: 0,
            dead: 0,
        }
    }

    /// Why it is not well, if it is not.
    pub fn reason(&self) -> Option<&str> {
        self.last_error.as_deref().filter(|_| self.state != State::Ok)
    }
}
