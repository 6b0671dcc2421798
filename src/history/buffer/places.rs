//! Finds the line of an event in memory by its id: a table of fixed size that is never cleared.
//!
//! A hash map takes three visits to memory that is in no cache: to add, to find and to remove. Here an old place needs no removal: its
//! number is below that of the first line. The events of a post have neighbouring ids and neighbouring places, so most visits find the
//! memory in the cache. In a crowded table a place may be lost; the outcome of its event is then a late attempt.

use crate::event_id::EventId;

/// Four times the most events in memory.
const PLACES: usize = 128 << 10;
/// How many places are tried for an event.
const TRIES: usize = 32;
/// The number of consecutive ids whose places lie side by side. Eight places fill one line of the processor's cache.
const GROUP: usize = 8;
const GROUPS: usize = PLACES / GROUP;

/// A line of an event.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// A part of the hash of its event's id.
    tag: u32,
    /// The lower half of the number of the line.
    number: u32,
}

/// Where the events in memory are: each one's newest line.
#[derive(Debug)]
pub(super) struct Places(Box<[Place]>);

impl Places {
    /// `first` is the number of the first line in memory.
    pub(super) fn new(first: i64) -> Self {
        let old = Place { tag: 0, number: half(first - 1) };
        Self(vec![old; PLACES].into())
    }

    /// Adds the line with this number, the last one.
    pub(super) fn add(&mut self, event: EventId, number: i64, first: i64) {
        let (begin, tag) = hash(event);
        let is_free = |place: &Place| place.tag == tag || behind(place.number, first) >= number - first;
        let mut chosen = begin;
        for place in tries(begin) {
            chosen = place;
            if self.0.get(place).is_some_and(is_free) {
                break;
            }
        }
        if let Some(place) = self.0.get_mut(chosen) {
            *place = Place { tag, number: half(number) };
        }
    }

    /// Returns the number of a line that is probably of this event. `end` is the number after that of the last line.
    pub(super) fn find(&self, event: EventId, first: i64, end: i64) -> Option<i64> {
        let (begin, tag) = hash(event);
        let mut places = tries(begin).filter_map(|place| self.0.get(place));
        let found = places.find(|place| place.tag == tag && behind(place.number, first) < end - first)?;
        Some(first + behind(found.number, first))
    }
}

/// Returns the first place of an event, and its tag. Ids are made by the relay, so that no sender can choose them to collide.
fn hash(event: EventId) -> (usize, u32) {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let group = (event.0 / GROUP as u64).wrapping_mul(FACTOR) >> 32;
    // At a low rate a group has only its first few ids: they must not all begin at the same place.
    let within = event.0.wrapping_add(group / GROUPS as u64) % GROUP as u64;
    let place = (group % GROUPS as u64) * GROUP as u64 + within;
    let tag = event.0.wrapping_mul(FACTOR) >> 32;
    (usize::try_from(place).unwrap_or(0), u32::try_from(tag).unwrap_or(0))
}

fn tries(begin: usize) -> impl Iterator<Item = usize> {
    (begin..begin + TRIES).map(|place| place % PLACES)
}

fn half(number: i64) -> u32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Returns how many lines are between the first one and one whose number has this lower half.
fn behind(number: u32, first: i64) -> i64 {
    number.wrapping_sub(half(first)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the id of the event with this number. `rate` is the number of events received per millisecond.
    fn id(number: i64, rate: u64) -> EventId {
        let number = number.cast_unsigned();
        EventId(((1_700_000_000_000 + number / rate) << 22) | (number % rate))
    }

    /// As many events as fit into memory, over and over, across the end of the numbers' lower half.
    #[test]
    fn lines_in_memory_are_found_and_no_others() {
        for rate in [1, 2, 7, 30, 100, 1000] {
            let lost = lost(rate);
            assert!(lost < 500, "{lost} of 200,000 at {rate} in a millisecond");
        }
    }

    fn lost(rate: u64) -> i64 {
        const IN_MEMORY: i64 = 32 << 10;
        let id = |number| id(number, rate);
        let begin = (1 << 32) - 50_000;
        let mut places = Places::new(begin);
        let mut lost = 0;
        for number in begin..begin + 200_000 {
            let first = (number - IN_MEMORY).max(begin);
            places.add(id(number), number, first);
            assert_eq!(places.find(id(number), first, number + 1), Some(number));
            let oldest = places.find(id(first), first, number + 1);
            lost += i64::from(oldest.is_none());
            assert!(oldest.is_none_or(|found| found == first));
            assert_eq!(places.find(id(first - 1), first, number + 1), None);
        }
        places.add(id(begin + 199_990), begin + 200_000, begin + 199_000);
        let again = places.find(id(begin + 199_990), begin + 199_000, begin + 200_001);
        assert_eq!(again, Some(begin + 200_000), "a replay has a line of its own");
        lost
    }
}
