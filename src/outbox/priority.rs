//! The two priorities of a destination's calls: live events, and old ones that a replay or an import sends in the background.
//!
//! Both share the chunks, so that a user's order holds across them. A background call waits in memory until no live call is
//! ready. Its producer waits here while a destination has [`ROOM`] pending background calls, so that the rest of a million old
//! events stays where it is and delays no live event.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Background calls of one destination that may be pending before their producers wait.
const ROOM: usize = 1000;

/// The priority of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    #[default]
    Live,
    Background,
}

/// The number of pending background calls of each destination that has a dispatcher.
#[derive(Debug, Default)]
pub struct Background {
    pending: Mutex<HashMap<String, usize>>,
    freed: Notify,
}

impl Background {
    /// Returns how many background calls of this destination are stored and neither delivered nor dead letters.
    pub fn pending(&self, destination: &str) -> usize {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).get(destination).copied().unwrap_or(0)
    }

    /// From now on the calls of this destination count: it has a dispatcher, which settles them.
    pub(crate) fn register(&self, destination: &str) {
        self.reset(destination, 0);
    }

    /// This number of calls is pending now.
    pub(crate) fn reset(&self, destination: &str, calls: usize) {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).insert(destination.to_owned(), calls);
        self.freed.notify_waiters();
    }

    pub(crate) fn add(&self, destination: &str, calls: usize) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pending) = pending.get_mut(destination) {
            *pending += calls;
        }
    }

    /// A call was delivered or became a dead letter.
    pub(crate) fn finished(&self, destination: &str) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(calls) = pending.get_mut(destination) {
            *calls = calls.saturating_sub(1);
            if *calls < ROOM {
                self.freed.notify_waiters();
            }
        }
    }

    /// Returns when each of these destinations has room for more.
    pub async fn room(&self, destinations: &HashSet<String>) {
        loop {
            let freed = self.freed.notified();
            if destinations.iter().all(|destination| self.pending(destination) < ROOM) {
                return;
            }
            freed.await;
        }
    }
}
