//! Wall time and running time, read once, then continued by the monotonic clock.
//!
//! Stored times are wall times of this clock: a correction of the system's clock does not change a wait. Ages of calls
//! are differences of running time, which moves only while the relay runs.

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::outbox::Outbox;

#[derive(Debug)]
pub(super) struct Clock {
    wall: DateTime<Utc>,
    running: DateTime<Utc>,
    read_at: Instant,
}

impl Clock {
    pub(super) fn read(outbox: &Outbox) -> Self {
        Self { wall: Utc::now(), running: outbox.running_time(), read_at: Instant::now() }
    }

    /// The wall time of a moment since the reading.
    pub(super) fn wall(&self, moment: Instant) -> DateTime<Utc> {
        self.later(self.wall, moment)
    }

    /// The running time of a moment since the reading.
    pub(super) fn running(&self, moment: Instant) -> DateTime<Utc> {
        self.later(self.running, moment)
    }

    fn later(&self, time: DateTime<Utc>, moment: Instant) -> DateTime<Utc> {
        let since = chrono::Duration::from_std(moment - self.read_at).unwrap_or_default();
        time.checked_add_signed(since).unwrap_or(time)
    }
}
