//! What an operator does with waiting calls: retry them now, or move or remove the calls of a removed destination.

use std::collections::BTreeSet;

use super::{ChangeError, Outbox, Place, ReadError, WaitingCall, WaitingFilter, WaitingFor};

/// The number of calls that are read or changed at a time.
const PAGE: usize = 500;

/// Why waiting calls were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeWaitingError {
    #[error(
        "destination {name} is configured, and its calls are being delivered; only those of a destination that was removed \
         or renamed can be moved or purged"
    )]
    StillConfigured { name: String },
    #[error("destination {name} is not configured; the calls can be moved to one of: {known}")]
    Unknown { name: String, known: String },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// One page of [`Outbox::change_orphaned`].
#[derive(Debug, Clone, Copy)]
pub struct OrphanedStep {
    pub calls: usize,
    pub is_last: bool,
}

impl Outbox {
    /// Makes the next attempts of these calls due now. If a call waits behind an earlier call of its user, that one
    /// becomes due. Returns the number of users.
    pub async fn retry(&self, filter: &WaitingFilter) -> Result<usize, ChangeWaitingError> {
        let (mut users, mut after) = (BTreeSet::new(), None);
        loop {
            let page = self.waiting(filter.clone(), after, PAGE).await?;
            let parked = page.calls.iter().filter(|call| matches!(call.job.place, Place::Parked { .. }));
            users.extend(
                parked.map(|call| {
                    (call.job.destination.as_str().to_owned(), call.job.user.as_str().to_owned())
                }),
            );
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let users = users.into_iter().collect();
        Ok(self.retry_users(users).await?)
    }

    /// Moves a page of the calls of `from`, which must not be configured, after all waiting calls of `to`, or removes
    /// them if there is no `to`. Each call is moved in one commit, in order. Damaged calls are not moved.
    pub async fn change_orphaned(
        &self,
        from: &str,
        to: Option<&str>,
        known: &[&str],
    ) -> Result<OrphanedStep, ChangeWaitingError> {
        if known.contains(&from) {
            return Err(ChangeWaitingError::StillConfigured { name: from.to_owned() });
        }
        if let Some(to) = to.filter(|to| !known.contains(to)) {
            return Err(ChangeWaitingError::Unknown { name: to.to_owned(), known: known.join(", ") });
        }
        // Two of these at the same time would move a call twice.
        let _one_at_a_time = self.moving().lock().await;
        let filter = WaitingFilter { destination: Some(from.to_owned()), ..WaitingFilter::default() };
        let mut after = None;
        loop {
            let page = self.waiting(filter.clone(), after, PAGE).await?;
            let is_meant = |call: &WaitingCall| to.is_none() || call.waiting_for != WaitingFor::Damaged;
            let jobs: Vec<_> = page.calls.into_iter().filter(is_meant).map(|call| call.job).collect();
            if jobs.is_empty() && page.next.is_some() {
                after = page.next;
                continue;
            }
            let to = to.map(str::to_owned);
            let calls = self.move_calls(jobs, to).await?;
            return Ok(OrphanedStep { calls, is_last: page.next.is_none() });
        }
    }
}
