//! The ids accepted recently, for de-duplication. They are bounded by count and age, and the oldest are forgotten
//! first.
//!
//! Two generations of a hash set: when the newer one is full or old, it becomes the older one, and the previous older
//! one is dropped. An id is therefore remembered for its source's whole window, unless more than half the allowed
//! number came since. Only the writer uses it, never receive.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use chrono::{DateTime, Utc};
use siphasher::sip128::{Hasher128, SipHasher13};

/// An id within a source, hashed with the outbox's own key, so that no sender can produce another sender's ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) hash: [u32; 4],
    /// How long the source remembers its ids, in minutes.
    pub(super) window: u32,
}

impl Identity {
    /// `key` is the outbox's, `window` the source's.
    pub(super) fn new(key: [u8; 16], source: &str, id: &str, window: Duration) -> Self {
        let mut hasher = SipHasher13::new_with_key(&key);
        hasher.write(source.as_bytes());
        hasher.write_u8(0);
        hasher.write(id.as_bytes());
        let bytes = hasher.finish128().as_bytes();
        Self { hash: words(bytes), window: u32::try_from(window.as_secs() / 60).unwrap_or(u32::MAX).max(1) }
    }
}

/// The remembered ids, each with the minute in which it was accepted.
#[derive(Debug)]
pub(super) struct Recent {
    newer: Generation,
    older: Generation,
    /// The number of ids that a generation may have; with zero, every id is new.
    capacity: usize,
    /// The minutes that a generation may last: the longest window of any source.
    span: u32,
    started: u32,
}

type Generation = HashMap<[u32; 4], u32, BuildHasherDefault<AlreadyHashed>>;

impl Recent {
    pub(super) fn new(most_ids: usize, longest_window: Duration, now: DateTime<Utc>) -> Self {
        let span = u32::try_from(longest_window.as_secs() / 60).unwrap_or(u32::MAX).max(1);
        Self {
            newer: Generation::default(),
            older: Generation::default(),
            capacity: most_ids / 2,
            span,
            started: minute(now),
        }
    }

    /// Remembers an id; returns false if it was accepted within its window.
    pub(super) fn insert(&mut self, identity: &Identity, now: DateTime<Utc>) -> bool {
        let now = minute(now);
        if self.capacity == 0 {
            return true;
        }
        let known = self.newer.get(&identity.hash).or_else(|| self.older.get(&identity.hash));
        if known.is_some_and(|&at| now.saturating_sub(at) < identity.window) {
            return false;
        }
        self.remember(identity.hash, now);
        true
    }

    /// Forgets an id whose commit failed, in both generations, because they may have changed since.
    pub(super) fn forget(&mut self, identity: &Identity) {
        self.newer.remove(&identity.hash);
        self.older.remove(&identity.hash);
    }

    fn remember(&mut self, hash: [u32; 4], at: u32) {
        if self.newer.len() >= self.capacity || at.saturating_sub(self.started) >= self.span {
            self.older = std::mem::take(&mut self.newer);
            self.started = at;
        }
        self.newer.insert(hash, at);
    }

    /// Restores ids that were stored with a commit, newest commit first; returns false if there is no more room.
    pub(super) fn restore(&mut self, stored: &[u8], at: DateTime<Utc>) -> bool {
        for id in stored.chunks_exact(16) {
            let target = if self.newer.len() < self.capacity { &mut self.newer } else { &mut self.older };
            if target.len() >= self.capacity {
                return false;
            }
            if let Ok(bytes) = id.try_into() {
                target.entry(words(bytes)).or_insert_with(|| minute(at));
            }
        }
        true
    }

    /// Returns the time before which all ids are forgotten, in memory and on disk.
    pub(super) fn horizon(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now - chrono::Duration::minutes(i64::from(self.span))
    }
}

/// Returns the stored form of an id.
pub(super) fn bytes(identity: &Identity) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (slot, word) in bytes.chunks_exact_mut(4).zip(identity.hash) {
        slot.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn words(bytes: [u8; 16]) -> [u32; 4] {
    let mut words = [0; 4];
    for (word, slot) in words.iter_mut().zip(bytes.chunks_exact(4)) {
        *word = slot.iter().rev().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
    }
    words
}

pub(super) fn minute(at: DateTime<Utc>) -> u32 {
    u32::try_from(at.timestamp() / 60).unwrap_or(0)
}

/// The ids are already uniform, keyed hashes, so their first words can be used as hashes.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut first = [0; 8];
        for (slot, byte) in first.iter_mut().zip(bytes) {
            *slot = *byte;
        }
        self.0 = u64::from_ne_bytes(first);
    }

    fn write_usize(&mut self, _length: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Identity {
        Identity::new([1; 16], "web", text, Duration::from_secs(3600))
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 / 60 * 60 + minutes * 60, 0).unwrap()
    }

    #[test]
    fn an_id_is_remembered_for_its_window() {
        let mut recent = Recent::new(100, Duration::from_secs(3600), at(0));
        assert!(recent.insert(&id("a"), at(0)));
        assert!(!recent.insert(&id("a"), at(59)));
        assert!(recent.insert(&id("a"), at(60)));
        recent.forget(&id("a"));
        assert!(recent.insert(&id("a"), at(61)));
        assert_ne!(id("a").hash, Identity::new([1; 16], "app", "a", Duration::from_secs(60)).hash);
    }

    #[test]
    fn memory_is_bounded_by_count_and_the_newest_stay() {
        let mut recent = Recent::new(100, Duration::from_secs(3600), at(0));
        for index in 0..10_000 {
            assert!(recent.insert(&id(&index.to_string()), at(0)));
        }
        assert!(recent.newer.len() + recent.older.len() <= 100);
        assert!(!recent.insert(&id("9999"), at(1)));
        assert!(!recent.insert(&id("9951"), at(1)));
    }

    #[test]
    fn a_forgotten_id_is_new_again_even_after_the_generations_changed() {
        let mut recent = Recent::new(4, Duration::from_secs(3600), at(0));
        for text in ["a", "b", "c"] {
            assert!(recent.insert(&id(text), at(0)));
        }
        for text in ["a", "b", "c"] {
            recent.forget(&id(text));
            assert!(recent.insert(&id(text), at(1)), "{text}");
        }
    }

    #[test]
    fn without_capacity_every_id_is_new() {
        let mut recent = Recent::new(0, Duration::from_secs(3600), at(0));
        assert!(recent.insert(&id("a"), at(0)) && recent.insert(&id("a"), at(0)));
        assert!(!recent.restore(&bytes(&id("a")), at(0)));
    }

    #[test]
    fn stored_ids_are_known_after_a_restart() {
        let mut recent = Recent::new(10, Duration::from_secs(3600), at(5));
        let stored: Vec<u8> = ["a", "b"].iter().flat_map(|text| bytes(&id(text))).collect();
        assert!(recent.restore(&stored, at(4)));
        assert!(!recent.insert(&id("a"), at(6)));
        assert!(recent.insert(&id("c"), at(6)));
    }
}
