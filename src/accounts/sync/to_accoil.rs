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
use super::group::{self, Carried};
use super::outstanding::{Caller, Outstanding, WaitError};
use super::report::{Change, Named, Report, Reports, Summary};
use super::sweep::{Entry, SweepError, sweep};
use crate::accoil::{self, Destination, Fingerprint, Request};
use crate::accounts::vitally::{Account, Client};
use crate::decode::Form;
use crate::deliver::Status;
use crate::event::{Decoded, Event, SourceKind};
use crate::json;
use crate::outbox::{AcceptError, Accepted, Outbox, ReadError, Submission};

/// Accounts given to the outbox at a time.
const BATCH: usize = 100;
/// Calls outstanding at once: what the outbox holds of a sync, however many accounts there are.
const MOST_OUTSTANDING: usize = 500;
/// An outbox without room is asked again after this, so many times.
const PAUSE: Duration = Duration::from_secs(1);
const MOST_PAUSES: u32 = 60;
/// What was said this long ago is said to be still so, before it is forgotten for its age.
const STILL_SAID_AFTER: chrono::Duration = chrono::Duration::days(7);

/// What the sync needs.
pub(super) struct ToAccoil<'a> {
    pub(super) client: &'a Client,
    pub(super) outbox: &'a Outbox,
    /// With the mapping of Vitally's accounts alone.
    pub(super) destinations: &'a [Arc<Destination>],
    pub(super) statuses: &'a [watch::Receiver<Status>],
    pub(super) carried: &'a Carried,
    pub(super) reports: &'a Reports,
    pub(super) stop: &'a CancellationToken,
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
    Wait(#[from] WaitError),
    #[error("it was told to stop; what it gave to the outbox is delivered, a next run goes on with the rest")]
    Stopped,
}

/// An account as the calls that it means.
struct Prepared {
    original: String,
    requests: Vec<Request>,
    refusals: Vec<String>,
    warnings: Vec<String>,
}

impl ToAccoil<'_> {
    pub(super) async fn run(&self, summary: &mut Summary) -> Result<(), ToAccoilError> {
        let now = Utc::now();
        let key =
            |account: &Account| account.external_id.clone().ok_or_else(|| "it has no externalId".to_owned());
        let swept =
            sweep(self.client, self.reports, self.stop, key, |account| self.prepare(&account, now)).await?;
        summary.accounts = swept.accounts();
        summary.skipped = swept.skipped;
        let of = swept.entries.len();
        let mut outstanding = Outstanding::new(self.outbox, self.statuses).await?;
        self.expect_waiting(&mut outstanding).await?;
        let mut entries = swept.entries.into_iter();
        loop {
            let batch: Vec<_> = entries.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            self.batch(batch, &mut outstanding, summary).await?;
            let most = if summary.dry_run { usize::MAX } else { MOST_OUTSTANDING };
            self.progress(summary, of, &outstanding).await;
            self.wait_for(most, of, &mut outstanding, summary).await?;
        }
        if !summary.dry_run {
            self.wait_for(0, of, &mut outstanding, summary).await?;
        }
        Ok(())
    }

    /// What is outstanding is not done.
    async fn progress(&self, summary: &Summary, of: usize, outstanding: &Outstanding<'_>) {
        let met = (summary.written + summary.unchanged + summary.resumed + summary.failed.len()).min(of);
        let done = met.saturating_sub(outstanding.len());
        self.reports.tell(Report::Progress { done, of }).await;
    }

    fn prepare(&self, account: &Account, now: DateTime<Utc>) -> Prepared {
        let group = account.external_id.as_deref().unwrap_or_default();
        let (event, warnings) = group::event(account, group, self.carried, now);
        let original = event.to_string();
        let mut prepared = Prepared { original, requests: Vec::new(), refusals: Vec::new(), warnings };
        let value = match json::Value::parse(&prepared.original) {
            Ok(value) => value,
            Err(error) => {
                prepared.refusals.push(error.to_string());
                return prepared;
            }
        };
        // Derived, for its fingerprint: it is sent only when it says something new.
        let event = Event { value, received_at: now, derived: true };
        let plan = accoil::plan(self.destinations, SourceKind::Segment, Decoded::Events(vec![event]));
        prepared.refusals =
            plan.rejected.iter().map(|refusal| format!("{} {}", refusal.field, refusal.reason)).collect();
        prepared.requests = plan.requests.into_iter().map(|request| with_own_key(request, group)).collect();
        prepared.warnings.extend(
            prepared.requests.iter().map(|one| one.warnings.clone()).filter(|warning| !warning.is_empty()),
        );
        prepared
    }

    /// Calls that an earlier run left waiting are not given to the outbox again. Those for a destination that is no
    /// longer one of the sync's are not waited for.
    async fn expect_waiting(&self, outstanding: &mut Outstanding<'_>) -> Result<(), ReadError> {
        let is_ours = |name: &str| self.destinations.iter().any(|destination| &*destination.name == name);
        let waiting = self.outbox.waiting_of(SOURCE).await?;
        for job in waiting.into_iter().filter(|job| is_ours(job.destination.as_str())) {
            let named = Named { external_id: Some(job.user.as_str().to_owned()), ..Named::default() };
            if let Some(one) = job.fingerprints.first() {
                outstanding.expect(*one, Caller { named, is_new: false });
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
        let mut accepted = Vec::new();
        let mut expected = Vec::new();
        for Entry { named, kept: mut prepared, .. } in batch {
            for warning in &prepared.warnings {
                summary.warn(&named, warning);
            }
            if let Some(why) = prepared.refusals.first() {
                summary.fail(named, why);
                continue;
            }
            let waits = |one: &Fingerprint| outstanding.content(one.key) == Some(one.content);
            let is_new = |one: &Fingerprint| {
                outstanding.content(one.key).or_else(|| said.get(&one.key).copied()) != Some(one.content)
            };
            let is_waiting = prepared.requests.iter().flat_map(|request| &request.fingerprints).any(waits);
            prepared.requests.retain(|request| request.fingerprints.iter().any(is_new));
            if prepared.requests.is_empty() {
                *(if is_waiting { &mut summary.resumed } else { &mut summary.unchanged }) += 1;
                continue;
            }
            summary.written += 1;
            for request in &prepared.requests {
                self.reports.tell(Report::Change(change(&named, request))).await;
                expected.extend(request.fingerprints.iter().map(|one| (*one, named.clone())));
            }
            let original = Bytes::from(prepared.original);
            accepted.push(Accepted { original, message_id: None, requests: prepared.requests });
        }
        if summary.dry_run || accepted.is_empty() {
            return Ok(());
        }
        self.accept(accepted).await?;
        for (one, named) in expected {
            outstanding.expect(one, Caller { named, is_new: true });
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
                accepted: accepted.iter().map(copy).collect(),
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
        of: usize,
        outstanding: &mut Outstanding<'_>,
        summary: &mut Summary,
    ) -> Result<(), ToAccoilError> {
        while outstanding.len() > most {
            let looked = self.stop.run_until_cancelled(outstanding.look()).await;
            for fate in looked.ok_or(ToAccoilError::Stopped)?? {
                if let Some(why) = fate.failure {
                    summary.undeliver(fate.caller, why);
                }
            }
            self.progress(summary, of, outstanding).await;
        }
        Ok(())
    }
}

/// Known by a key of the sync's own: what other sources say of the account is none of its business.
fn with_own_key(mut request: Request, group: &str) -> Request {
    let content = request.fingerprints.first().map_or(0, |one| one.content);
    let key =
        Fingerprint::new(&[request.destination.as_bytes(), SOURCE.as_bytes(), group.as_bytes()], &[]).key;
    request.fingerprints = vec![Fingerprint { key, content }];
    request
}

fn change(named: &Named, request: &Request) -> Change {
    Change {
        named: named.clone(),
        to: request.destination.to_string(),
        method: "POST".to_owned(),
        path: request.path.to_owned(),
        body: serde_json::from_slice(&request.body).unwrap_or_default(),
        before: None,
    }
}

fn copy(event: &Accepted) -> Accepted {
    Accepted { original: event.original.clone(), message_id: None, requests: event.requests.clone() }
}

impl Summary {
    /// A call came to nothing: its account, which was counted already, has failed.
    fn undeliver(&mut self, caller: Caller, why: String) {
        let has_failed = self.failed.iter().any(|one| one.named.external_id == caller.named.external_id);
        let counted = if caller.is_new { &mut self.written } else { &mut self.resumed };
        if !has_failed {
            *counted = counted.saturating_sub(1);
        }
        self.fail(caller.named, why);
    }
}
