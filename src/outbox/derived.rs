//! What was last delivered for each id that other events imply calls for (DESIGN 5.3): one hash an id.
//!
//! A derived call (the group an Amplitude track names, the user's properties) is sent only when it says something
//! new. Bounded like `recent`: two generations; an id that was forgotten is merely sent once more.

use crate::accoil::Fingerprint;
use std::collections::HashMap;

/// The fingerprints that were delivered last.
#[derive(Debug)]
pub struct Delivered {
    newer: HashMap<u64, u64>,
    older: HashMap<u64, u64>,
    capacity: usize,
}

impl Delivered {
    /// Remembers at most this many ids.
    pub fn new(most: usize) -> Self {
        Self { newer: HashMap::new(), older: HashMap::new(), capacity: (most / 2).max(1) }
    }

    /// Whether a call with these fingerprints would tell Accoil nothing new; never so for a call with none.
    pub fn holds(&self, fingerprints: &[Fingerprint]) -> bool {
        let known = |key| self.newer.get(key).or_else(|| self.older.get(key));
        !fingerprints.is_empty() && fingerprints.iter().all(|one| known(&one.key) == Some(&one.content))
    }

    pub fn insert(&mut self, fingerprints: &[Fingerprint]) {
        for one in fingerprints {
            if self.newer.len() >= self.capacity {
                self.older = std::mem::take(&mut self.newer);
            }
            self.newer.insert(one.key, one.content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_held_only_while_all_it_says_was_said_last() {
        let group = Fingerprint::new(&[b"group", b"g1"], &[b"pro"]);
        let member = Fingerprint::new(&[b"member", b"u1", b"g1"], &[]);
        let changed = Fingerprint::new(&[b"group", b"g1"], &[b"free"]);
        let mut delivered = Delivered::new(10);
        assert!(!delivered.holds(&[group, member]));
        delivered.insert(&[group, member]);
        assert!(delivered.holds(&[group, member]));
        delivered.insert(&[changed]);
        assert!(!delivered.holds(&[group, member]));
        assert!(!delivered.holds(&[]));
    }

    #[test]
    fn memory_is_bounded() {
        let mut delivered = Delivered::new(100);
        for index in 0_u64..10_000 {
            delivered.insert(&[Fingerprint { key: index, content: 0 }]);
        }
        assert!(delivered.newer.len() + delivered.older.len() <= 100);
    }
}
