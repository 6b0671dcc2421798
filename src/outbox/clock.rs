//! Running time, by which stored rows expire. It moves only while the relay runs, whatever the wall clock does.
//!
//! With the wall clock, a jump of a month ahead would immediately delete what must be kept for a month, and a jump
//! back would stop the deletion. Running time begins with the wall clock's time when the outbox is made, continues
//! from the stored value at each start, and follows the monotonic clock. A killed process loses at most a minute of
//! it.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// One moment in both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// Shown to people, and compared with other systems.
    pub(super) wall: DateTime<Utc>,
    /// Used for ages.
    pub(super) running: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    base: DateTime<Utc>,
    started: Instant,
}

impl Clock {
    /// Continues from the stored running time; a new outbox begins with the wall clock's time.
    pub(super) fn new(stored: Option<DateTime<Utc>>) -> Self {
        Self { base: stored.unwrap_or_else(Utc::now), started: Instant::now() }
    }

    pub(super) fn now(&self) -> Now {
        let ran = chrono::Duration::from_std(self.started.elapsed()).unwrap_or_default();
        let running = self.base.checked_add_signed(ran).unwrap_or(self.base);
        Now { wall: Utc::now(), running }
    }
}
