//! The id that the relay gives to each event at receipt. Answers, log lines, waiting calls, dead letters and rejects
//! show it.
//!
//! An id has 64 bits: 42 bits of milliseconds since 1970, 6 bits of the relay's node number, 16 bits of a running
//! number. After 65,536 events in one millisecond, the ids use numbers of the next one. As text, an id is 13
//! characters of Crockford's base32, which sort by time. Making the ids of a post costs one atomic addition.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, Utc};

const RUNNING_BITS: u32 = 16;
const NODE_BITS: u32 = 6;
const TIME_SHIFT: u32 = RUNNING_BITS + NODE_BITS;
/// The year 2017. Ids that are made of a place in the outbox lie before it.
const FIRST_TIME: i64 = 1_500_000_000_000;
const CHARACTERS: usize = 13;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Identifies one received event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(pub u64);

impl EventId {
    /// Returns an id for an event that a version without ids stored: it is made of the event's place in the outbox.
    pub const fn of_place(chunk: i64, index: u32) -> Self {
        Self((chunk.cast_unsigned() << RUNNING_BITS) | index as u64)
    }

    /// True if the id contains the time of receipt.
    pub fn has_time(self) -> bool {
        self.time().timestamp_millis() > FIRST_TIME
    }

    /// Returns when the event was received.
    pub fn time(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.milliseconds()).unwrap_or_default()
    }

    /// Returns when the event was received, in milliseconds since 1970.
    pub const fn milliseconds(self) -> i64 {
        (self.0 >> TIME_SHIFT).cast_signed()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [b'0'; CHARACTERS];
        let mut rest = self.0;
        for character in text.iter_mut().rev() {
            let digit = usize::try_from(rest & 31).unwrap_or_default();
            *character = ALPHABET.get(digit).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        formatter.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

/// The text is not an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event id has 13 letters and digits, as answers and lists show it")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    /// Reads upper case too, and `o` as 0, `i` and `l` as 1, because people type them.
    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        if text.len() != CHARACTERS {
            return Err(InvalidEventId);
        }
        let mut id: u64 = 0;
        for character in text.bytes() {
            let character = match character.to_ascii_lowercase() {
                b'o' => b'0',
                b'i' | b'l' => b'1',
                other => other,
            };
            let digit = ALPHABET.iter().position(|known| *known == character).ok_or(InvalidEventId)?;
            if id >> 59 != 0 {
                return Err(InvalidEventId);
            }
            id = (id << 5) | digit as u64;
        }
        Ok(Self(id))
    }
}

impl serde::Serialize for EventId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for EventId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Makes the ids of one relay.
#[derive(Debug)]
pub struct EventIds {
    node: u64,
    /// Milliseconds and running number of the next id, without the node between them.
    next: AtomicU64,
}

impl EventIds {
    /// `node`, 0 to 63, differs between relays that share an outbox.
    pub const fn new(node: u8) -> Self {
        Self { node: (node & 63) as u64, next: AtomicU64::new(0) }
    }

    /// Reserves an id for one event.
    pub fn reserve_one(&self, received_at: DateTime<Utc>) -> EventId {
        let ids = self.reserve(received_at, 1);
        ids.id(ids.next)
    }

    /// Reserves ids for the events of one post, in their order.
    pub fn reserve(&self, received_at: DateTime<Utc>, events: usize) -> NewIds {
        let now = u64::try_from(received_at.timestamp_millis()).unwrap_or(0) << RUNNING_BITS;
        // Usually this is only a read: the number moves up once a millisecond.
        if self.next.load(Ordering::Relaxed) < now {
            self.next.fetch_max(now, Ordering::Relaxed);
        }
        let next = self.next.fetch_add(events as u64, Ordering::Relaxed);
        NewIds { node: self.node, next, end: next + events as u64 }
    }
}

/// The ids of one post.
#[derive(Debug, Clone)]
pub struct NewIds {
    node: u64,
    next: u64,
    end: u64,
}

impl NewIds {
    fn id(&self, number: u64) -> EventId {
        let (time, running) = (number >> RUNNING_BITS, number & 0xffff);
        EventId((time << TIME_SHIFT) | (self.node << RUNNING_BITS) | running)
    }
}

impl Iterator for NewIds {
    type Item = EventId;

    fn next(&mut self) -> Option<EventId> {
        if self.next == self.end {
            return None;
        }
        let id = self.id(self.next);
        self.next += 1;
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(milliseconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(milliseconds).unwrap()
    }

    #[test]
    fn an_id_is_13_characters_that_sort_by_time_and_are_read_back() {
        let ids = EventIds::new(5);
        let first = ids.reserve(at(1_700_000_000_000), 1).next().unwrap();
        let later = ids.reserve(at(1_700_000_000_001), 1).next().unwrap();
        assert_eq!(first.to_string(), "65wzsb800a000");
        assert_eq!((first.time(), later.time()), (at(1_700_000_000_000), at(1_700_000_000_001)));
        assert!(first.to_string() < later.to_string());
        assert_eq!(first.to_string().to_uppercase().parse(), Ok(first));
        assert_eq!("O000000000oiL".parse(), Ok(EventId(33)));
        assert_eq!(EventId(u64::MAX).to_string().parse(), Ok(EventId(u64::MAX)));
        for wrong in ["", "short", "zzzzzzzzzzzzz", "0000000000u00", "00000000000000", "ééééééa"] {
            assert_eq!(wrong.parse::<EventId>(), Err(InvalidEventId), "{wrong}");
        }
    }

    #[test]
    fn ids_are_never_given_twice_whatever_the_clock_does() {
        let ids = EventIds::new(0);
        let mut seen = HashSet::new();
        for (time, events) in [(10, 70_000), (10, 3), (11, 2), (5, 4), (12, 1), (-1, 1)] {
            for id in ids.reserve(at(time), events) {
                assert!(seen.insert(id), "{id} at {time}");
            }
        }
        assert_eq!(seen.len(), 70_011);
    }
}
