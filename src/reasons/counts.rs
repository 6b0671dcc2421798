//! One counter for each reason. Threads share it and add to it without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Reason;

/// How often each reason occurred.
#[derive(Debug)]
pub struct Counts([AtomicU64; Reason::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Reason::ALL.len()])
    }
}

impl Counts {
    pub fn add(&self, reason: Reason, more: u64) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub fn get(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Returns the reasons that occurred, in the order of the catalogue.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().map(|reason| (*reason, self.get(*reason))).filter(|(_, count)| *count > 0)
    }
}
