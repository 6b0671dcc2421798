//! The users of a destination with calls parked in the outbox, and when each is due.
//!
//! Each of them either is in the heap once or has calls in the window; none is forgotten.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    users: HashSet<String>,
    due: BinaryHeap<Reverse<(Instant, String)>>,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &str> {
        self.users.iter().map(String::as_str)
    }

    pub(super) fn contains(&self, user: &str) -> bool {
        !self.users.is_empty() && self.users.contains(user)
    }

    /// The user has parked calls, and a call in the window that will end.
    pub(super) fn join(&mut self, user: &str) {
        if !self.contains(user) {
            self.users.insert(user.to_owned());
        }
    }

    /// The user has parked calls and none in the window, and is due at this time.
    pub(super) fn due_at(&mut self, user: &str, at: Instant) {
        self.join(user);
        self.due.push(Reverse((at, user.to_owned())));
    }

    /// Makes users due now instead of later. A user with calls in the window does not change.
    pub(super) fn due_now(&mut self, is_meant: impl Fn(&str) -> bool, now: Instant) {
        let mut due = std::mem::take(&mut self.due).into_vec();
        for Reverse((at, user)) in &mut due {
            if is_meant(user) {
                *at = now.min(*at);
            }
        }
        self.due = due.into();
    }

    /// Removes from the heap the users whose time has come.
    pub(super) fn take_due(&mut self, now: Instant, most: usize) -> Vec<String> {
        let mut users = Vec::new();
        while users.len() < most
            && self.next_due().is_some_and(|at| at <= now)
            && let Some(Reverse((_, user))) = self.due.pop()
        {
            users.push(user);
        }
        users
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The user has no more parked calls.
    pub(super) fn leave(&mut self, user: &str) {
        self.users.remove(user);
    }
}
