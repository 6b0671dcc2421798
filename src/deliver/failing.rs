//! The users whose calls have failed for a while, so that one user's failures are visible although the destination as
//! a whole works.
//!
//! Pure: the clock is passed in. Costs nothing while no call fails.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// A call that fails for this long needs a person's attention.
const FAILING_AFTER: Duration = Duration::from_secs(60);
/// The time between two log lines.
const LINE_INTERVAL: Duration = Duration::from_secs(60);

/// A user's failing call, as the log shows it. Never contains a personal value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Example {
    pub(super) mapping: String,
    pub(super) event: String,
    pub(super) reason: String,
}

#[derive(Debug)]
struct User {
    since: Instant,
    is_long: bool,
    example: Example,
}

#[derive(Debug, Default)]
pub(super) struct Failing {
    users: HashMap<String, User>,
    /// Users whose calls have not failed for long yet, oldest first.
    recent: VecDeque<(Instant, String)>,
    long: usize,
    logged: Option<Instant>,
}

impl Failing {
    /// Returns the number of users whose calls have failed for a minute or more.
    pub(super) const fn long(&self) -> usize {
        self.long
    }

    pub(super) fn contains(&self, user: &str) -> bool {
        !self.users.is_empty() && self.users.contains_key(user)
    }

    /// A user's call has failed, for the first time at `since`.
    pub(super) fn begin(&mut self, user: &str, since: Instant, example: Example) {
        self.recent.push_back((since, user.to_owned()));
        self.users.insert(user.to_owned(), User { since, is_long: false, example });
    }

    /// The user's call was delivered or became a dead letter.
    pub(super) fn end(&mut self, user: &str) {
        if !self.users.is_empty()
            && let Some(user) = self.users.remove(user)
        {
            self.long -= usize::from(user.is_long);
        }
    }

    /// Counts the users whose calls have failed for a minute by now.
    pub(super) fn count(&mut self, now: Instant) {
        while self.next_due().is_some_and(|at| at <= now)
            && let Some((since, user)) = self.recent.pop_front()
        {
            if let Some(user) = self.users.get_mut(&user).filter(|user| user.since == since && !user.is_long)
            {
                user.is_long = true;
                self.long += 1;
            }
        }
    }

    /// Returns one of them, if a log line is due.
    pub(super) fn line(&self, now: Instant) -> Option<&Example> {
        if self.long == 0 || self.logged.is_some_and(|at| now < at + LINE_INTERVAL) {
            return None;
        }
        self.users.values().find(|user| user.is_long).map(|user| &user.example)
    }

    /// Records that a line was logged.
    pub(super) const fn logged(&mut self, now: Instant) {
        self.logged = Some(now);
    }

    /// Returns when to check again if nothing happens.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.recent.front().map(|(since, _)| *since + FAILING_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(failing: &mut Failing, now: Instant) -> (usize, bool) {
        failing.count(now);
        (failing.long(), failing.line(now).is_some())
    }

    #[test]
    fn a_user_counts_after_a_minute_and_one_line_a_minute_is_due() {
        let example = || Example { mapping: "m".into(), event: "e".into(), reason: "answered 500".into() };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut failing = Failing::default();
        failing.begin("u1", at(0), example());
        failing.begin("u2", at(10), example());
        failing.begin("u3", at(20), example());
        assert_eq!(seen(&mut failing, at(59)), (0, false));
        assert_eq!(seen(&mut failing, at(60)), (1, true));
        failing.logged(at(60));
        failing.end("u2");
        failing.begin("u2", at(65), example());
        assert_eq!(seen(&mut failing, at(100)), (2, false), "u1 and u3");
        assert_eq!(failing.next_due(), Some(at(125)));
        failing.end("u1");
        failing.end("u3");
        failing.end("nobody");
        assert_eq!(seen(&mut failing, at(124)), (0, false));
        assert_eq!(seen(&mut failing, at(125)), (1, true));
        assert_eq!(failing.line(at(125)), Some(&example()));
    }
}
