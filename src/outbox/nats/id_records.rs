//! The records of ids for de-duplication. Each batch stores a small one. The owner of the first lane folds many small ones into one,
//! because a relay that starts reads them all.
//!
//! A relay stores a new small record in the place of one that was folded. So nothing needs to be removed, and a kill loses nothing: an id is
//! in its small record until a fold that has it was read. A removal by a filter would hold up the server the longer the more events wait.

use std::collections::VecDeque;

use bytes::{BufMut as _, Bytes, BytesMut};
use chrono::{DateTime, Utc};

use super::super::recent;
use super::batch::Message;
use super::codec;
use super::commit::Committer;
use super::group::Group;
use super::trail::Trail;

/// A record with this many ids is not folded.
const MANY: usize = 256;
/// Small records are folded when there are this many of them, or this many bytes.
const FOLD_RECORDS: usize = 500;
const FOLD_BYTES: usize = 256 << 10;

/// The records that the stream has.
#[derive(Debug, Default)]
pub(super) struct IdRecords {
    all: Trail,
    /// The records that are not folded, oldest first.
    small: VecDeque<SmallRecord>,
    bytes: usize,
    /// Every small record up to this sequence is in a fold.
    folded: u64,
}

#[derive(Debug)]
struct SmallRecord {
    sequence: u64,
    at: DateTime<Utc>,
    body: Box<[u8]>,
}

impl IdRecords {
    /// Notes a small record. All relays keep its ids, because any of them may own the first lane later.
    pub(super) fn see_small(&mut self, sequence: u64, at: DateTime<Utc>, body: &[u8]) {
        if sequence > self.folded {
            self.all.add(sequence, codec::count_ids(body));
            self.bytes += body.len();
            self.small.push_back(SmallRecord { sequence, at, body: body.into() });
        }
    }

    /// Notes a record with many ids. It has those of every small record up to `folds`.
    pub(super) fn see_many(&mut self, sequence: u64, folds: u64, body: &[u8]) {
        self.folded = self.folded.max(folds);
        let folded = self.forget_small(folds);
        self.all.remove(&folded);
        self.all.add(sequence, codec::count_ids(body));
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

    /// Returns the ids of the oldest small records with their times, and the sequence of the last one, if there are enough to fold.
    fn fold(&self) -> Option<(Bytes, u64)> {
        if self.small.len() < FOLD_RECORDS && self.bytes < FOLD_BYTES {
            return None;
        }
        let (mut body, mut minute, mut folds) = (BytesMut::new(), None, 0);
        for record in &self.small {
            if !body.is_empty() && body.len() + record.body.len() > FOLD_BYTES {
                break;
            }
            if minute.replace(recent::minute(record.at)) != Some(recent::minute(record.at)) {
                codec::put_minute(&mut body, record.at);
            }
            body.put_slice(&record.body);
            folds = record.sequence;
        }
        Some((body.freeze(), folds))
    }
}

/// The small records of this relay: the sequence of the batch that stored each, and its number.
pub(super) type Places = VecDeque<(u64, u64)>;

impl Committer {
    /// Adds the record of the ids that the group accepts.
    pub(super) fn store_ids(&mut self, group: &mut Group) {
        if group.identities.is_empty() {
            return;
        }
        let relay = &self.shared.relay;
        let subject = if group.identities.len() >= MANY {
            self.shared.subjects.many_ids(relay, self.next_number(), 0)
        } else {
            let folded = self.shared.with_state(|state| state.ids.folded);
            let is_free = self.id_places.front().is_some_and(|(stored, _)| *stored <= folded);
            let place = is_free.then(|| self.id_places.pop_front()).flatten();
            let number = place.map_or_else(|| self.next_number(), |(_, number)| number);
            group.id_place = Some(number);
            self.shared.subjects.ids(relay, number)
        };
        let message = Message::new(subject, codec::ids(&group.identities));
        group.push(message.keep_for(self.settings.longest_window));
    }

    /// Adds the fold of the small records, if there are enough of them. Only the owner of the first lane may store it.
    pub(super) fn fold_ids(&self, group: &mut Group) {
        // The fold that this relay stored last must be read: until then the records in it count as not folded.
        if *self.shared.followed.borrow() < self.folded_at {
            return;
        }
        let Some((body, folds)) = self.shared.with_state(|state| state.ids.fold()) else { return };
        let subject = self.shared.subjects.many_ids(&self.shared.relay, self.next_number(), folds);
        group.push_fenced(0, Message::new(subject, body).keep_for(self.settings.longest_window));
        group.folds = true;
    }

    /// A batch was stored up to this sequence.
    pub(super) fn stored_ids(&mut self, group: &Group, last: u64) {
        self.id_places.extend(group.id_place.map(|number| (last, number)));
        if group.folds {
            self.folded_at = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::recent::Identity;
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_040 + minutes * 60, 0).unwrap()
    }

    fn id(number: u64) -> Identity {
        Identity::new([1; 16], "web", &number.to_string(), Duration::from_secs(3600))
    }

    #[test]
    fn a_fold_has_each_id_with_its_minute_and_counts_once() {
        let mut records = IdRecords::default();
        let minute = |sequence: u64| i64::try_from(sequence / 200).unwrap();
        let last = FOLD_RECORDS as u64;
        for sequence in 1..=last {
            assert!(records.fold().is_none());
            records.see_small(sequence, at(minute(sequence)), &codec::ids(&[id(sequence)]));
        }
        let (body, folds) = records.fold().unwrap();
        assert_eq!(folds, last);
        let ids: Vec<_> = codec::read_ids(&body, at(99)).collect();
        assert_eq!(ids, (1..=last).map(|sequence| (id(sequence), at(minute(sequence)))).collect::<Vec<_>>());

        // One more comes before the fold is read.
        records.see_small(last + 1, at(9), &codec::ids(&[id(0)]));
        records.see_many(last + 2, folds, &body);
        assert!(records.fold().is_none() && records.small.len() == 1);
        assert_eq!(records.cut(FOLD_RECORDS + 1), None);
        assert_eq!(records.cut(FOLD_RECORDS), Some(last + 1));
        assert_eq!((records.small.len(), records.bytes), (0, 0));
    }

    #[test]
    fn a_fold_is_bounded_and_the_next_one_goes_on() {
        let mut records = IdRecords::default();
        let ids = codec::ids(&vec![id(1); MANY - 1]);
        for sequence in 1..=60 {
            records.see_small(sequence, at(0), &ids);
        }
        let (body, folds) = records.fold().unwrap();
        assert!(body.len() <= FOLD_BYTES + 20 && folds > 30 && folds < 60, "{folds}");
        records.see_many(61, folds, &body);
        assert_eq!(records.small.len() as u64, 60 - folds);
    }

    #[test]
    fn a_relay_that_reads_records_and_then_their_fold_does_not_fold_them_again() {
        let mut records = IdRecords::default();
        records.see_many(9, 7, &codec::ids(&[id(1)]));
        // A server that is behind may send it after a restart of the reader.
        records.see_small(6, at(0), &codec::ids(&[id(1)]));
        assert!(records.small.is_empty());
    }
}
