//! The head of a block: its range of times, numbers and event ids, and a mask of the words that occur in it.

use super::LateAttempt;
use crate::event_id::EventId;
use crate::history::bloom::{self, Kind};
use crate::history::line::{Line, Outcome, Shape};

/// The summary of a block, by which a search decides whether to unpack it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::history) struct Head {
    pub(in crate::history) id: i64,
    /// The number of its first line, counted over all blocks.
    pub(in crate::history) first: i64,
    pub(in crate::history) events: u32,
    pub(in crate::history) payloads: u32,
    /// The earliest and the latest time of receipt, in milliseconds.
    pub(in crate::history) from: i64,
    pub(in crate::history) to: i64,
    pub(in crate::history) least_event: u64,
    pub(in crate::history) most_event: u64,
    /// The lowest and the highest event id of its late attempts; both 0 if it has none.
    pub(in crate::history) least_late: u64,
    pub(in crate::history) most_late: u64,
    pub(in crate::history) mask: u64,
}

impl Head {
    /// Returns the head of a block without lines.
    pub(in crate::history) fn new(id: i64, first: i64, late: &[LateAttempt]) -> Self {
        Self {
            id,
            first,
            from: i64::MAX,
            to: i64::MIN,
            least_event: u64::MAX,
            least_late: late.iter().map(|one| one.event).min().unwrap_or(0),
            most_late: late.iter().map(|one| one.event).max().unwrap_or(0),
            ..Self::default()
        }
    }

    /// Adds a line. `has_new_shape`: no line before it has its shape.
    pub(in crate::history) fn add(&mut self, line: &Line, has_new_shape: bool) {
        self.events += 1;
        self.payloads += u32::from(line.has_payload);
        self.from = self.from.min(line.received_at);
        self.to = self.to.max(line.received_at);
        self.least_event = self.least_event.min(line.id.0);
        self.most_event = self.most_event.max(line.id.0);
        if line.is_duplicate {
            self.mask |= word("status", "duplicate");
        }
        if has_new_shape {
            self.mask |= mask(&line.shape);
        }
    }

    pub(in crate::history) fn may_have_event(&self, event: EventId) -> bool {
        (self.least_event..=self.most_event).contains(&event.0)
    }
}

/// Returns the bits of a shape: of its source, destinations and type, and of each status that does not depend on attempts.
fn mask(shape: &Shape) -> u64 {
    let mut mask = word("source", &shape.source) | word("type", &shape.kind);
    for call in &shape.calls {
        mask |= word("destination", &call.destination) | word("status", "called");
    }
    if !shape.skipped.is_empty() {
        mask |= word("status", "skipped");
    }
    if !shape.refusals.is_empty() {
        mask |= word("status", "rejected");
    }
    mask
}

/// Returns the bit of a word.
pub(in crate::history) fn word(kind: &str, word: &str) -> u64 {
    let key = bloom::key(Kind::Group, &format!("{kind}:{word}"));
    1 << (key % 64)
}

/// Returns the keys by which a line is found.
pub(in crate::history) fn keys(line: &Line) -> impl Iterator<Item = u64> {
    let keys = [(Kind::User, line.user()), (Kind::MessageId, line.message_id()), (Kind::Group, line.group())];
    keys.into_iter().filter(|(_, id)| !id.is_empty()).map(|(kind, id)| bloom::key(kind, id))
}

impl Outcome {
    /// The status of every line with calls: its final status may still change by a late attempt, so the head does not have it.
    pub(in crate::history) const CALLED: &'static str = "called";
}
