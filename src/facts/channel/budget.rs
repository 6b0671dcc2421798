//! Limits the payloads that are kept to a number of bytes per second. Payloads beyond it are left out.

use std::time::Instant;

#[derive(Debug)]
pub(super) struct Budget {
    /// Bytes per second.
    rate: f64,
    /// The bytes that may be kept now: at most the bytes of one second.
    left: f64,
    at: Instant,
}

impl Budget {
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        Self { rate: rate as f64, left: rate as f64, at: now }
    }

    /// Returns whether the payload of an event of this size is kept. A payload that is larger than the bytes of one second is kept
    /// if the budget is full; the budget is then negative until the time has made up for it.
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    pub(super) fn allow(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = passed.mul_add(self.rate, self.left).min(self.rate);
        let bytes = bytes as f64;
        let is_allowed = self.rate > 0.0 && (self.left >= bytes || self.left >= self.rate);
        if is_allowed {
            self.left -= bytes;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn no_more_than_the_rate_is_kept_and_spread_over_the_time() {
        let began = Instant::now();
        let mut budget = Budget::new(10_000, began);
        let mut kept = Vec::new();
        for millisecond in 0..5_000_u64 {
            if budget.allow(100, began + Duration::from_millis(millisecond)) {
                kept.push(millisecond);
            }
        }
        assert!((590..=602).contains(&kept.len()), "{}", kept.len());
        let last_second = kept.iter().filter(|at| **at >= 4_000).count();
        assert!((98..=102).contains(&last_second), "{last_second}");
        let later = began + Duration::from_secs(10);
        assert!(budget.allow(1_000_000, later), "one large event");
        assert!(!budget.allow(1, later + Duration::from_secs(9)), "it is paid for");
        assert!(!Budget::new(0, began).allow(1, began));
    }
}
