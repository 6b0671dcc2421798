//! Follows the records of all relays, in their order, into the local copy and the state. Only this module writes them, so that a
//! relay sees its own changes as it sees everybody's.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::super::sqlite::Mirror;
use super::super::{Cause, Reject, Stored};
use super::catch_up::catch_up;
use super::codec;
use super::failure_records::{self, RejectRecord};
use super::fold;
use super::log::{Entry, Log};
use super::shared::Shared;
use super::state::StoredProgress;
use super::stream::Meta;
use super::subject::{Record, value_name};
use crate::event_id::EventId;
use crate::reasons::Reason;

/// Records that are applied together.
pub(super) const MOST: usize = 512;

/// Half the time for which a removal is kept.
const SILENCE: Duration = Duration::from_secs(300);
/// The wait between two attempts to read everything again.
const RETRY: Duration = Duration::from_secs(1);

/// The users of calls that an operator made due: destination and user.
type Due = Vec<(String, String)>;

/// Follows for ever. After a long silence some removals may be gone: then everything is read again.
pub(super) async fn follow(shared: Arc<Shared>, mut log: Log) {
    let mut read_at = Clocks::now();
    loop {
        let entries = burst(&mut log).await;
        // A relay stores a record every few seconds, and so reads one.
        if std::mem::replace(&mut read_at, Clocks::now()).elapsed() < SILENCE {
            let Some(last) = entries.last().map(|entry| entry.sequence) else { continue };
            if !apply(&shared, entries).await {
                return;
            }
            shared.followed.send_replace(last);
            continue;
        }
        tracing::warn!(
            "this relay did not follow the others for minutes: it reads the records of the outbox again"
        );
        log = loop {
            match catch_up(&shared).await {
                Ok(log) => break log,
                Err(error) => {
                    tracing::warn!(error.message = %error, "the outbox cannot be read yet; the relay tries again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        };
        read_at = Clocks::now();
    }
}

/// Both clocks: one of them stands still while the machine is suspended, the other may be set.
struct Clocks(Instant, SystemTime);

impl Clocks {
    fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

/// Waits for a record, and takes what has come with it.
pub(super) async fn burst(log: &mut Log) -> Vec<Entry> {
    let mut entries = vec![log.next().await];
    while entries.len() < MOST
        && let Some(entry) = log.next().now_or_never()
    {
        entries.push(entry);
    }
    entries
}

/// Returns false if the local copy cannot be written. A copy with a gap would hide parked calls, which then would not be sent, so the
/// relay stops: it makes a new copy when it starts again.
pub(super) async fn apply(shared: &Arc<Shared>, entries: Vec<Entry>) -> bool {
    let to = Arc::clone(shared);
    let applied = tokio::task::spawn_blocking(move || apply_all(&to, &entries)).await;
    let error: Cause = match applied {
        Ok(Ok(due)) => {
            if !due.is_empty() {
                let _ = shared.due.send(due.into());
            }
            return true;
        }
        Ok(Err(error)) => Box::new(error),
        Err(error) => Box::new(error),
    };
    tracing::error!(
        error.message = %error,
        "the local copy of the outbox could not be written: the relay stops, and reads the outbox again at its next start; check the temporary folder"
    );
    shared.give_up();
    false
}

/// A record that breaks a rule of the tables is skipped: no restart would change that.
fn is_about_record(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, TypeMismatch};
    error.sqlite_error_code().is_none_or(|code| matches!(code, ConstraintViolation | TypeMismatch))
}

fn apply_all(shared: &Shared, entries: &[Entry]) -> rusqlite::Result<Due> {
    let mut mirror = shared.mirror.lock().unwrap_or_else(PoisonError::into_inner);
    let mut due = Due::new();
    mirror.begin()?;
    for entry in entries {
        if let Err(error) = apply_one(shared, &mut mirror, entry, &mut due) {
            if !is_about_record(&error) {
                return Err(error);
            }
            tracing::error!(
                error.message = %error,
                "a record of the outbox could not be read into the local copy; it is left out"
            );
        }
    }
    mirror.commit()?;
    *shared.kept.lock().unwrap_or_else(PoisonError::into_inner) = (mirror.dead_letters, mirror.rejects);
    Ok(due)
}

fn apply_one(shared: &Shared, mirror: &mut Mirror, entry: &Entry, due: &mut Due) -> rusqlite::Result<()> {
    let sequence = i64::try_from(entry.sequence).unwrap_or(i64::MAX);
    let (body, subject) = (&entry.body, entry.subject.as_str());
    let is_removal = body.is_empty();
    match shared.subjects.parse(subject) {
        Some(Record::Progress { lane, chunk }) => {
            let progress = codec::read_progress(body).map(|(_, settled)| StoredProgress { settled });
            shared.with_state(|state| state.see_progress(lane, chunk, progress));
        }
        Some(Record::Parked { chunk, index, .. }) if is_removal => mirror.remove_parked(chunk, index)?,
        Some(Record::Parked { .. }) => match failure_records::read_call(body) {
            Some(call) => {
                if call.is_due {
                    due.push((call.job.destination.as_str().to_owned(), call.job.user.as_str().to_owned()));
                }
                mirror.set_parked(sequence, &call.job, &call.attempts, call.next_attempt_at)?;
            }
            None => shared.damage.report(Stored::Call, sequence),
        },
        Some(Record::DeadLetter | Record::Reject) if is_removal => mirror.remove_letter(subject)?,
        Some(Record::DeadLetter) => match failure_records::read_call(body) {
            Some(call) => {
                let reason = Reason::of_code(&call.code).unwrap_or(Reason::DeadRefused);
                let at = call.at.unwrap_or(entry.at);
                mirror.set_dead_letter(subject, sequence, &call.job, &call.attempts, reason, at)?;
            }
            None => shared.damage.report(Stored::DeadLetter, sequence),
        },
        Some(Record::Reject) => {
            let stored = failure_records::read_reject(body, |stored| {
                set_reject(mirror, subject, sequence, &stored, entry.at)
            });
            match stored {
                Some(stored) => stored?,
                None => shared.damage.report(Stored::Reject, sequence),
            }
        }
        Some(Record::Ids) => {
            see_ids(shared, entry);
            shared.with_state(|state| {
                state.ids.see_small(entry.sequence, entry.at, body, codec::count_ids(body));
            });
        }
        Some(Record::ManyIds { folds }) => {
            see_ids(shared, entry);
            shared.with_state(|state| state.ids.see_many(entry.sequence, folds, codec::count_ids(body)));
        }
        Some(Record::Fingerprints { .. }) => {
            let fingerprints = codec::read_fingerprints(body);
            shared.with_state(|state| {
                state.fingerprints.see_small(entry.sequence, entry.at, body, fingerprints.len());
            });
            mirror.record_delivered(&fingerprints, entry.at)?;
        }
        Some(Record::ManyFingerprints { folds }) => {
            let newest = shared.with_state(|state| {
                let entries = codec::read_many_fingerprints(body).count();
                state.fingerprints.see_many(entry.sequence, folds, entries);
                fold::still_newest(&state.fingerprints, body)
            });
            for (fingerprint, at) in newest {
                mirror.record_delivered(&[fingerprint], at)?;
            }
        }
        Some(Record::Value { name }) => {
            if let Some(name) = value_name(name) {
                let value = body.get(..8).and_then(|value| value.try_into().ok()).map(i64::from_le_bytes);
                mirror.keep_value(&name, value)?;
            }
        }
        Some(Record::Lease { lane }) => {
            if let Ok(record) = serde_json::from_slice(body) {
                shared.with_state(|state| state.see_lease(lane, entry.sequence, record, Instant::now()));
            }
        }
        Some(Record::Relay { relay }) if is_removal => {
            shared.with_state(|state| state.forget_relay(relay, entry.sequence));
        }
        Some(Record::Relay { relay }) => {
            if let Ok(record) = serde_json::from_slice(body) {
                shared.with_state(|state| state.see_relay(relay, entry.sequence, record, Instant::now()));
            }
        }
        Some(Record::Meta) => {
            let meta: Option<Meta> = serde_json::from_slice(body).ok();
            if let Some(to) = meta.and_then(|meta| meta.moved_to) {
                shared.end_if_moved(&to);
            }
        }
        Some(Record::Job { job }) if is_removal => mirror.remove_job(subject, job)?,
        Some(Record::Job { .. }) => {
            if let Some(job) = super::jobs::read(body) {
                mirror.set_job(subject, sequence, &job)?;
            }
        }
        Some(Record::Chunk { .. }) | None => {}
    }
    Ok(())
}

fn see_ids(shared: &Shared, entry: &Entry) {
    let mut ids = shared.ids.lock().unwrap_or_else(PoisonError::into_inner);
    codec::read_ids(&entry.body, entry.at).for_each(|(identity, at)| ids.see(&identity, at));
}

fn set_reject(
    mirror: &mut Mirror,
    subject: &str,
    sequence: i64,
    stored: &RejectRecord<'_>,
    at: DateTime<Utc>,
) -> rusqlite::Result<()> {
    let received_at = DateTime::from_timestamp_millis(stored.at).unwrap_or(at);
    let reject = Reject {
        event: EventId(stored.event),
        original: bytes::Bytes::copy_from_slice(stored.original),
        envelope: stored.envelope.map(Arc::from),
        reasons: stored.reasons.to_owned(),
        code: Reason::DeadRefused,
        refused_by: Vec::new(),
    };
    mirror.set_reject(subject, sequence, stored.source, stored.form, received_at, &reject, received_at)
}
