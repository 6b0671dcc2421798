//! What a relay knows about the cluster: the owners of lanes, the live relays, the settled calls, the accepted ids. Every relay builds this
//! state from the same records in the same order, so all relays agree.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Amount, Usage};
use super::codec::{self, LeaseRecord, RelayRecord};
use super::small_records::SmallRecords;

/// How long after the end of a lease another relay waits before it takes the lane. The owner stops before the lease ends.
const MARGIN: Duration = Duration::from_secs(1);

/// The name of the record that has the sums of all relays that are gone.
pub(super) const GONE_RELAYS: &str = "gone";

/// The relays that are gone with the sequences of their records, the record with the sums of these and of earlier ones, and the sequence that it
/// has so far.
type GoneRelays = (Vec<(String, u64)>, RelayRecord, u64);

/// A lease as it was last seen.
#[derive(Debug, Clone)]
pub(super) struct SeenLease {
    pub(super) sequence: u64,
    pub(super) record: LeaseRecord,
    /// When this relay saw the record, by its monotonic clock.
    seen_at: Instant,
}

impl SeenLease {
    fn has_ended(&self, now: Instant) -> bool {
        self.record.is_free || now >= self.seen_at + codec::lease_time(self.record.lease_ms) + MARGIN
    }
}

/// A relay's record as it was last seen.
#[derive(Debug, Clone)]
pub(super) struct SeenRelay {
    pub(super) sequence: u64,
    pub(super) record: RelayRecord,
    seen_at: Instant,
}

/// The settled requests of a chunk.
#[derive(Debug, Clone)]
pub(super) struct StoredProgress {
    pub(super) settled: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    leases: HashMap<u16, SeenLease>,
    relays: HashMap<String, SeenRelay>,
    progress: HashMap<(u16, i64), StoredProgress>,
    /// The records of ids for de-duplication.
    pub(super) ids: SmallRecords,
    /// The records of last delivered fingerprints.
    pub(super) fingerprints: SmallRecords,
}

impl State {
    /// Forgets everything that the relay reads again from the stream.
    pub(super) fn forget(&mut self) {
        self.progress.clear();
        (self.ids, self.fingerprints) = (SmallRecords::default(), SmallRecords::default());
    }

    pub(super) fn see_lease(&mut self, lane: u16, sequence: u64, record: LeaseRecord, now: Instant) {
        self.leases.insert(lane, SeenLease { sequence, record, seen_at: now });
    }

    pub(super) fn see_relay(&mut self, relay: &str, sequence: u64, record: RelayRecord, now: Instant) {
        let is_newer = self.relays.get(relay).is_none_or(|seen| seen.sequence < sequence);
        if is_newer {
            self.relays.insert(relay.to_owned(), SeenRelay { sequence, record, seen_at: now });
        }
    }

    /// Another relay removed this record.
    pub(super) fn forget_relay(&mut self, relay: &str, sequence: u64) {
        if self.relays.get(relay).is_some_and(|seen| seen.sequence < sequence) {
            self.relays.remove(relay);
        }
    }

    /// Returns at most this many other relays that were silent for this long; `None` if there are none.
    pub(super) fn gone_relays(
        &self,
        this: &str,
        now: Instant,
        silent: Duration,
        most: usize,
    ) -> Option<GoneRelays> {
        let is_gone = |relay: &str, seen: &SeenRelay| {
            relay != this && relay != GONE_RELAYS && now.duration_since(seen.seen_at) >= silent
        };
        let gone: Vec<_> =
            self.relays.iter().filter(|(relay, seen)| is_gone(relay, seen)).take(most).collect();
        if gone.is_empty() {
            return None;
        }
        let before = self.relays.get(GONE_RELAYS);
        let mut sum = before.map_or_else(RelayRecord::default, |seen| seen.record.clone());
        sum.is_stopped = true;
        for (_, seen) in &gone {
            sum.added.add(seen.record.added.rows, seen.record.added.bytes);
            sum.removed.add(seen.record.removed.rows, seen.record.removed.bytes);
        }
        let gone = gone.into_iter().map(|(relay, seen)| (relay.clone(), seen.sequence)).collect();
        Some((gone, sum, before.map_or(0, |seen| seen.sequence)))
    }

    pub(super) fn relay(&self, relay: &str) -> Option<&SeenRelay> {
        self.relays.get(relay)
    }

    pub(super) fn see_progress(&mut self, lane: u16, chunk: i64, progress: Option<StoredProgress>) {
        match progress {
            Some(progress) => drop(self.progress.insert((lane, chunk), progress)),
            None => drop(self.progress.remove(&(lane, chunk))),
        }
    }

    pub(super) fn progress(&self, lane: u16, chunk: i64) -> Option<&StoredProgress> {
        self.progress.get(&(lane, chunk))
    }

    pub(super) fn lease(&self, lane: u16) -> Option<&SeenLease> {
        self.leases.get(&lane)
    }

    /// Returns whether the lane has no owner: it was never owned, it was given back, or its owner has been silent for too long.
    pub(super) fn is_free(&self, lane: u16, now: Instant) -> bool {
        self.leases.get(&lane).is_none_or(|lease| lease.has_ended(now))
    }

    /// The number of live relays, this one included.
    pub(super) fn live_relays(&self, this: &str, now: Instant) -> usize {
        let lives = |seen: &SeenRelay| {
            !seen.record.is_stopped && now < seen.seen_at + codec::lease_time(seen.record.lease_ms) + MARGIN
        };
        let others = self.relays.iter().filter(|(relay, seen)| *relay != this && lives(seen));
        1 + others.count()
    }

    /// Every relay with a record, except this one.
    pub(super) fn other_relays(&self, this: &str) -> Vec<String> {
        self.relays.keys().filter(|relay| *relay != this).cloned().collect()
    }

    /// The waiting calls and their bytes: everything that relays added, without everything that they removed.
    pub(super) fn waiting(&self) -> Amount {
        let mut amount = Amount::default();
        for seen in self.relays.values() {
            amount.add(Amount { rows: seen.record.added.rows, bytes: seen.record.added.bytes });
        }
        for seen in self.relays.values() {
            amount.remove(Amount { rows: seen.record.removed.rows, bytes: seen.record.removed.bytes });
        }
        amount
    }

    pub(super) fn usage(&self, dead_letters: Amount, rejects: Amount) -> Usage {
        Usage { waiting: self.waiting(), dead_letters, rejects }
    }
}

/// The most lanes that one of `relays` relays should own.
pub(super) const fn fair_share(lanes: u16, relays: usize) -> usize {
    (lanes as usize).div_ceil(if relays == 0 { 1 } else { relays })
}

#[cfg(test)]
mod tests {
    use super::super::codec::Tally;
    use super::*;

    fn lease(is_free: bool) -> LeaseRecord {
        LeaseRecord { relay: "a".to_owned(), epoch: 1, lease_ms: 10_000, is_free }
    }

    #[test]
    fn a_lane_is_free_when_it_was_given_back_or_its_lease_ended() {
        let mut state = State::default();
        let now = Instant::now();
        assert!(state.is_free(3, now));
        state.see_lease(3, 1, lease(false), now);
        assert!(!state.is_free(3, now + Duration::from_millis(10_999)));
        assert!(state.is_free(3, now + Duration::from_secs(11)));
        state.see_lease(3, 2, lease(true), now);
        assert!(state.is_free(3, now));
    }

    #[test]
    fn records_of_relays_that_are_gone_become_one_and_nothing_is_counted_twice() {
        let mut state = State::default();
        let (now, silent) = (Instant::now(), Duration::from_secs(600));
        let later = now + silent;
        let record = |rows| RelayRecord { added: Tally { rows, bytes: 10 * rows }, ..RelayRecord::default() };
        for (relay, sequence, rows, at) in
            [("this", 1, 1, now), ("a", 2, 2, now), ("b", 3, 4, now), ("c", 4, 8, later)]
        {
            state.see_relay(relay, sequence, record(rows), at);
        }
        assert!(state.gone_relays("this", now, silent, 100).is_none());
        let (gone, sum, expected) = state.gone_relays("this", later, silent, 100).unwrap();
        assert_eq!((gone.len(), sum.added.rows, expected), (2, 6, 0));
        let waiting = state.waiting();
        for (number, (relay, _)) in (5..).zip(gone) {
            state.forget_relay(&relay, number);
        }
        state.see_relay(GONE_RELAYS, 7, sum, later);
        assert_eq!(state.waiting(), waiting);
        assert_eq!(state.live_relays("this", later), 2, "this one and c");
        let much_later = later + silent;
        let (gone, sum, expected) = state.gone_relays("this", much_later, silent, 100).unwrap();
        assert_eq!((gone, sum.added.rows, expected), (vec![("c".to_owned(), 4)], 14, 7));
        state.forget_relay("this", 1);
        assert!(state.relay("this").is_some(), "it has stored a record since");
    }

    #[test]
    fn relays_that_are_silent_or_stopped_have_no_share() {
        let mut state = State::default();
        let now = Instant::now();
        let alive = RelayRecord { lease_ms: 3_000, ..RelayRecord::default() };
        state.see_relay("b", 1, alive.clone(), now);
        state.see_relay("c", 2, RelayRecord { is_stopped: true, ..alive }, now);
        assert_eq!(state.live_relays("a", now), 2);
        assert_eq!(state.live_relays("a", now + Duration::from_secs(4)), 1);
        assert_eq!([1, 2, 3, 16, 20].map(|relays| fair_share(16, relays)), [16, 8, 6, 1, 1]);
    }
}
