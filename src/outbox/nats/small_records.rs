//! The records of ids for de-duplication, or those of fingerprints. Each batch stores small ones, and a relay that starts reads them all. So
//! `fold` makes one record of many small ones.
//!
//! Every relay keeps the small records that are not folded, because any of them may own the first lane later.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};

use super::trail::Trail;

/// Small records are folded when there are this many of them, or this many bytes.
pub(super) const FOLD_RECORDS: usize = 500;
pub(super) const FOLD_BYTES: usize = 256 << 10;

/// The records that the stream has.
#[derive(Debug, Default)]
pub(super) struct SmallRecords {
    all: Trail,
    /// The records that are not folded, oldest first.
    small: VecDeque<SmallRecord>,
    bytes: usize,
    /// Every small record up to this sequence is in a fold.
    folded: u64,
}

#[derive(Debug)]
pub(super) struct SmallRecord {
    pub(super) sequence: u64,
    pub(super) at: DateTime<Utc>,
    pub(super) body: Box<[u8]>,
}

impl SmallRecords {
    pub(super) fn see_small(&mut self, sequence: u64, at: DateTime<Utc>, body: &[u8], entries: usize) {
        if sequence > self.folded {
            self.all.add(sequence, entries);
            self.bytes += body.len();
            self.small.push_back(SmallRecord { sequence, at, body: body.into() });
        }
    }

    /// Notes a record with the entries of every small record up to `folds`.
    pub(super) fn see_many(&mut self, sequence: u64, folds: u64, entries: usize) {
        self.folded = self.folded.max(folds);
        let folded = self.forget_small(folds);
        self.all.remove(&folded);
        self.all.add(sequence, entries);
    }

    /// Returns their sequences.
    fn forget_small(&mut self, up_to: u64) -> Vec<u64> {
        let mut sequences = Vec::new();
        while self.small.front().is_some_and(|record| record.sequence <= up_to)
            && let Some(record) = self.small.pop_front()
        {
            self.bytes -= record.body.len();
            sequences.push(record.sequence);
        }
        sequences
    }

    /// Forgets the oldest records, see [`Trail::cut`].
    pub(super) fn cut(&mut self, remaining: usize) -> Option<u64> {
        let cut = self.all.cut(remaining)?;
        self.forget_small(cut);
        Some(cut)
    }

    pub(super) const fn folded(&self) -> u64 {
        self.folded
    }

    /// The records that are not folded, oldest first.
    pub(super) fn small(&self) -> impl Iterator<Item = &SmallRecord> {
        self.small.iter()
    }

    /// The oldest small records, if there are enough to fold.
    pub(super) fn to_fold(&self) -> Option<Vec<&SmallRecord>> {
        if self.small.len() < FOLD_RECORDS && self.bytes < FOLD_BYTES {
            return None;
        }
        let mut bytes = 0;
        let fits = |record: &&SmallRecord| {
            bytes += record.body.len();
            bytes <= FOLD_BYTES || bytes == record.body.len()
        };
        Some(self.small.iter().take_while(fits).collect())
    }
}
