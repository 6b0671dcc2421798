//! Parked calls: loads those that are due, and makes some due when an operator asks for it.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::super::worker::Work;
use super::{Dispatcher, READ_RETRY_DELAY, unreadable};
use crate::outbox::Parked;

impl Dispatcher {
    /// An operator asked to try these users' calls now.
    pub(super) fn make_due(&mut self, due: Result<Arc<[(String, String)]>, RecvError>) {
        let now = Instant::now();
        match due {
            Ok(due) => {
                let name = &*self.target.name;
                let users: HashSet<&str> =
                    due.iter().filter(|(to, _)| to == name).map(|(_, user)| user.as_str()).collect();
                for owned in &mut self.lanes {
                    owned.waiting.due_now(|user| users.contains(user), now);
                }
            }
            Err(RecvError::Lagged(_)) => self.all_due_now(now),
            // The outbox is closed; `failed` or `stop` reports that.
            Err(RecvError::Closed) => {}
        }
    }

    pub(super) fn all_due_now(&mut self, now: Instant) {
        for owned in &mut self.lanes {
            owned.waiting.due_now(|_| true, now);
        }
    }

    /// Fetches the first parked calls of users whose time has come. Their other calls stay behind these.
    pub(super) async fn unpark_due(&mut self) {
        let now = Instant::now();
        if !self.may_unpark(now) {
            return;
        }
        for at in 0..self.lanes.len() {
            let Some(owned) = self.lanes.get_mut(at) else { return };
            let users = owned.waiting.take_due(now, self.target.concurrency);
            if users.is_empty() {
                continue;
            }
            // So that the read sees all settlements up to now.
            owned.send_settlements();
            let key = owned.key;
            match owned.lane.parked(&self.target.name, users.clone()).await {
                Ok(rows) => self.readmit(key, users, rows),
                Err(error) => {
                    unreadable(&error);
                    for user in users {
                        owned.waiting.due_at(&user, now + READ_RETRY_DELAY);
                    }
                }
            }
        }
    }

    /// While nothing may be sent, or the window is full, due calls stay in the outbox.
    fn may_unpark(&self, now: Instant) -> bool {
        !self.is_paused() && self.window.has_room() && self.limits.open_until(now).is_none()
    }

    fn readmit(&mut self, key: u32, users: Vec<String>, rows: Vec<Parked>) {
        let mut done: HashSet<String> = users.into_iter().collect();
        for row in rows {
            done.remove(row.job.user.as_str());
            // The user has nothing else in the window, so there is room behind it.
            let _ = self.window.push(Work::new(row.job, row.attempts, key));
        }
        if let Some(owned) = self.lane(key) {
            for user in &done {
                owned.waiting.leave(user);
            }
        }
    }
}
