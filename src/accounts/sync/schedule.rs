//! Runs each scheduled sync while the relay runs; the configuration sets the time between two complete runs.
//!
//! The end of the last complete run is stored on disk, so a restart starts no run early.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{TimeDelta, Utc};

use super::{Cause, Direction, Reports, Syncs};

impl Syncs {
    /// Spawns one task per scheduled sync.
    pub fn run_on_schedule(&self) {
        for (direction, every) in Direction::ALL.into_iter().zip(self.0.setup.every) {
            if let Some(every) = every.filter(|_| self.0.setup.check(direction).is_ok()) {
                let syncs = self.clone();
                self.0.tasks.spawn("schedule of a sync", async move { syncs.repeat(direction, every).await });
            }
        }
    }

    async fn repeat(self, direction: Direction, every: Duration) {
        let stop = self.0.tasks.stop_signal();
        let mut wait = self.first_wait(direction, every).await;
        self.note_next(direction, wait);
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            let permit = stop.run_until_cancelled(Arc::clone(&self.0.running).acquire_owned()).await;
            let Some(Ok(permit)) = permit else { return };
            // Somebody may have started a run by hand during the wait.
            wait = self.first_wait(direction, every).await;
            if wait.is_zero() {
                self.run(direction, Cause::Schedule, &Reports::discarded(), Some(permit)).await;
                // Also after a failed run: do not call a failing system again at once.
                wait = every;
            }
            self.note_next(direction, wait);
        }
    }

    fn note_next(&self, direction: Direction, wait: Duration) {
        let mut next = self.0.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.retain(|(other, _)| *other != direction);
        // A time that the calendar does not have is not shown.
        next.extend(
            Utc::now()
                .checked_add_signed(TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX))
                .map(|at| (direction, at)),
        );
    }

    /// The time until the next run is due; zero if no complete run is recorded.
    async fn first_wait(&self, direction: Direction, every: Duration) -> Duration {
        let Some(state) = &self.0.setup.state else { return Duration::ZERO };
        let Ok(Some(last)) = state.last_end(direction).await else { return Duration::ZERO };
        // If the clock was set back, the next run is due now.
        let since = (Utc::now() - last).to_std().unwrap_or(every);
        every.saturating_sub(since)
    }
}
