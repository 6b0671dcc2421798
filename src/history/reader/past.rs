//! Past events to send again: first the numbers of the lines that match, then what is kept of each.
//!
//! The number of a line stays the same when the line moves from memory into a block, so nothing is skipped or found twice.

use std::collections::HashMap;
use std::time::Duration;

use rusqlite::Connection;

use super::late::LateAttempts;
use super::{Filter, Inner, ReadError, search};
use crate::event_id::EventId;
use crate::history::Payload;
use crate::history::block::{Head, Lines, Payloads};
use crate::history::line::Line;
use crate::history::store::{self, Part};

/// Lines of one search.
const PAGE: usize = 2000;
/// A block is on its way from the memory to the file for a moment.
const WAIT: Duration = Duration::from_millis(50);
const MAX_WAITS: usize = 20;

/// An event that matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picked {
    pub id: EventId,
    /// The number of its line, counted over all blocks.
    number: i64,
}

/// What matches.
#[derive(Debug, Default)]
pub struct Picks {
    /// The newest first.
    pub events: Vec<Picked>,
    /// Damaged blocks: their events are missing.
    pub unreadable_blocks: u64,
}

/// What is kept of an event.
#[derive(Debug, Clone)]
pub struct PastEvent {
    pub line: Line,
    /// `None` if the payload was beyond the budget, is not kept, or cannot be read.
    pub payload: Option<Payload>,
}

pub(super) fn pick(
    inner: &Inner,
    filter: &Filter,
    most: usize,
    go_on: impl Fn() -> bool,
) -> Result<Picks, ReadError> {
    let (mut picks, mut before) = (Picks::default(), None);
    loop {
        let page = search::search(inner, filter, before, PAGE, false)?;
        picks.unreadable_blocks += u64::from(page.unreadable_blocks);
        let lines = page.lines.iter().zip(&page.numbers).filter(|(line, _)| !line.is_replay);
        picks.events.extend(lines.map(|(line, number)| Picked { id: line.id, number: *number }));
        before = page.next;
        if before.is_none() || picks.events.len() > most || !go_on() {
            picks.events.truncate(most + 1);
            return Ok(picks);
        }
    }
}

pub(super) fn past(inner: &Inner, picked: &[Picked]) -> Result<Vec<Option<PastEvent>>, ReadError> {
    let connection = inner.connect()?;
    let (found, late) = (HashMap::new(), LateAttempts::default());
    let mut search = Search { inner, connection, below: i64::MAX, found, late };
    let mut wanted: Vec<i64> = picked.iter().map(|one| one.number).collect();
    wanted.sort_unstable();
    for _ in 0..MAX_WAITS {
        search.memory(&mut wanted);
        search.blocks(&mut wanted)?;
        let end = store::newest(&search.connection)?.map_or(0, |head| head.first + i64::from(head.events));
        if wanted.last().is_none_or(|number| *number < end) || inner.recording.is_none() {
            break;
        }
        std::thread::sleep(WAIT);
    }
    search.complete()?;
    let found =
        picked.iter().map(|one| search.found.remove(&one.number).filter(|event| event.line.id == one.id));
    Ok(found.collect())
}

struct Search<'s> {
    inner: &'s Inner,
    connection: Connection,
    /// Blocks from this one on are in memory.
    below: i64,
    /// By the numbers of their lines.
    found: HashMap<i64, PastEvent>,
    late: LateAttempts,
}

impl Search<'_> {
    /// Takes what is not in a block yet out of `wanted`.
    fn memory(&mut self, wanted: &mut Vec<i64>) {
        let Some(recording) = &self.inner.recording else { return };
        let buffer = recording.buffer();
        (self.below, self.late) = (buffer.block, LateAttempts::default());
        self.late.add(buffer.late.iter().cloned());
        wanted.retain(|number| {
            let place = number.checked_sub(buffer.first).and_then(|place| usize::try_from(place).ok());
            let Some(event) = place.and_then(|place| buffer.events.get(place)) else { return true };
            self.found.insert(
                *number,
                PastEvent { line: event.line.clone(), payload: event.payload.as_deref().cloned() },
            );
            false
        });
    }

    fn blocks(&mut self, wanted: &mut Vec<i64>) -> Result<(), ReadError> {
        let mut rest = std::mem::take(wanted).into_iter().peekable();
        while let Some(number) = rest.next() {
            let Some(head) = store::block_of(&self.connection, number)? else {
                wanted.push(number);
                continue;
            };
            let end = head.first + i64::from(head.events);
            let mut numbers = vec![number];
            while let Some(next) = rest.next_if(|next| *next < end) {
                numbers.push(next);
            }
            self.block(&head, &numbers)?;
        }
        Ok(())
    }

    /// Reads these lines of a block. Those that cannot be read are not found.
    fn block(&mut self, head: &Head, numbers: &[i64]) -> Result<(), ReadError> {
        let lines = store::part(&self.connection, head.id, Part::Lines)?;
        let payloads = store::part(&self.connection, head.id, Part::Payloads)?;
        let Ok(lines) = lines.and_then(|part| Lines::unpack(&part)) else { return Ok(()) };
        let payloads = payloads.and_then(|part| Payloads::unpack(&part)).and_then(|payloads| payloads.all());
        let mut payloads: HashMap<usize, Payload> = payloads.unwrap_or_default().into_iter().collect();
        let mut unpacked = Vec::new();
        let read = lines.each(|index, line| {
            let number = head.first + i64::try_from(index).unwrap_or(i64::MAX);
            if numbers.binary_search(&number).is_ok() {
                unpacked.push((index, number, line));
            }
        });
        if read.is_err() {
            return Ok(());
        }
        for (index, number, line) in unpacked {
            if let Ok(line) = lines.whole(line) {
                self.found.insert(number, PastEvent { line, payload: payloads.remove(&index) });
            }
        }
        Ok(())
    }

    /// Adds the attempts that ended after the lines were written.
    fn complete(&mut self) -> Result<(), ReadError> {
        let Self { connection, below, found, late, .. } = self;
        let Some(oldest) = found.keys().min().copied() else { return Ok(()) };
        store::each_head(connection, *below, |head| -> Result<bool, ReadError> {
            late.pass(&head);
            Ok(head.first > oldest)
        })?;
        for event in found.values_mut() {
            late.complete(&mut event.line, connection)?;
        }
        Ok(())
    }
}
