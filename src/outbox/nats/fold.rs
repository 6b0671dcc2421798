//! The owner of the first lane folds small records of ids and of fingerprints.
//!
//! A relay stores a new small record in the place of one that was folded. So nothing needs to be removed, and a kill loses nothing: an entry
//! is in its small record until a fold that has it was read. A removal by a filter would hold up the server the longer the more events
//! wait.

use std::collections::{BTreeMap, HashSet, VecDeque};

use bytes::{BufMut as _, Bytes, BytesMut};
use chrono::{DateTime, Utc};

use super::super::recent;
use super::batch::Message;
use super::codec;
use super::commit::Committer;
use super::group::Group;
use super::small_records::{SmallRecord, SmallRecords};
use super::stage::LAST_DELIVERED_TTL;
use crate::accoil::Fingerprint;

/// A record with this many ids is not folded.
pub(super) const MANY_IDS: usize = 256;
/// A fold of more bytes might be too large for a message, and is not stored.
const MOST_BYTES: usize = 600_000;

/// The small records of this relay: the sequence of the batch that stored each, and its subject.
#[derive(Default)]
pub(super) struct Places(VecDeque<(u64, String)>);

impl Places {
    /// The place of a record that is in a fold.
    fn take(&mut self, folded: u64) -> Option<String> {
        let is_free = self.0.front().is_some_and(|(stored, _)| *stored <= folded);
        is_free.then(|| self.0.pop_front()).flatten().map(|(_, subject)| subject)
    }
}

impl Committer {
    /// Adds the record of the ids that the group accepts.
    pub(super) fn store_ids(&mut self, group: &mut Group) {
        if group.identities.is_empty() {
            return;
        }
        let (subjects, relay) = (&self.shared.subjects, &self.shared.relay);
        let subject = if group.identities.len() >= MANY_IDS {
            subjects.many_ids(relay, self.next_number(), 0)
        } else {
            let place = self.id_places.take(self.shared.with_state(|state| state.ids.folded()));
            let subject = place.unwrap_or_else(|| subjects.ids(relay, self.next_number()));
            group.id_places.push(subject.clone());
            subject
        };
        let message = Message::new(subject, codec::ids(&group.identities));
        group.push(message.keep_for(self.settings.longest_window));
    }

    /// Adds a record of the fingerprints that were delivered.
    pub(super) fn store_fingerprints(&mut self, lane: u16, fingerprints: &[Fingerprint], group: &mut Group) {
        let (subjects, relay) = (&self.shared.subjects, &self.shared.relay);
        let place = self.fingerprint_places.take(self.shared.with_state(|state| state.fingerprints.folded()));
        let subject = place.unwrap_or_else(|| subjects.fingerprints(lane, relay, self.next_number()));
        group.fingerprint_places.push(subject.clone());
        let message = Message::new(subject, codec::fingerprints(fingerprints));
        group.push_fenced(lane, message.keep_for(LAST_DELIVERED_TTL));
    }

    /// Adds folds of the small records, if there are enough of them. Only the owner of the first lane may store them.
    pub(super) fn fold(&self, group: &mut Group) {
        // The last folds of this relay must be read: until then the records in them count as not folded.
        if *self.shared.followed.borrow() < self.folded_at {
            return;
        }
        let (ids, fingerprints) = self.shared.with_state(|state| {
            (folded(&state.ids, fold_ids), folded(&state.fingerprints, fold_fingerprints))
        });
        let (subjects, relay) = (&self.shared.subjects, &self.shared.relay);
        let ids = ids.map(|(body, folds)| {
            let subject = subjects.many_ids(relay, self.next_number(), folds);
            Message::new(subject, body).keep_for(self.settings.longest_window)
        });
        let fingerprints = fingerprints.map(|(body, folds)| {
            let subject = subjects.many_fingerprints(relay, self.next_number(), folds);
            Message::new(subject, body).keep_for(LAST_DELIVERED_TTL)
        });
        for message in ids.into_iter().chain(fingerprints) {
            group.push_fenced(0, message);
            group.folds = true;
        }
    }

    /// A batch was stored up to this sequence.
    pub(super) fn stored_small_records(&mut self, group: &Group, last: u64) {
        let stored = |subject: &String| (last, subject.clone());
        self.id_places.0.extend(group.id_places.iter().map(stored));
        self.fingerprint_places.0.extend(group.fingerprint_places.iter().map(stored));
        if group.folds {
            self.folded_at = last;
        }
    }
}

/// Returns the body of a fold, and the sequence of the last record in it.
fn folded(records: &SmallRecords, fold: fn(&[&SmallRecord]) -> Bytes) -> Option<(Bytes, u64)> {
    let small = records.to_fold()?;
    let body = fold(&small);
    let folds = small.last()?.sequence;
    (body.len() <= MOST_BYTES).then_some((body, folds))
}

/// Each id keeps the minute in which it was accepted.
fn fold_ids(records: &[&SmallRecord]) -> Bytes {
    let (mut body, mut minute) = (BytesMut::new(), None);
    for record in records {
        let of_record = recent::minute(record.at);
        if minute.replace(of_record) != Some(of_record) {
            codec::put_minute(&mut body, record.at);
        }
        body.put_slice(&record.body);
    }
    body.freeze()
}

/// Of each key the content that was delivered last.
fn fold_fingerprints(records: &[&SmallRecord]) -> Bytes {
    let mut newest = BTreeMap::new();
    for record in records {
        for Fingerprint { key, content } in codec::read_fingerprints(&record.body) {
            newest.insert(key, (content, record.at));
        }
    }
    codec::many_fingerprints(
        newest.into_iter().map(|(key, (content, at))| (Fingerprint { key, content }, at)),
    )
}

/// Returns the fingerprints of a fold, without those that were delivered again since: `records` has what was stored after the records in
/// the fold and before the fold itself.
pub(super) fn still_newest(records: &SmallRecords, body: &[u8]) -> Vec<(Fingerprint, DateTime<Utc>)> {
    let again: HashSet<u64> = records
        .small()
        .flat_map(|record| codec::read_fingerprints(&record.body))
        .map(|fingerprint| fingerprint.key)
        .collect();
    codec::read_many_fingerprints(body).filter(|(fingerprint, _)| !again.contains(&fingerprint.key)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::recent::Identity;
    use super::super::small_records::{FOLD_BYTES, FOLD_RECORDS};
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_040 + minutes * 60, 0).unwrap()
    }

    fn id(number: u64) -> Identity {
        Identity::new([1; 16], "web", &number.to_string(), Duration::from_secs(3600))
    }

    #[test]
    fn a_fold_has_each_id_with_its_minute_and_counts_once() {
        let mut records = SmallRecords::default();
        let minute = |sequence: u64| i64::try_from(sequence / 200).unwrap();
        let last = FOLD_RECORDS as u64;
        for sequence in 1..=last {
            assert!(records.to_fold().is_none());
            records.see_small(sequence, at(minute(sequence)), &codec::ids(&[id(sequence)]), 1);
        }
        let (body, folds) = folded(&records, fold_ids).unwrap();
        assert_eq!(folds, last);
        let ids: Vec<_> = codec::read_ids(&body, at(99)).collect();
        assert_eq!(ids, (1..=last).map(|sequence| (id(sequence), at(minute(sequence)))).collect::<Vec<_>>());

        // One more comes before the fold is read.
        records.see_small(last + 1, at(9), &codec::ids(&[id(0)]), 1);
        records.see_many(last + 2, folds, codec::count_ids(&body));
        assert!(records.to_fold().is_none() && records.small().count() == 1);
        assert_eq!(records.cut(FOLD_RECORDS + 1), None);
        assert_eq!(records.cut(FOLD_RECORDS), Some(last + 1));
        assert_eq!(records.small().count(), 0);
    }

    #[test]
    fn a_fold_is_bounded_and_the_next_one_goes_on() {
        let mut records = SmallRecords::default();
        let ids = codec::ids(&vec![id(1); MANY_IDS - 1]);
        for sequence in 1..=60 {
            records.see_small(sequence, at(0), &ids, MANY_IDS - 1);
        }
        let (body, folds) = folded(&records, fold_ids).unwrap();
        assert!(body.len() <= FOLD_BYTES + 20 && folds > 30 && folds < 60, "{folds}");
        records.see_many(61, folds, codec::count_ids(&body));
        assert_eq!(records.small().count() as u64, 60 - folds);
    }

    #[test]
    fn a_fold_of_fingerprints_never_replaces_newer_content() {
        let mut records = SmallRecords::default();
        let say = |key, content| codec::fingerprints(&[Fingerprint { key, content }]);
        records.see_small(1, at(0), &say(7, 1), 1);
        records.see_small(2, at(1), &say(7, 2), 1);
        for sequence in 3..=FOLD_RECORDS as u64 {
            records.see_small(sequence, at(2), &say(8, sequence), 1);
        }
        let (body, folds) = folded(&records, fold_fingerprints).unwrap();
        // Key 8 is delivered with other content before the fold is stored.
        records.see_small(folds + 1, at(3), &say(8, 0), 1);
        records.see_many(folds + 2, folds, 2);
        assert_eq!(still_newest(&records, &body), [(Fingerprint { key: 7, content: 2 }, at(1))]);
    }
}
