//! The newest events, in memory: lines that wait for their outcome and will be the next block.
//!
//! A line stays here for up to five seconds, so that it usually has its outcome when it is written. An attempt that ends later is
//! a record of its own, which readers join to its line. The memory is bounded to some megabytes.

mod places;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use places::Places;

use super::block::{LateAttempt, Payload};
use super::line::{Attempt, Ending, Line, Shape};
use super::redact::{HIDDEN, HiddenValues};
use crate::event_id::EventId;
use crate::facts::OutcomeRecord;

/// The bytes of a block before it is packed.
pub(super) const BLOCK_BYTES: usize = 1 << 20;
/// The most events of a block.
const BLOCK_EVENTS: usize = 16 << 10;
/// A block is closed after this time even if it is small.
const BLOCK_AGE: Duration = Duration::from_secs(60);
/// How long a line waits for its outcome.
const OUTCOME_WAIT: Duration = Duration::from_secs(5);
/// With more than this in memory, lines no longer wait.
const MAX_BYTES: usize = 6 << 20;
const MAX_EVENTS: usize = 32 << 10;
/// The size that a line counts for, without its texts.
const LINE_BYTES: usize = 48;
const ATTEMPT_BYTES: usize = 12;
/// The known shapes are cleared at this number, so that they do not use memory without bound.
const MAX_SHAPES: usize = 8192;

/// An event in memory.
#[derive(Debug)]
pub(super) struct BufferedEvent {
    pub(super) line: Line,
    /// Boxed, because most events of a flood have none.
    pub(super) payload: Option<Box<Payload>>,
    /// The values to hide in it.
    pub(super) hidden: HiddenValues,
    pub(super) since: Instant,
}

impl BufferedEvent {
    fn size(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, |payload| payload.size());
        LINE_BYTES + self.line.ids.len() + payload
    }
}

/// The first events of the buffer, which are a complete block.
#[derive(Debug, Clone, Copy)]
pub(super) struct FullBlock {
    pub(super) events: usize,
    bytes: usize,
}

#[derive(Debug)]
pub(super) struct Buffer {
    /// The id that the next block will have.
    pub(super) block: i64,
    /// The number of its first line, counted over all blocks.
    pub(super) first: i64,
    pub(super) events: VecDeque<BufferedEvent>,
    pub(super) late: Vec<LateAttempt>,
    /// The events of `late`.
    late_events: HashSet<u64, RandomState>,
    places: Places,
    bytes: usize,
    opened: Instant,
    /// By a hash of 128 bits of what makes them differ: see `facts::Pattern` for why it is enough.
    shapes: HashMap<u128, Arc<Shape>, RandomState>,
    hashers: [RandomState; 2],
    /// The numbers of the lines to which attempts were added, while there are live views.
    pub(super) changed: Vec<i64>,
    /// Whether there are live views.
    pub(super) notes_changes: bool,
    /// Whether anything was added since the last save.
    is_changed: bool,
    /// Whether to hide the texts of late attempts: they may contain values to hide, which are no longer in memory.
    hides_late_texts: bool,
}

impl Buffer {
    pub(super) fn new(block: i64, first: i64, hides_late_texts: bool) -> Self {
        Self {
            block,
            first,
            events: VecDeque::new(),
            late: Vec::new(),
            late_events: HashSet::default(),
            places: Places::new(first),
            bytes: 0,
            opened: Instant::now(),
            shapes: HashMap::default(),
            hashers: Default::default(),
            changed: Vec::new(),
            notes_changes: false,
            is_changed: false,
            hides_late_texts,
        }
    }

    /// Returns the shared instance of the shape of a pattern, with a type and a name.
    pub(super) fn shape(
        &mut self,
        pattern: u32,
        kind: &str,
        name: &str,
        make: impl FnOnce() -> Shape,
    ) -> Arc<Shape> {
        let [one, other] = self.hashers.each_ref().map(|hasher| hasher.hash_one((pattern, kind, name)));
        let hash = (u128::from(one) << 64) | u128::from(other);
        if let Some(known) = self.shapes.get(&hash) {
            return Arc::clone(known);
        }
        let shape = make();
        if self.shapes.len() >= MAX_SHAPES {
            self.shapes.clear();
        }
        let texts: usize = shape.refusals.iter().map(|one| one.reason.len() + one.field.len()).sum();
        self.bytes += 128 + shape.name.len() + shape.calls.len() * 64 + texts;
        let shape = Arc::new(shape);
        self.shapes.insert(hash, Arc::clone(&shape));
        shape
    }

    /// Forgets the shapes, because patterns have new numbers.
    pub(super) fn forget_shapes(&mut self) {
        self.shapes.clear();
    }

    pub(super) fn push(&mut self, mut buffered: BufferedEvent) {
        // A call that needs no answer can end before the fact of its event arrives here.
        let event = buffered.line.id.0;
        if !buffered.line.is_duplicate && !self.late_events.is_empty() && self.late_events.remove(&event) {
            for late in self.late.extract_if(.., |late| late.event == event) {
                buffered.line.add(late.attempt);
            }
        }
        if self.events.is_empty() && self.late.is_empty() {
            self.opened = buffered.since;
        }
        let number = self.end();
        if !buffered.line.is_duplicate {
            self.places.add(buffered.line.id, number, self.first);
        }
        self.bytes += buffered.size();
        self.events.push_back(buffered);
        self.is_changed = true;
    }

    /// Adds an outcome to the line of its event; if the line was written, it becomes a late attempt.
    pub(super) fn outcome(&mut self, outcome: &OutcomeRecord, ending: &Arc<Ending>, now: Instant) {
        let place = self.places.find(outcome.event, self.first, self.end());
        let index = place.and_then(|place| usize::try_from(place - self.first).ok());
        let buffered = index.and_then(|index| self.events.get_mut(index));
        let buffered = buffered.filter(|buffered| buffered.line.id == outcome.event);
        let hidden_text = match &buffered {
            _ if ending.text.is_empty() => None,
            Some(buffered) => buffered.hidden.hidden_in(&ending.text),
            None => self.hides_late_texts.then(|| HIDDEN.to_owned()),
        };
        let ending = match hidden_text {
            Some(text) => Arc::new(Ending { text, ..Ending::clone(ending) }),
            None => Arc::clone(ending),
        };
        let attempt = Attempt {
            call: outcome.request,
            number: outcome.attempt,
            ending,
            took_us: outcome.took_us,
            at: outcome.at,
        };
        self.bytes += ATTEMPT_BYTES;
        self.is_changed = true;
        match buffered.zip(place) {
            Some((buffered, place)) => {
                buffered.line.add(attempt);
                if self.notes_changes {
                    self.changed.push(place);
                }
            }
            None => self.add_late(outcome.event, attempt, now),
        }
    }

    /// The number that the next line will have.
    fn end(&self) -> i64 {
        self.first + i64::try_from(self.events.len()).unwrap_or(0)
    }

    fn add_late(&mut self, event: EventId, attempt: Attempt, now: Instant) {
        if self.events.is_empty() && self.late.is_empty() {
            self.opened = now;
        }
        self.bytes += LINE_BYTES + attempt.ending.text.len();
        self.late_events.insert(event.0);
        self.late.push(LateAttempt { event: event.0, attempt });
    }

    /// Returns the next block if it is full or old enough; with `all`, everything that is left. It stays here until it is written and
    /// removed.
    pub(super) fn full(&self, now: Instant, all: bool) -> Option<FullBlock> {
        let is_crowded = self.bytes > MAX_BYTES || self.events.len() > MAX_EVENTS;
        let is_old = now.duration_since(self.opened) >= BLOCK_AGE;
        let is_full = self.bytes >= BLOCK_BYTES || self.events.len() >= BLOCK_EVENTS;
        if self.events.is_empty() && self.late.is_empty() || !(all || is_full || is_old) {
            return None;
        }
        let may_wait = !all && !is_crowded;
        let (mut bytes, mut count) = (self.late.len() * LINE_BYTES, 0);
        for buffered in &self.events {
            let is_ready = buffered.line.is_settled() || now.duration_since(buffered.since) >= OUTCOME_WAIT;
            let size = buffered.size() + buffered.line.attempts.len() * ATTEMPT_BYTES;
            if (may_wait && !is_ready) || count == BLOCK_EVENTS || (count > 0 && bytes + size > BLOCK_BYTES) {
                break;
            }
            bytes += size;
            count += 1;
        }
        // A line that is not ready may keep back the lines after it only while there is room.
        let is_worth_it = all || is_crowded || is_old || bytes >= BLOCK_BYTES / 2 || count == BLOCK_EVENTS;
        if !is_worth_it || (count == 0 && self.late.is_empty()) {
            return None;
        }
        Some(FullBlock { events: count, bytes })
    }

    /// Removes a block that was written. Nothing may have been added since it was full.
    pub(super) fn remove(&mut self, full: FullBlock, now: Instant) {
        let first = self.first + i64::try_from(full.events).unwrap_or(0);
        self.events.drain(..full.events);
        self.late.clear();
        self.late_events.clear();
        self.block += 1;
        self.first = first;
        self.bytes = if self.events.is_empty() { 0 } else { self.bytes.saturating_sub(full.bytes) };
        self.opened = self.events.front().map_or(now, |buffered| buffered.since);
        self.is_changed = true;
    }

    /// Returns whether anything was added since the last call.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.is_changed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.late.is_empty()
    }
}
