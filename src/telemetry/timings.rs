//! A histogram of durations. Adding one costs three atomic additions, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets in microseconds: 1, 2, 5 from half a millisecond to 5,000 seconds.
const BOUNDS: [u64; 22] = [
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    50_000,
    100_000,
    200_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    50_000_000,
    100_000_000,
    200_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
];

/// Durations by size, since the start.
#[derive(Debug, Default)]
pub struct Timings {
    buckets: [AtomicU64; BOUNDS.len()],
    beyond: AtomicU64,
    micros: AtomicU64,
}

/// The counts of one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub seconds: f64,
    pub count: u64,
    /// The upper bound in seconds, and the number of durations up to it that exceed the bound before.
    pub buckets: Vec<(f64, u64)>,
}

impl Timings {
    /// The upper bounds of the buckets in seconds; the last one is infinite.
    #[expect(clippy::cast_precision_loss, reason = "bounds of seconds for a chart")]
    pub fn bounds() -> impl Iterator<Item = f64> {
        BOUNDS.iter().map(|bound| *bound as f64 / 1e6).chain([f64::INFINITY])
    }

    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets.get(place).unwrap_or(&self.beyond).fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().chain([&self.beyond]).map(|count| count.load(Ordering::Relaxed)).sum()
    }

    #[expect(clippy::cast_precision_loss, reason = "sums of seconds for a chart")]
    pub fn snapshot(&self) -> Snapshot {
        let bounds = Self::bounds();
        let counts = self.buckets.iter().chain([&self.beyond]).map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        Snapshot {
            seconds: self.micros.load(Ordering::Relaxed) as f64 / 1e6,
            count: buckets.iter().map(|(_, count)| count).sum(),
            buckets,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_is_long_enough() {
        let timings = Timings::default();
        for micros in [0, 500, 501, 1_000_000, 6_000_000_000] {
            timings.add(Duration::from_micros(micros));
        }
        let snapshot = timings.snapshot();
        assert_eq!(snapshot.count, 5);
        assert!((snapshot.seconds - 6_001.001_001).abs() < 1e-6, "{}", snapshot.seconds);
        let counted: Vec<_> = snapshot.buckets.into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [(0.0005, 2), (0.001, 1), (1.0, 1), (f64::INFINITY, 1)]);
    }
}
