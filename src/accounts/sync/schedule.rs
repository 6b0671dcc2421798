//! Runs each sync again and again while the relay runs, as long after its last whole run as the configuration says.
//!
//! The last run's end is kept on disk: a restart begins no run before its time.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::{Direction, Reports, Syncs};

impl Syncs {
    /// Runs every sync that has a schedule; ends with the tasks.
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
        while stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_some() {
            let turn = stop.run_until_cancelled(Arc::clone(&self.0.running).acquire_owned()).await;
            let Some(Ok(turn)) = turn else { return };
            // One that was begun by hand meanwhile counts.
            wait = self.first_wait(direction, every).await;
            if wait.is_zero() {
                self.run(direction, false, &Reports::nowhere(), Some(turn)).await;
                // However it ended: a system in trouble is not asked again at once.
                wait = every;
            }
        }
    }

    /// What is left of the time since the last whole run; nothing if there was none.
    async fn first_wait(&self, direction: Direction, every: Duration) -> Duration {
        let Some(state) = &self.0.setup.state else { return Duration::ZERO };
        let Ok(Some(last)) = state.last_end(direction).await else { return Duration::ZERO };
        // A clock that was set back is not waited for.
        let since = (Utc::now() - last).to_std().unwrap_or(every);
        every.saturating_sub(since)
    }
}
