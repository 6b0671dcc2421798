//! Shows lines to live views: new ones when their outcome is known or after half a second, and changed ones again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Recorder;
use crate::history::buffer::{Buffer, BufferedEvent};

/// An event that has no outcome yet is shown to viewers after this time.
const SHOWN_AFTER: Duration = Duration::from_millis(500);

impl Recorder {
    /// Shows new lines to viewers, and shows changed lines again.
    pub(super) fn announce(&mut self, now: Instant) {
        let shared = Arc::clone(&self.shared);
        let mut buffer = shared.buffer();
        buffer.notes_changes = !shared.live.is_empty();
        let changed = std::mem::take(&mut buffer.changed);
        let index = |number: i64| usize::try_from(number - buffer.first).ok();
        if !buffer.notes_changes {
            self.first_unseen = buffer.first + i64::try_from(buffer.events.len()).unwrap_or(0);
            return;
        }
        let again = changed.into_iter().filter(|number| *number < self.first_unseen);
        let again: BTreeSet<i64> = again.collect();
        let again = again.into_iter().filter_map(|number| buffer.events.get(index(number)?));
        shared.live.show(again, &self.intake.redactor);
        self.first_unseen = self.first_unseen.max(buffer.first);
        let seen = index(self.first_unseen).unwrap_or(0).min(buffer.events.len());
        let is_ready = |event: &&BufferedEvent| {
            event.line.is_settled() || now.duration_since(event.since) >= SHOWN_AFTER
        };
        let ready = buffer.events.range(seen..).take_while(is_ready).inspect(|_| self.first_unseen += 1);
        shared.live.show(ready, &self.intake.redactor);
    }

    /// Shows those of the first events that viewers have not seen, before they leave the memory.
    pub(super) fn announce_rest(&mut self, buffer: &Buffer, events: usize) {
        let seen = usize::try_from(self.first_unseen - buffer.first).unwrap_or(0).min(events);
        if !self.shared.live.is_empty() {
            self.shared.live.show(buffer.events.range(seen..events), &self.intake.redactor);
        }
        self.first_unseen = self.first_unseen.max(buffer.first + i64::try_from(events).unwrap_or(0));
    }
}
