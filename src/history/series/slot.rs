//! One slot of time: its counts, each level at its end, and the distribution of durations.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::telemetry::Timings;

/// The largest size of an unpacked slot; a slot of a hundred sources is smaller.
const MAX_UNPACKED: usize = 4 << 20;
const LEVEL: i32 = 3;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The time at which it begins, in milliseconds since 1970.
    pub at: i64,
    pub counts: BTreeMap<Arc<str>, u64>,
    pub levels: BTreeMap<Arc<str>, u64>,
    pub times: BTreeMap<Arc<str>, Times>,
}

/// A histogram of durations with the buckets of `/metrics`: 1, 2, 5 from half a millisecond to 5,000 seconds, and one beyond.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    pub micros: u64,
    pub buckets: Vec<u64>,
}

impl Times {
    pub(super) fn of(timings: &Timings) -> Self {
        let snapshot = timings.snapshot();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of durations")]
        let micros = (snapshot.seconds * 1e6) as u64;
        Self { micros, buckets: snapshot.buckets.into_iter().map(|(_, count)| count).collect() }
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the upper bound, in seconds, of the bucket at this share of the durations; `None` if there are no durations.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
        let wanted = self.count() as f64 * share;
        let mut seen = 0;
        let found = self.buckets.iter().zip(Timings::bounds()).find(|(count, _)| {
            seen += **count;
            #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
            let seen = seen as f64;
            seen > 0.0 && seen >= wanted
        });
        found.map(|(_, bound)| bound)
    }

    pub(super) fn since(&self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|before| before.count() <= self.count()) else {
            return self.clone();
        };
        let buckets = self.buckets.iter().zip(&before.buckets).map(|(now, then)| now.saturating_sub(*then));
        Self { micros: self.micros.saturating_sub(before.micros), buckets: buckets.collect() }
    }

    fn add(&mut self, more: &Self) {
        self.micros += more.micros;
        self.buckets.resize(self.buckets.len().max(more.buckets.len()), 0);
        self.buckets.iter_mut().zip(&more.buckets).for_each(|(bucket, more)| *bucket += more);
    }
}

impl Slot {
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.levels.is_empty() && self.times.is_empty()
    }

    pub(super) fn add(&mut self, more: &Self) {
        for (name, more) in &more.counts {
            *self.counts.entry(Arc::clone(name)).or_default() += more;
        }
        for (name, level) in &more.levels {
            self.levels.insert(Arc::clone(name), *level);
        }
        for (name, more) in &more.times {
            self.times.entry(Arc::clone(name)).or_default().add(more);
        }
    }

    pub(in crate::history) fn pack(&self) -> Vec<u8> {
        let plain = postcard::to_stdvec(self).unwrap_or_default();
        zstd::bulk::compress(&plain, LEVEL).unwrap_or_default()
    }

    /// Returns `None` if the body is damaged.
    pub(in crate::history) fn unpack(at: i64, body: &[u8]) -> Option<Self> {
        let plain = zstd::bulk::decompress(body, MAX_UNPACKED).ok()?;
        postcard::from_bytes(&plain).ok().filter(|slot: &Self| slot.at == at)
    }
}
