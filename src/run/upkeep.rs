//! What the relay does with its outbox beside the stream: opens it, restores the pauses of its destinations, counts its calls, removes
//! expired rows. Never delays a post or a delivery.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StartError;
use super::build;
use crate::config::Config;
use crate::deliver::{self, Control, Target};
use crate::facts::Facts;
use crate::outbox::{self, Outbox};
use crate::telemetry;

/// How often the outbox removes expired rows.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

/// Opens the outbox. One in a cluster comes with the lock of this relay's local files.
pub(super) async fn open(
    config: &Config,
    facts: Facts,
    broken: &CancellationToken,
) -> Result<(Outbox, Option<outbox::Lock>), StartError> {
    let servers = &config.outbox.url.servers;
    if !servers.is_empty() {
        let options = build::cluster_options(config, servers);
        let lock = outbox::lock(&config.outbox.url.path)?;
        return Ok((Outbox::open_cluster(&options, facts, broken).await?, Some(lock)));
    }
    let options = build::outbox_options(config);
    // Opening may read a long log, so it must not block a thread that serves.
    let outbox = tokio::task::spawn_blocking(move || Outbox::open_with(&options, facts))
        .await
        .map_err(|_| StartError::Stopped)??;
    Ok((outbox, None))
}

/// Logs once how many calls wait for destinations that are no longer configured. It reads the whole backlog, so it
/// runs beside everything else and stops with the relay.
pub(super) async fn count_orphaned_calls(outbox: Outbox, names: Vec<Arc<str>>, stop: CancellationToken) {
    let known: Vec<&str> = names.iter().map(|name| &**name).collect();
    let counted = stop.run_until_cancelled(outbox.waiting_for_others(&known)).await;
    match counted {
        Some(Ok(others)) => {
            for (name, requests) in &others {
                telemetry::orphaned_calls(name, *requests);
            }
        }
        Some(Err(error)) => tracing::error!(error.message = %error, "the waiting calls could not be counted"),
        None => {}
    }
}

/// Removes expired rows once a minute, even if nothing arrives.
pub(super) async fn keep_house(outbox: Outbox, stop: CancellationToken) {
    let mut minutes = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    while stop.run_until_cancelled(minutes.tick()).await.is_some() {
        // The writer logs a failed commit, and the next minute tries again.
        while outbox.keep_house().await.unwrap_or(false) {}
    }
}

/// Pauses the destinations that an operator had paused before the restart. Returns the control of each destination.
pub(super) async fn restore_pauses(
    outbox: &Outbox,
    targets: &mut [Target],
) -> Result<Vec<Control>, StartError> {
    let pauses = deliver::kept_pauses(outbox).await.map_err(StartError::Pauses)?;
    for target in &mut *targets {
        target.control = Control::new(pauses.get(&*target.name).copied());
    }
    Ok(targets.iter().map(|target| target.control.clone()).collect())
}

/// Counts the calls that wait in the outbox.
pub(super) async fn count_waiting(outbox: &Outbox) -> Option<u64> {
    outbox.flush().await.ok()?;
    let waiting = outbox.waiting_for_others(&[]).await.ok()?;
    Some(waiting.values().sum())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::Utc;

    use super::*;
    use crate::decode::Form;
    use crate::event_id::EventId;
    use crate::outbox::{Options, Reject, Retention, Submission};
    use crate::tasks::Tasks;

    /// The clock is paused and moves only when nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn an_idle_relay_removes_expired_rows_within_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let soon = Retention { age: Duration::ZERO, bytes: u64::MAX };
        let outbox = Outbox::open(&Options {
            path: folder.path().join("relay.db"),
            deduplication_ids: 0,
            longest_window: Duration::ZERO,
            max_bytes: u64::MAX,
            min_free_disk: 0,
            dead_letters: soon,
            rejects: soon,
        });
        let (outbox, tasks) = (outbox.unwrap(), Tasks::new(&CancellationToken::new()));
        tasks.spawn("housekeeping", keep_house(outbox.clone(), tasks.stop_signal()));
        let submission = Submission {
            source: Arc::from("web"),
            form: Form::SegmentBatch,
            received_at: Utc::now(),
            deduplication_window: Duration::ZERO,
            accepted: Vec::new(),
            rejects: vec![Reject {
                event: EventId(1),
                original: Bytes::from_static(b"{}"),
                envelope: None,
                reasons: "[]".to_owned(),
                code: crate::reasons::Reason::Rejected,
                refused_by: Vec::new(),
            }],
            skipped: Vec::new(),
            envelope: None,
            mappings: 0,
        };
        outbox.accept(submission).await.unwrap();
        for _second in 0..10_000 {
            if outbox.usage().rejects.rows == 0 {
                break;
            }
            // The writer is a thread with its own clock.
            std::thread::sleep(Duration::from_millis(1));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(outbox.usage().rejects.rows, 0);
        // A paused clock would run out while the housekeeping still waits for the writer.
        tokio::time::resume();
        assert!(tasks.stop(Duration::from_secs(60)).await);
    }
}
