//! Late attempts: those that ended after the line of their event was written. They are joined when a line is shown.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use rusqlite::Connection;

use super::ReadError;
use crate::event_id::EventId;
use crate::history::block::{self, Head, LateAttempt};
use crate::history::line::{Attempt, Line};
use crate::history::store::{self, Part};

/// The late attempts of the blocks that the search has seen.
#[derive(Default)]
pub(super) struct LateAttempts {
    /// Blocks that are not read yet, each with the lowest and the highest event id of its late attempts.
    unread: Vec<(i64, u64, u64)>,
    read: HashMap<u64, Vec<Attempt>>,
}

impl LateAttempts {
    pub(super) fn pass(&mut self, head: &Head) {
        if head.most_late != 0 {
            self.unread.push((head.id, head.least_late, head.most_late));
        }
    }

    pub(super) fn add(&mut self, late: impl IntoIterator<Item = LateAttempt>) {
        for LateAttempt { event, attempt } in late {
            match self.read.entry(event) {
                Entry::Occupied(mut known) => known.get_mut().push(attempt),
                Entry::Vacant(place) => drop(place.insert(vec![attempt])),
            }
        }
    }

    /// Completes a line. Skips damaged parts and returns how many there were.
    pub(super) fn complete(&mut self, line: &mut Line, connection: &Connection) -> Result<u32, ReadError> {
        let unreadable = self.read_for(line.id, connection)?;
        if let Some(attempts) = self.read.get(&line.id.0) {
            let mut attempts = attempts.clone();
            attempts.sort_by_key(|attempt| attempt.at);
            for attempt in attempts {
                line.add(attempt);
            }
        }
        Ok(unreadable)
    }

    fn read_for(&mut self, id: EventId, connection: &Connection) -> Result<u32, ReadError> {
        let mut unreadable = 0;
        let wanted = |(_, least, most): &mut (i64, u64, u64)| (*least..=*most).contains(&id.0);
        let blocks: Vec<_> = self.unread.extract_if(.., wanted).map(|(block, ..)| block).collect();
        for block in blocks {
            let part = store::part(connection, block, Part::Late)?;
            match part.and_then(|part| block::unpack_late(&part)) {
                Ok(late) => self.add(late),
                Err(_) => unreadable += 1,
            }
        }
        Ok(unreadable)
    }
}
