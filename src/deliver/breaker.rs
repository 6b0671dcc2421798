//! When a destination as a whole is in trouble: it rests, then one probe is let through at a time.
//!
//! Pure: the clock is passed in. Keeps a dead Accoil from costing a storm of calls.

use std::time::{Duration, Instant};

/// Failures in a row that mean the destination, not the call, is in trouble.
const TROUBLE: u32 = 5;
const SHORTEST_REST: Duration = Duration::from_millis(500);
const LONGEST_REST: Duration = Duration::from_secs(30);
/// Refused keys are mended by people.
const CREDENTIALS_REST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    rests: u32,
    until: Option<Instant>,
}

impl Breaker {
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
    pub(super) fn healthy(&mut self) -> bool {
        let ended = self.until.is_some();
        *self = Self::default();
        ended
    }

    /// A call failed in a way that may be the destination's. True if it rests from now on for the first time.
    pub(super) fn troubled(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        // Calls that were in flight when the rest began say nothing new.
        if self.failures < TROUBLE || self.rests_until(now).is_some() {
            return false;
        }
        self.rests = self.rests.saturating_add(1);
        let rest = SHORTEST_REST.saturating_mul(1 << self.rests.min(10)).min(LONGEST_REST);
        self.until = Some(now + rest);
        self.rests == 1
    }

    /// The key was refused. True if that was not known yet.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        let known = self.until.is_some();
        self.failures = TROUBLE;
        self.until = Some(now + CREDENTIALS_REST);
        !known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_longer_each_time_and_lets_one_probe_through() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        let opened: Vec<bool> = (0..6).map(|_| breaker.troubled(start)).collect();
        assert_eq!(opened, [false, false, false, false, true, false]);
        assert_eq!(breaker.allowed(64, start), 0);
        let later = start + Duration::from_secs(1);
        assert_eq!(breaker.allowed(64, later), 1);
        assert!(!breaker.troubled(later));
        assert_eq!(breaker.rests_until(later), Some(later + Duration::from_secs(2)));
        assert!(breaker.healthy());
        assert_eq!(breaker.allowed(64, later), 64);
    }
}
