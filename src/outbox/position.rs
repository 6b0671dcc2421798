//! Where a call is: its position in the order of its lane, and the place where it is stored until it is settled.
//!
//! Only a backend reads the parts of a position. All other code compares positions, shows them, and parses them again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The position of a call in the order of its lane. It identifies a waiting call and stays the same until the call is
/// settled. Readers also use it as their cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub(super) lane: u16,
    /// The number of the chunk within its lane.
    pub(super) chunk: i64,
    pub(super) index: u32,
}

impl Position {
    /// Before everything in a lane.
    pub(super) const fn start(lane: u16) -> Self {
        Self { lane, chunk: 0, index: 0 }
    }

    /// After every call of a chunk.
    pub(super) const fn after_chunk(lane: u16, chunk: i64) -> Self {
        Self { lane, chunk, index: u32::MAX }
    }

    /// The lane that the call belongs to.
    pub const fn lane(self) -> u16 {
        self.lane
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lane, chunk, index } = self;
        if *lane > 0 {
            write!(formatter, "{lane}:")?;
        }
        write!(formatter, "{chunk}.{index}")
    }
}

/// The text is not the id of a waiting call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a waiting call's id is two numbers and a dot, such as 17.3; `waiting list` shows them")]
pub struct InvalidCallId;

impl FromStr for Position {
    type Err = InvalidCallId;

    fn from_str(text: &str) -> Result<Self, InvalidCallId> {
        let (lane, rest) = text.split_once(':').unwrap_or(("0", text));
        let (chunk, index) = rest.split_once('.').ok_or(InvalidCallId)?;
        Ok(Self {
            lane: lane.parse().map_err(|_| InvalidCallId)?,
            chunk: chunk.parse().map_err(|_| InvalidCallId)?,
            index: index.parse().map_err(|_| InvalidCallId)?,
        })
    }
}

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where a call is stored until it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In its chunk, which has `of` calls.
    Chunk { position: Position, of: u32 },
    /// In a row of its own. It keeps the position that it had in its chunk, by which it is ordered.
    Parked { row: i64, position: Position },
}

impl Place {
    /// The key that orders one user's calls.
    pub const fn position(&self) -> Position {
        match *self {
            Self::Chunk { position, .. } | Self::Parked { position, .. } => position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_is_written() {
        for (position, text) in [
            (Position { lane: 0, chunk: 17, index: 3 }, "17.3"),
            (Position { lane: 2, chunk: 17, index: 0 }, "2:17.0"),
        ] {
            assert_eq!((position.to_string().as_str(), text.parse()), (text, Ok(position)));
        }
        for wrong in ["", "17", "17.", ".3", "17.x", "17.-3", "17.3.1", ":17.3", "x:17.3", "70000:17.3"] {
            assert_eq!(wrong.parse::<Position>(), Err(InvalidCallId), "{wrong}");
        }
    }
}
