//! The regular tasks of the history thread: it samples the counters, and removes what is too old.

use std::time::{Duration, Instant};

use chrono::Utc;

use super::{REFUSED_REQUESTS, Recorder};
use crate::history::reader::Step;
use crate::history::series::Sample;
use crate::history::store::Store;

/// After a jump of the clock, nothing is removed for its age during this time.
const JUMP_PAUSE: Duration = Duration::from_secs(24 * 3600);
/// A difference between the wall clock and the monotonic clock that counts as a jump, in milliseconds.
const JUMP: i64 = 600_000;
/// How long the slots of a minute and of an hour are kept, in milliseconds.
const MINUTES_KEPT: i64 = 7 * 24 * 3_600_000;
const HOURS_KEPT: i64 = 400 * 24 * 3_600_000;
/// The most blocks that are removed for their age at a time.
const MAX_REMOVED: usize = 64;

impl Recorder {
    pub(super) fn sample(&mut self) {
        let mut sample = Sample::default();
        (self.counters)(&mut sample);
        let changed = self.shared.series().add(Utc::now(), sample);
        let rows: Vec<_> =
            changed.iter().map(|(step, slot)| (step.milliseconds(), slot.at, slot.pack())).collect();
        let written = self.store.as_mut().map_or(Ok(()), |store| store.write_series(&rows));
        if let Err(error) = written {
            self.failed(&error, None);
        }
    }

    pub(super) fn do_housekeeping(&mut self, now: Instant) {
        if let Err(error) = self.try_housekeeping(now) {
            self.failed(&error, None);
        }
    }

    fn try_housekeeping(&mut self, now: Instant) -> rusqlite::Result<()> {
        self.watch_clock(now);
        let wall = Utc::now().timestamp_millis();
        if let Some(store) = &self.store {
            let groups = serde_json::to_vec(&self.inbox.refused_requests().groups()).unwrap_or_default();
            store.set_state(REFUSED_REQUESTS, &groups)?;
            store.remove_series(Step::Minute.milliseconds(), wall - MINUTES_KEPT)?;
            store.remove_series(Step::Hour.milliseconds(), wall - HOURS_KEPT)?;
            store.shrink()?;
        }
        if self.mistrusted_until.is_some_and(|until| now < until) {
            return Ok(());
        }
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let block = self.shared.buffer().block;
        for _ in 0..MAX_REMOVED {
            let oldest = self.store.as_ref().map_or(Ok(None), Store::oldest)?;
            let Some(oldest) = oldest.filter(|head| head.id < block && head.to < wall.saturating_sub(keep))
            else {
                break;
            };
            self.archive_and_remove(&oldest)?;
        }
        Ok(())
    }

    /// Notes a jump of the clock. Otherwise a clock that jumps ahead would remove at once what should be kept for a week.
    fn watch_clock(&mut self, now: Instant) {
        let (wall, at) = std::mem::replace(&mut self.clock, (Utc::now(), now));
        let ran = i64::try_from(now.duration_since(at).as_millis()).unwrap_or(i64::MAX);
        let jumped = (self.clock.0 - wall).num_milliseconds() - ran;
        if jumped.abs() > JUMP {
            self.mistrusted_until = Some(now + JUMP_PAUSE);
        }
    }
}
