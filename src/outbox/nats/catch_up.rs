//! Reads what the relays have stored, when a relay starts and when it did not follow for too long.
//!
//! Each family of records is read by a consumer of its own: a server takes milliseconds for each message of a consumer with several
//! filters. The server of a consumer may be behind the others. So the relay first stores an end record in each family, and a family is
//! read when its end has come. No change is missed: all that is stored after the ends is followed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::sqlite::Mirror;
use super::batch::{self, BatchError, Message};
use super::follow::{self, MOST};
use super::log::Log;
use super::shared::Shared;
use super::state::State;
use super::subject::FOLLOWED;

/// How long the cluster may take to store the ends, at one attempt.
const ANSWER: Duration = Duration::from_secs(5);
/// The relay gives up if the cluster does nothing for this long.
const PATIENCE: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(250);
/// A start that takes longer says so this often.
const SHOW_EVERY: Duration = Duration::from_secs(3);

/// Returns the log from which the relay goes on.
pub(super) async fn catch_up(shared: &Arc<Shared>) -> Result<Log, async_nats::Error> {
    shared.followed.send_replace(0);
    shared.read(Mirror::clear).await?;
    shared.with_state(State::forget);
    let last = store_ends(shared).await?;
    let mut reading = Reading { shared, last, shown_at: Instant::now() };
    for (end, family) in (last + 1 - FOLLOWED.len() as u64..).zip(FOLLOWED) {
        reading.family(family, end).await?;
    }
    shared.followed.send_replace(last);
    Ok(log(shared, shared.subjects.followed(), last + 1))
}

/// Returns the sequence of the last end. A cluster whose leader has just gone needs some seconds.
async fn store_ends(shared: &Shared) -> Result<u64, BatchError> {
    let ends = FOLLOWED.map(|family| Message::new(shared.subjects.end(family), ""));
    let began = Instant::now();
    loop {
        let id = uuid::Uuid::new_v4().simple().to_string();
        match batch::publish(&shared.client, &id, ends.to_vec(), ANSWER).await {
            Err(error) if began.elapsed() < PATIENCE => {
                tracing::debug!(error.message = %error, "the cluster stores nothing yet");
                tokio::time::sleep(RETRY).await;
            }
            stored => return stored,
        }
    }
}

fn log(shared: &Shared, subjects: Vec<String>, next: u64) -> Log {
    Log::new(shared.context.clone(), shared.subjects.stream(), subjects, next, MOST)
}

struct Reading<'a> {
    shared: &'a Arc<Shared>,
    /// The sequence of the last end.
    last: u64,
    shown_at: Instant,
}

impl Reading<'_> {
    /// Reads a family up to its end. A relay that starts later may have replaced the end by a newer one.
    async fn family(&mut self, family: &str, end: u64) -> Result<(), async_nats::Error> {
        let mut log = log(self.shared, self.shared.subjects.of_family(family), 1);
        let mut has_ended = false;
        while !has_ended {
            let entries = tokio::time::timeout(PATIENCE, follow::burst(&mut log)).await;
            let mut entries = entries.map_err(|_| "the cluster does not answer")?;
            if let Some(entry) = entries.last() {
                has_ended = entry.sequence >= end;
                self.show(entry.pending);
            }
            // What was stored later is followed.
            entries.retain(|entry| entry.sequence <= self.last);
            if !follow::apply(self.shared, entries).await {
                return Err("the local copy of the outbox could not be written".into());
            }
        }
        log.close().await;
        Ok(())
    }

    fn show(&mut self, records: u64) {
        if self.shown_at.elapsed() >= SHOW_EVERY {
            self.shown_at = Instant::now();
            tracing::info!(records, "the relay starts: it reads what the relays have stored");
        }
    }
}
