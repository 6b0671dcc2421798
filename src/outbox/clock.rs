//! Running time: by it what is kept becomes old. It moves only while the relay runs, whatever the wall clock does.
//!
//! A wall clock that jumps a month ahead would otherwise delete at once what was promised for a month, and one that jumps
//! back would stop the deletion. Running time begins as the wall clock's time when the outbox is made, continues from the
//! stored value at each start, and follows the monotonic clock. A killed process loses at most a minute of it.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// One moment by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// For people: what is shown, and what other systems compare.
    pub(super) wall: DateTime<Utc>,
    /// For ages.
    pub(super) running: DateTime<Utc>,
}

#[derive(Debug)]
pub(super) struct Clock {
    base: DateTime<Utc>,
    started: Instant,
}

impl Clock {
    /// Continues from the running time that was stored; a new outbox begins with the wall clock's.
    pub(super) fn new(stored: Option<DateTime<Utc>>) -> Self {
        Self { base: stored.unwrap_or_else(Utc::now), started: Instant::now() }
    }

    pub(super) fn now(&self) -> Now {
        let ran = chrono::Duration::from_std(self.started.elapsed()).unwrap_or_default();
        let running = self.base.checked_add_signed(ran).unwrap_or(self.base);
        Now { wall: Utc::now(), running }
    }
}
