//! The rate limit of a destination: a token bucket, stored as the one time at which it is full.
//!
//! Pure data: the clock is passed in.

use std::time::Duration;

use tokio::time::Instant;

/// Unused calls of this period may be made at once, because timers are no finer.
const BURST: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Rate {
    /// Between two calls of all relays together.
    whole: Duration,
    /// Between two calls of this relay.
    interval: Duration,
    /// How long before `free_at` a call may start.
    ahead: Duration,
    /// When the bucket is full again.
    free_at: Option<Instant>,
}

impl Rate {
    /// `None` for a rate of zero.
    pub(super) fn new(a_second: u32) -> Option<Self> {
        let interval = Duration::from_secs(1).checked_div(a_second)?;
        Some(Self { whole: interval, interval, ahead: BURST.saturating_sub(interval), free_at: None })
    }

    /// From now on takes `owned` of `all` equal parts of the rate.
    pub(super) fn share(&mut self, owned: usize, all: usize) {
        let [owned, all] = [owned, all].map(|lanes| u32::try_from(lanes.max(1)).unwrap_or(u32::MAX));
        self.interval = self.whole.saturating_mul(all) / owned;
        self.ahead = BURST.saturating_sub(self.interval);
    }

    /// Returns when a call may start; not later than `now` if it may start at once.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.free_at.and_then(|at| at.checked_sub(self.ahead)).unwrap_or(now)
    }

    /// Records that a call starts.
    pub(super) fn take(&mut self, now: Instant) {
        self.free_at = Some(self.free_at.map_or(now, |at| at.max(now)) + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many calls start within these milliseconds if every millisecond is tried.
    fn started(a_second: u32, milliseconds: u64) -> usize {
        let start = Instant::now();
        let mut rate = Rate::new(a_second).unwrap();
        let mut started = 0;
        for millisecond in 0..milliseconds {
            let now = start + Duration::from_millis(millisecond);
            while rate.next(now) <= now {
                rate.take(now);
                started += 1;
            }
        }
        started
    }

    #[test]
    fn never_more_than_the_rate_and_a_short_burst() {
        for (a_second, milliseconds, expected) in
            [(1, 2_500, 3), (10, 1_000, 10), (1_000, 1_000, 1_099), (50_000, 1_000, 54_950)]
        {
            let started = started(a_second, milliseconds);
            assert!(started.abs_diff(expected) * 100 <= expected, "{a_second}/s: {started} of {expected}");
        }
        assert!(Rate::new(0).is_none());
    }

    #[test]
    fn a_relay_takes_the_share_of_its_lanes() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut rate = Rate::new(1).unwrap();
        for (owned, all, expected) in [(1, 1, second), (4, 16, 4 * second), (16, 16, second)] {
            rate.free_at = None;
            rate.share(owned, all);
            rate.take(now);
            assert_eq!(rate.next(now), now + expected, "{owned} of {all}");
        }
    }
}
