//! When a destination as a whole is in trouble: it rests, then one probe is let through at a time.
//!
//! Pure: the clock is passed in. Keeps a dead Accoil from costing a storm of calls.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row that mean the destination, not the call, is in trouble.
const TROUBLE: u32 = 5;

/// How long a destination in trouble is left alone before the next probe.
#[derive(Debug, Clone, Copy)]
pub struct Rests {
    /// The first rest; doubles with each probe that fails.
    pub shortest: Duration,
    pub longest: Duration,
    /// After a refused key, which is mended by people.
    pub credentials: Duration,
}

impl Default for Rests {
    fn default() -> Self {
        Self {
            shortest: Duration::from_secs(1),
            longest: Duration::from_secs(30),
            credentials: Duration::from_secs(60),
        }
    }
}

/// How a destination is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ok,
    /// It fails call after call, or asked for a pause: it is probed now and then.
    Resting,
    /// It refuses the key: its queue is kept and it is probed once a minute.
    CredentialsRefused,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Ok, Self::Resting, Self::CredentialsRefused];

    /// As health answers and metrics say it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Resting => "resting",
            Self::CredentialsRefused => "credentials refused",
        }
    }
}

#[derive(Debug)]
pub(super) struct Breaker {
    lengths: Rests,
    state: State,
    /// In a row.
    failures: u32,
    /// In a row.
    rests: u32,
    /// Set while the state is not `Ok`; once it has passed one probe is allowed.
    until: Option<Instant>,
}

impl Breaker {
    pub(super) const fn new(lengths: Rests) -> Self {
        Self { lengths, state: State::Ok, failures: 0, rests: 0, until: None }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// How many calls may be in flight now, of so many allowed.
    pub(super) fn allowed(&self, most: usize, now: Instant) -> usize {
        match self.until {
            Some(until) if now < until => 0,
            Some(_) => 1,
            None => most,
        }
    }

    /// When to look again, if it rests.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|until| now < *until)
    }

    /// The destination answered and understood. True if that ends its trouble.
    pub(super) const fn healthy(&mut self) -> bool {
        let ended = self.until.is_some();
        *self = Self::new(self.lengths);
        ended
    }

    /// A call failed in a way that may be the destination's. True if that begins its trouble.
    pub(super) fn troubled(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        // Calls that were in flight when the rest began say nothing new.
        if self.failures < TROUBLE || self.rests_until(now).is_some() {
            return false;
        }
        let rest = self.lengths.shortest.saturating_mul(1 << self.rests.min(16)).min(self.lengths.longest);
        self.rests = self.rests.saturating_add(1);
        self.rest(State::Resting, now + rest)
    }

    /// It asked every caller for a pause; it is believed up to the longest rest. True if that begins its trouble.
    pub(super) fn asked(&mut self, pause: Duration, now: Instant) -> bool {
        self.rest(State::Resting, now + pause.min(self.lengths.longest))
    }

    /// The key was refused. True if that was not known yet.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        self.failures = TROUBLE;
        self.rest(State::CredentialsRefused, now + self.lengths.credentials)
    }

    /// Never shortens a rest, and never forgets a refused key before a call has gone through.
    fn rest(&mut self, state: State, until: Instant) -> bool {
        let before = self.state;
        if before != State::CredentialsRefused {
            self.state = state;
        }
        self.until = self.until.max(Some(until));
        before != self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rests_longer_each_time_and_lets_one_probe_through() {
        let start = Instant::now();
        let mut breaker = Breaker::new(Rests::default());
        let opened: Vec<bool> = (0..6).map(|_| breaker.troubled(start)).collect();
        assert_eq!(opened, [false, false, false, false, true, false]);
        let mut now = start;
        let mut rests = Vec::new();
        while let Some(until) = breaker.rests_until(now) {
            assert_eq!(breaker.allowed(64, now), 0);
            rests.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.allowed(64, now), 1);
            if rests.len() < 8 {
                assert!(!breaker.troubled(now), "known already");
            }
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert!(breaker.healthy());
        assert_eq!((breaker.allowed(64, now), breaker.state()), (64, State::Ok));
    }

    #[test]
    fn a_refused_key_is_told_once_whatever_else_fails_and_mended_by_a_success() {
        let now = Instant::now();
        let mut breaker = Breaker::new(Rests::default());
        assert!((0..5).any(|_| breaker.troubled(now)));
        assert!(breaker.refused(now), "trouble was known, the refusal was not");
        assert!(!breaker.refused(now));
        assert_eq!(breaker.rests_until(now), Some(now + 60 * SECOND));
        let later = now + 61 * SECOND;
        assert!(!breaker.troubled(later));
        assert_eq!(breaker.state(), State::CredentialsRefused);
        assert!(breaker.healthy());
        assert!(breaker.refused(later), "refused again after it was mended");
    }

    #[test]
    fn a_pause_that_was_asked_for_is_kept_within_reason() {
        let now = Instant::now();
        let mut breaker = Breaker::new(Rests::default());
        assert!(breaker.asked(3 * SECOND, now));
        assert_eq!(breaker.rests_until(now), Some(now + 3 * SECOND));
        breaker.asked(SECOND, now);
        assert_eq!(breaker.rests_until(now), Some(now + 3 * SECOND), "never shortened");
        breaker.asked(86_400 * SECOND, now);
        assert_eq!(breaker.rests_until(now), Some(now + 30 * SECOND));
    }
}
