//! Remembers the content that was last delivered for each id of a derived call: one hash for each id
//! (`docs/amplitude.md#what-one-event-becomes`).
//!
//! A derived call (the group that an Amplitude track names, the user's properties) is sent only if its content is
//! new. The memory is bounded like that of `recent`, with two generations. A forgotten id is only sent once more.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::accoil::Fingerprint;

/// An entry this old is stored again when it is used, so that it does not expire on disk.
const REFRESH_AFTER_DAYS: i32 = 7;

/// The content delivered for one key, and the day on which it was stored.
#[derive(Debug, Clone, Copy)]
struct Content {
    content: u64,
    stored_on: i32,
}

/// The fingerprints that were delivered last.
#[derive(Debug)]
pub struct LastDelivered {
    newer: HashMap<u64, Content>,
    older: HashMap<u64, Content>,
    capacity: usize,
}

/// A derived call has the content that was delivered last, so it need not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unchanged {
    /// Its entry on disk is recent.
    Stored,
    /// Its entry on disk is old and must be stored again, so that it does not expire.
    Old,
}

impl LastDelivered {
    /// Remembers at most this many ids.
    pub fn new(most: usize) -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), capacity: (most / 2).max(1) }
    }

    /// Returns `Some` if all of these fingerprints were delivered last, so that the call has nothing new. A call
    /// without fingerprints is always new.
    pub fn unchanged(&self, fingerprints: &[Fingerprint], now: DateTime<Utc>) -> Option<Unchanged> {
        let mut unchanged = None;
        for one in fingerprints {
            let last = self.newer.get(&one.key).or_else(|| self.older.get(&one.key))?;
            if last.content != one.content {
                return None;
            }
            let is_old = day(now) - last.stored_on >= REFRESH_AFTER_DAYS;
            unchanged = Some(if is_old || unchanged == Some(Unchanged::Old) {
                Unchanged::Old
            } else {
                Unchanged::Stored
            });
        }
        unchanged
    }

    /// Records fingerprints that were delivered, or stored again.
    pub fn insert(&mut self, fingerprints: &[Fingerprint], stored_at: DateTime<Utc>) {
        let stored_on = day(stored_at);
        for one in fingerprints {
            if self.newer.len() >= self.capacity {
                self.older = std::mem::take(&mut self.newer);
            }
            self.newer.insert(one.key, Content { content: one.content, stored_on });
        }
    }
}

fn day(at: DateTime<Utc>) -> i32 {
    i32::try_from(at.timestamp() / 86_400).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_unchanged_only_while_all_its_content_was_delivered_last() {
        let group = Fingerprint::new(&[b"group", b"g1"], &[b"pro"]);
        let member = Fingerprint::new(&[b"member", b"u1", b"g1"], &[]);
        let changed = Fingerprint::new(&[b"group", b"g1"], &[b"free"]);
        let (now, week) = (DateTime::UNIX_EPOCH, chrono::Duration::days(7));
        let mut delivered = LastDelivered::new(10);
        assert_eq!(delivered.unchanged(&[group, member], now), None);
        delivered.insert(&[group, member], now);
        assert_eq!(delivered.unchanged(&[group, member], now), Some(Unchanged::Stored));
        assert_eq!(delivered.unchanged(&[group, member], now + week), Some(Unchanged::Old));
        delivered.insert(&[group], now + week);
        assert_eq!(delivered.unchanged(&[group], now + week), Some(Unchanged::Stored));
        assert_eq!(delivered.unchanged(&[group, member], now + week), Some(Unchanged::Old));
        delivered.insert(&[changed], now);
        assert_eq!(delivered.unchanged(&[group, member], now), None);
        assert_eq!(delivered.unchanged(&[], now), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut delivered = LastDelivered::new(100);
        for index in 0_u64..10_000 {
            delivered.insert(&[Fingerprint { key: index, content: 0 }], DateTime::UNIX_EPOCH);
        }
        assert!(delivered.newer.len() + delivered.older.len() <= 100);
    }
}
