//! Counts the entries of one kind of record in the stream, oldest first. Housekeeping uses the counts to remove records that no relay
//! needs any more, so that a starting relay does not read them.

use std::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Trail {
    /// The sequence of each record, and how many entries it has.
    records: VecDeque<(u64, usize)>,
    entries: usize,
}

impl Trail {
    pub(super) fn add(&mut self, sequence: u64, entries: usize) {
        self.records.push_back((sequence, entries));
        self.entries += entries;
    }

    /// Removes the records with these sequences, which are in order.
    pub(super) fn remove(&mut self, sequences: &[u64]) {
        let is_removed = |sequence: &u64| sequences.binary_search(sequence).is_ok();
        let entries = &mut self.entries;
        self.records.retain(|(sequence, of)| {
            let stays = !is_removed(sequence);
            *entries -= if stays { 0 } else { *of };
            stays
        });
    }

    /// Forgets the oldest records as long as this many entries remain; returns the sequence of the newest one that was forgotten.
    pub(super) fn cut(&mut self, remaining: usize) -> Option<u64> {
        let mut cut = None;
        while let Some(&(sequence, entries)) = self.records.front()
            && self.entries - entries >= remaining
        {
            self.records.pop_front();
            self.entries -= entries;
            cut = Some(sequence);
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entries_remain() {
        let mut trail = Trail::default();
        for sequence in 1..=5 {
            trail.add(sequence, 10);
        }
        assert_eq!(trail.cut(50), None);
        assert_eq!(trail.cut(25), Some(2));
        assert_eq!(trail.cut(25), None);
        trail.add(9, 100);
        assert_eq!(trail.cut(25), Some(5));
    }
}
