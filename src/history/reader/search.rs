//! A search: first the events in memory, then the blocks that may have matching events, the newest first, until the page is full.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use super::late::LateAttempts;
use super::{CompiledFilter, Filter, Inner, ReadError};
use crate::history::block::{Head, Lines, Payload, Payloads, UnreadablePart};
use crate::history::line::{Line, time};
use crate::history::store::{self, Part};

/// A search stops after this many unpacked bytes, or after this time.
const MAX_BYTES: usize = 256 << 20;
const MAX_TIME: Duration = Duration::from_millis(500);

/// The end of a page: the next page continues below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(i64);

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        i64::from_str_radix(text, 16).map(Self)
    }
}

/// What a search found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The newest first.
    pub lines: Vec<Line>,
    /// The payload of each line's event, if payloads were asked for; `None` if it is not kept.
    pub payloads: Vec<Option<Payload>>,
    /// The number of each line, counted over all blocks, by which it is found again.
    pub(in crate::history) numbers: Vec<i64>,
    /// Where the search can continue; `None` if it reached the beginning of the history.
    pub next: Option<Cursor>,
    /// Everything that was received later has been searched; `None` if everything was, or the history is empty.
    pub searched_to: Option<DateTime<Utc>>,
    /// True if the search stopped because it had searched long enough, and not because the page is full.
    pub is_cut: bool,
    /// Damaged blocks: their events are missing from the result.
    pub unreadable_blocks: u32,
}

struct Search<'s> {
    inner: &'s Inner,
    connection: &'s Connection,
    filter: CompiledFilter,
    before: i64,
    most: usize,
    has_payloads: bool,
    began: Instant,
    bytes: usize,
    late: LateAttempts,
    page: Page,
}

pub(super) fn search(
    inner: &Inner,
    filter: &Filter,
    before: Option<Cursor>,
    most: usize,
    has_payloads: bool,
) -> Result<Page, ReadError> {
    let connection = inner.connect()?;
    let mut search = Search {
        inner,
        connection: &connection,
        filter: CompiledFilter::new(filter.clone(), |user| super::hashed(&connection, user)),
        before: before.map_or(i64::MAX, |Cursor(number)| number),
        most: most.max(1),
        has_payloads,
        began: Instant::now(),
        bytes: 0,
        late: LateAttempts::default(),
        page: Page::default(),
    };
    let below = search.memory();
    if search.page.lines.len() < search.most {
        store::each_head(&connection, below, |head| search.block(&head))?;
    }
    Ok(search.page)
}

impl Search<'_> {
    /// Searches the events that are not in a block yet. Returns the id below which blocks must be searched.
    fn memory(&mut self) -> i64 {
        let Some(recording) = &self.inner.recording else { return i64::MAX };
        let buffer = recording.buffer();
        self.late.add(buffer.late.iter().cloned());
        let numbers = buffer.first..buffer.first + i64::try_from(buffer.events.len()).unwrap_or(0);
        let before = self.before;
        let numbered = numbers.rev().zip(buffer.events.iter().rev());
        for (number, buffered) in numbered.filter(|(number, _)| *number < before) {
            if !self.filter.fits_whole(&buffered.line) {
                continue;
            }
            let has_text = self.filter.has_text(&buffered.line)
                || buffered.payload.as_ref().is_some_and(|payload| self.is_in(payload));
            if has_text && self.add_line(buffered.line.clone(), buffered.payload.as_deref().cloned(), number)
            {
                break;
            }
        }
        buffer.block
    }

    /// Searches a block. Returns whether to continue with the next older one.
    fn block(&mut self, head: &Head) -> Result<bool, ReadError> {
        self.late.pass(head);
        if head.first >= self.before {
            return Ok(true);
        }
        if self.bytes > MAX_BYTES || self.began.elapsed() > MAX_TIME {
            self.page.is_cut = true;
            self.page.next = Some(Cursor(head.first + i64::from(head.events)));
            self.page.searched_to = Some(time(head.to));
            return Ok(false);
        }
        if !self.filter.may_have(head.from, head.to, head.mask) || !self.may_be_in(head)? {
            return Ok(true);
        }
        let is_full = self.lines_of(head)?.unwrap_or_else(|UnreadablePart| {
            self.page.unreadable_blocks += 1;
            false
        });
        Ok(!is_full)
    }

    fn may_be_in(&self, head: &Head) -> Result<bool, ReadError> {
        if !self.filter.has_keys() {
            return Ok(true);
        }
        // An event id contains its time.
        let is_event = |text: &String| text.parse().is_ok_and(|id| head.may_have_event(id));
        if self.filter.filter.any.as_ref().is_some_and(is_event) {
            return Ok(true);
        }
        // Damaged bits exclude nothing.
        Ok(store::bloom(self.connection, head.id)?.is_none_or(|bits| self.filter.may_be_in(&bits)))
    }

    /// Searches the lines of a block. Returns whether the page is full.
    fn lines_of(&mut self, head: &Head) -> Result<Result<bool, UnreadablePart>, ReadError> {
        let lines = store::part(self.connection, head.id, Part::Lines)?.and_then(|part| Lines::unpack(&part));
        let lines = match lines {
            Ok(lines) => lines,
            Err(unreadable) => return Ok(Err(unreadable)),
        };
        self.bytes += lines.size();
        let fits: Vec<bool> = lines.shapes.iter().map(|shape| self.filter.fits_shape(shape)).collect();
        let mut found = Vec::new();
        let read = lines.each(|index, line| {
            let number = head.first + i64::try_from(index).unwrap_or(0);
            if number < self.before
                && fits.get(line.shape as usize).copied().unwrap_or(false)
                && self.filter.fits_ids(&line)
            {
                found.push((index, number, line));
            }
        });
        if let Err(unreadable) = read {
            return Ok(Err(unreadable));
        }
        if found.is_empty() {
            return Ok(Ok(false));
        }
        let with_text = match self.with_text(head)? {
            Ok(with_text) => with_text,
            Err(unreadable) => return Ok(Err(unreadable)),
        };
        let payloads = self.payloads(head)?;
        for (index, number, line) in found.into_iter().rev() {
            let mut line = match lines.whole(line) {
                Ok(line) => line,
                Err(unreadable) => return Ok(Err(unreadable)),
            };
            self.page.unreadable_blocks += self.late.complete(&mut line, self.connection)?;
            let has_text = with_text.contains(&index) || self.filter.has_text(&line);
            if has_text && self.filter.fits_line(&line) {
                // The line is useful without its payload.
                let payload = payloads.as_ref().and_then(|payloads| payloads.of(index).ok().flatten());
                if self.add_line(line, payload, number) {
                    return Ok(Ok(true));
                }
            }
        }
        Ok(Ok(false))
    }

    /// Returns the payloads of a block, if they were asked for and can be read.
    fn payloads(&mut self, head: &Head) -> Result<Option<Payloads>, ReadError> {
        if !self.has_payloads {
            return Ok(None);
        }
        let part = store::part(self.connection, head.id, Part::Payloads)?;
        let payloads = part.and_then(|part| Payloads::unpack(&part)).ok();
        self.bytes += payloads.as_ref().map_or(0, Payloads::size);
        Ok(payloads)
    }

    /// Returns the lines of a block whose payload contains the text of the filter; `None` if the filter has no text.
    fn with_text(&mut self, head: &Head) -> Result<Result<HashSet<usize>, UnreadablePart>, ReadError> {
        let mut with_text = HashSet::new();
        let Some(text) = self.filter.filter.text.as_deref() else { return Ok(Ok(with_text)) };
        let part = store::part(self.connection, head.id, Part::Payloads)?;
        let payloads = match part.and_then(|part| Payloads::unpack(&part)) {
            Ok(payloads) => payloads,
            Err(unreadable) => return Ok(Err(unreadable)),
        };
        self.bytes += payloads.size();
        let finder = memchr::memmem::Finder::new(text);
        let read = payloads.each_text(|line, text| {
            if finder.find(text.as_bytes()).is_some() {
                with_text.insert(line);
            }
        });
        if let Err(unreadable) = read {
            return Ok(Err(unreadable));
        }
        if !self.inner.redactor.is_off() {
            // Hidden values must not be found either.
            with_text
                .retain(|line| payloads.of(*line).ok().flatten().is_some_and(|payload| self.is_in(&payload)));
        }
        Ok(Ok(with_text))
    }

    /// Returns whether the visible part of a payload contains the text.
    fn is_in(&self, payload: &Payload) -> bool {
        self.filter.filter.text.as_deref().is_none_or(|text| self.inner.redactor.shows(payload, text))
    }

    /// Adds a line. Returns whether the page is full.
    fn add_line(&mut self, line: Line, payload: Option<Payload>, number: i64) -> bool {
        let is_full = self.page.lines.len() + 1 >= self.most;
        if is_full {
            self.page.next = Some(Cursor(number));
            self.page.searched_to = Some(line.at());
        }
        self.page.lines.push(line);
        self.page.numbers.push(number);
        if self.has_payloads {
            self.page.payloads.push(payload);
        }
        is_full
    }
}
