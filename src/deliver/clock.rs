//! Wall time without jumps: read once, then continued by the monotonic clock.
//!
//! Ages and stored times use it, so that a corrected clock neither stalls retries nor ends them early.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Clock {
    wall: DateTime<Utc>,
    read_at: Instant,
}

impl Clock {
    pub(super) fn read() -> Self {
        Self { wall: Utc::now(), read_at: Instant::now() }
    }

    /// Returns the wall time of a moment.
    pub(super) fn wall(&self, moment: Instant) -> DateTime<Utc> {
        let since = chrono::Duration::from_std(moment - self.read_at).unwrap_or_default();
        self.wall.checked_add_signed(since).unwrap_or(self.wall)
    }
}
