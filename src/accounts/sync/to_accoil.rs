//! `sync vitally-to-accoil`: every Vitally account becomes a group call, if it says something new.
//!
//! The calls go through the outbox like those of any source: durable, in each account's order, at least once. What was
//! delivered last is kept there as a hash an account; it is stored with the delivery, so that a kill repeats nothing
//! that was recorded.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::SOURCE;
use super::group::CarriedTraits;
use super::outstanding::{Outstanding, WaitError};
use super::prepared::{self, Prepared};
use super::report::{AccountName, Report, Reports, Summary};
use super::sweep::{Entry, SweepError, sweep};
use crate::accoil::{Destination, Fingerprint};
use crate::accounts::vitally::{Account, Client};
use crate::decode::Form;
use crate::deliver::Status;
use crate::event_id::EventId;
use crate::outbox::{AcceptError, Accepted, ChangeError, Outbox, ReadError, Submission};

/// Accounts given to the outbox at a time.
const BATCH: usize = 100;
/// Calls outstanding at once: what the outbox holds of a sync, however many accounts there are.
const MOST_OUTSTANDING: usize = 500;
/// An outbox without room is asked again after this, so many times.
const PAUSE: Duration = Duration::from_secs(1);
const MOST_PAUSES: u32 = 60;
/// What was said this long ago is said to be still so, before it is forgotten for its age.
const STILL_SAID_AFTER: chrono::Duration = chrono::Duration::days(7);

const UNIT_NOT_STATED: &str = "mrr goes out in the unit that mrr_unit of the destination says, cents unless it says \
                               otherwise: state mrr_unit in [vitally_to_accoil], most Vitally workspaces keep dollars";

/// What the sync needs.
pub(super) struct ToAccoil<'a> {
    pub(super) client: &'a Client,
    pub(super) outbox: &'a Outbox,
    /// With the mapping of Vitally's accounts alone.
    pub(super) destinations: &'a [Arc<Destination>],
    pub(super) statuses: &'a [watch::Receiver<Status>],
    pub(super) carried: &'a CarriedTraits,
    pub(super) reports: &'a Reports,
    pub(super) stop: &'a CancellationToken,
    /// An earlier run may have left calls in the outbox.
    pub(super) expects_leftovers: bool,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum ToAccoilError {
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error("the outbox could not be read: {0}")]
    Read(#[from] ReadError),
    #[error(transparent)]
    Accept(#[from] AcceptError),
    #[error(transparent)]
    Purge(#[from] ChangeError),
    #[error(transparent)]
    Wait(#[from] WaitError),
    #[error("it was told to stop; what waits stays in the outbox, and the next run goes on with the rest")]
    Stopped,
}

/// Of all accounts so many have been met.
struct Progress {
    met: usize,
    of: usize,
}

impl ToAccoil<'_> {
    pub(super) async fn run(&self, summary: &mut Summary) -> Result<(), ToAccoilError> {
        let now = Utc::now();
        let key =
            |account: &Account| account.external_id.clone().ok_or_else(|| "it has no externalId".to_owned());
        let swept = sweep(self.client, self.reports, self.stop, key, |account| {
            Prepared::new(&account, self.destinations, self.carried, now)
        })
        .await?;
        summary.accounts = swept.accounts();
        summary.skipped = swept.skipped;
        if !self.carried.is_unit_stated && swept.entries.iter().any(|entry| entry.kept.has_mrr) {
            summary.warn(&AccountName::default(), UNIT_NOT_STATED);
        }
        let mut outstanding = Outstanding::new(self.outbox, self.statuses).await?;
        let outcome = self.see_to(swept.entries, &mut outstanding, summary).await;
        outstanding.count(summary);
        outcome
    }

    async fn see_to(
        &self,
        entries: Vec<Entry<Prepared>>,
        outstanding: &mut Outstanding<'_>,
        summary: &mut Summary,
    ) -> Result<(), ToAccoilError> {
        if self.expects_leftovers {
            let expecting = self.stop.run_until_cancelled(self.expect_waiting(outstanding));
            expecting.await.ok_or(ToAccoilError::Stopped)??;
        }
        let mut progress = Progress { met: 0, of: entries.len() };
        let mut entries = entries.into_iter();
        loop {
            let batch: Vec<_> = entries.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            progress.met += batch.len();
            self.batch(batch, outstanding, summary).await?;
            self.tell(&progress, outstanding).await;
            if !summary.dry_run {
                self.wait_for(MOST_OUTSTANDING, &progress, outstanding).await?;
            }
        }
        // In a dry run nobody delivers what an earlier run has left.
        if summary.dry_run { Ok(()) } else { self.wait_for(0, &progress, outstanding).await }
    }

    /// What is outstanding is not done.
    async fn tell(&self, progress: &Progress, outstanding: &Outstanding<'_>) {
        let done = progress.met.saturating_sub(outstanding.len());
        self.reports.tell(Report::Progress { done, of: progress.of }).await;
    }

    /// Calls that an earlier run left waiting are not given to the outbox again. Those for a destination that is no
    /// longer one of the sync's are not waited for.
    async fn expect_waiting(&self, outstanding: &mut Outstanding<'_>) -> Result<(), ReadError> {
        let is_ours = |name: &str| self.destinations.iter().any(|destination| &*destination.name == name);
        for job in self.outbox.waiting_of(SOURCE).await? {
            if is_ours(job.destination.as_str()) {
                for one in &job.fingerprints {
                    outstanding.expect_old(*one, job.user.as_str());
                }
            }
        }
        Ok(())
    }

    async fn batch(
        &self,
        batch: Vec<Entry<Prepared>>,
        outstanding: &mut Outstanding<'_>,
        summary: &mut Summary,
    ) -> Result<(), ToAccoilError> {
        let requests = batch.iter().flat_map(|entry| &entry.kept.requests);
        let keys = requests.flat_map(|request| &request.fingerprints).map(|one| one.key).collect();
        let said = self.outbox.said_of(keys).await?;
        if !summary.dry_run {
            self.keep(&said);
        }
        let said: HashMap<u64, u64> = said.into_iter().map(|(one, _)| (one.key, one.content)).collect();
        let mut changed = Vec::new();
        for entry in batch {
            if let Some(entry) = compare(entry, &said, outstanding, summary) {
                for request in &entry.kept.requests {
                    self.reports.tell(Report::Change(prepared::change(&entry.named, request))).await;
                }
                changed.push(entry);
            }
        }
        if summary.dry_run {
            summary.written += changed.len();
            return Ok(());
        }
        self.give(changed, outstanding).await
    }

    async fn give(
        &self,
        changed: Vec<Entry<Prepared>>,
        outstanding: &mut Outstanding<'_>,
    ) -> Result<(), ToAccoilError> {
        if changed.is_empty() {
            return Ok(());
        }
        let (mut accepted, mut given) = (Vec::new(), Vec::new());
        for Entry { named, key, kept } in changed {
            let calls = kept.requests.iter().flat_map(|request| &request.fingerprints);
            given.extend(calls.map(|call| (*call, key.clone(), named.clone())));
            let original = Bytes::from(kept.original);
            accepted.push(Accepted {
                event: EventId(0),
                original,
                message_id: None,
                requests: kept.requests,
            });
        }
        self.accept(accepted).await?;
        let mut overtaken = Vec::new();
        for (call, group, named) in given {
            overtaken.extend(outstanding.take_dead_letters(&call));
            outstanding.expect_new(call, &group, named);
        }
        // Else an account that Accoil refuses would have one more dead letter with every run. Those that stay for now are
        // removed by the next run.
        if !overtaken.is_empty() {
            self.outbox.purge(overtaken).await?;
        }
        Ok(())
    }

    /// An account that never changes must not be forgotten for that.
    fn keep(&self, said: &[(Fingerprint, DateTime<Utc>)]) {
        let now = Utc::now();
        let old = said.iter().filter(|(_, at)| now - *at > STILL_SAID_AFTER).map(|(one, _)| *one);
        let old: Vec<_> = old.collect();
        if !old.is_empty() {
            self.outbox.still_said(old);
        }
    }

    async fn accept(&self, accepted: Vec<Accepted>) -> Result<(), ToAccoilError> {
        let mut pauses = 0;
        loop {
            let submission = Submission {
                source: Arc::from(SOURCE),
                form: Form::SegmentWebhook,
                received_at: Utc::now(),
                deduplication_window: Duration::ZERO,
                accepted: accepted.clone(),
                rejects: Vec::new(),
            };
            match self.outbox.accept(submission).await {
                Ok(_) => return Ok(()),
                Err(error @ AcceptError::Failed) => return Err(error.into()),
                Err(error) if pauses == MOST_PAUSES => return Err(error.into()),
                Err(_) => pauses += 1,
            }
            let stopped = self.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none();
            if stopped {
                return Err(ToAccoilError::Stopped);
            }
        }
    }

    /// Until no more than so many are outstanding.
    async fn wait_for(
        &self,
        most: usize,
        progress: &Progress,
        outstanding: &mut Outstanding<'_>,
    ) -> Result<(), ToAccoilError> {
        while outstanding.len() > most {
            let looked = self.stop.run_until_cancelled(outstanding.look()).await;
            looked.ok_or(ToAccoilError::Stopped)??;
            self.tell(progress, outstanding).await;
        }
        Ok(())
    }
}

/// The account with the calls that say something new; `None`, counted, if there is nothing to be sent.
fn compare(
    mut entry: Entry<Prepared>,
    said: &HashMap<u64, u64>,
    outstanding: &mut Outstanding<'_>,
    summary: &mut Summary,
) -> Option<Entry<Prepared>> {
    let prepared = &mut entry.kept;
    for warning in &prepared.warnings {
        summary.warn(&entry.named, warning);
    }
    if let Some(why) = prepared.refusals.first() {
        summary.fail(entry.named, why);
        return None;
    }
    let waits = |one: &Fingerprint| outstanding.content(one.key) == Some(one.content);
    let is_new = |one: &Fingerprint| {
        outstanding.content(one.key).or_else(|| said.get(&one.key).copied()) != Some(one.content)
    };
    let is_waiting = prepared.requests.iter().flat_map(|request| &request.fingerprints).any(waits);
    prepared.requests.retain(|request| request.fingerprints.iter().any(is_new));
    if !prepared.requests.is_empty() {
        return Some(entry);
    }
    if is_waiting && !summary.dry_run {
        outstanding.meet(&entry.key, entry.named);
    } else {
        summary.unchanged += 1;
    }
    None
}
