//! The loop of both syncs: reads both sides, compares them, writes the differences and records what was written.
//!
//! A [`Strategy`] holds what differs between the directions. A few accounts are handled at once, each with one call at a
//! time. If the process is killed, the next run may repeat the calls that were in flight: each is idempotent.

use std::collections::HashSet;
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt as _;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::report::{AccountName, Change, Direction, Problem, Report, Reports, Summary};
use super::state::{StateError, SyncState};
use super::sweep::{Entry, SweepError, sweep};
use crate::accounts::accoil::GetError;
use crate::accounts::vitally::{Account, Client, VitallyError};

/// How long calls in flight may still take after a run was stopped.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// After this many failures in a row, one of the two systems is failing and not the accounts.
const MAX_FAILURES_IN_A_ROW: usize = 20;

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum RunError {
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error(transparent)]
    Vitally(#[from] VitallyError),
    #[error(transparent)]
    Accoil(#[from] GetError),
    #[error("{0}")]
    Destination(String),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "stopped after {MAX_FAILURES_IN_A_ROW} failures in a row; the next run continues where this one ended"
    )]
    TooManyFailures,
    #[error("the sync was stopped; the next run continues where this one ended")]
    Stopped,
}

/// Why an account was not handled.
pub(super) enum Failure {
    /// Only this account failed.
    Account(String),
    /// One of the two systems failed, perhaps for a short time.
    System(String),
    /// Every further call would fail, so the run ends.
    Fatal(RunError),
}

/// What differs between the two directions.
pub(super) trait Strategy: Sync {
    const DIRECTION: Direction;
    /// The part of a Vitally account that stays in memory.
    type KeptPart: Send;
    /// A call that writes to the other system.
    type Call: Send;

    /// A hash of all settings: an interrupted run is resumed only if it is the same. `None`: never resumed.
    fn resumable_settings(&self) -> Option<u64>;

    /// Accounts handled at once.
    fn concurrency(&self) -> usize;

    /// The value by which the other system knows the account, or why there is none.
    fn key(&self, account: &Account) -> Result<String, String>;

    fn keep(&self, account: Account) -> Self::KeptPart;

    /// Adds the warnings that concern the whole run.
    fn warn(&self, _entries: &[Entry<Self::KeptPart>], _summary: &mut Summary) {}

    /// Reads the other side and returns the writes that are needed.
    fn compare(
        &self,
        entry: &Entry<Self::KeptPart>,
    ) -> impl Future<Output = Result<Comparison<Self::Call>, Failure>> + Send;

    fn write(&self, call: Self::Call) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// The result of comparing one account.
pub(super) enum Comparison<C> {
    /// Accoil does not have the account.
    Unknown,
    /// This sync does not handle the account, with the reason.
    Skipped(String),
    Compared {
        /// Values that the other side has already, but that are not recorded yet.
        found: Option<WrittenValues>,
        writes: Vec<Write<C>>,
        warnings: Vec<String>,
    },
}

/// One call to make.
pub(super) struct Write<C> {
    pub(super) change: Change,
    pub(super) call: C,
    pub(super) values: WrittenValues,
}

/// The values of an account that are recorded as written.
pub(super) struct WrittenValues {
    pub(super) place: String,
    pub(super) account: String,
    pub(super) values: Map<String, Value>,
}

/// A run in one direction.
pub(super) struct Reconciliation<'a, W> {
    pub(super) strategy: W,
    pub(super) vitally: &'a Client,
    pub(super) state: &'a SyncState,
    pub(super) reports: &'a Reports,
    pub(super) stop: &'a CancellationToken,
    pub(super) dry_run: bool,
}

/// The outcome of one account.
enum Outcome {
    Resumed,
    Unknown,
    Skipped(String),
    Unchanged(Vec<String>),
    Written(Vec<String>),
}

impl<W: Strategy> Reconciliation<'_, W> {
    pub(super) async fn run(&self, summary: &mut Summary) -> Result<(), RunError> {
        let handled = match self.strategy.resumable_settings() {
            Some(settings) if !self.dry_run => self.state.begin(W::DIRECTION, settings, Utc::now()).await?,
            _ => HashSet::new(),
        };
        let (key, keep) = (|account: &_| self.strategy.key(account), |account| self.strategy.keep(account));
        let swept = sweep(self.vitally, self.reports, self.stop, key, keep).await?;
        summary.accounts = swept.accounts();
        summary.skipped = swept.skipped;
        self.strategy.warn(&swept.entries, summary);
        self.handle_all(swept.entries, &handled, summary).await
    }

    /// When the run must end, no further account is started. Accounts in progress get a few seconds to finish.
    async fn handle_all(
        &self,
        entries: Vec<Entry<W::KeptPart>>,
        handled: &HashSet<String>,
        summary: &mut Summary,
    ) -> Result<(), RunError> {
        let of = entries.len();
        let halt = self.stop.child_token();
        let mut outcomes = futures_util::stream::iter(entries)
            .take_while(|_| std::future::ready(!halt.is_cancelled()))
            .map(|entry| self.handle(entry, handled))
            .buffer_unordered(self.strategy.concurrency());
        let mut grace = std::pin::pin!(stop_grace_elapsed(&halt));
        let (mut done, mut failures_in_a_row, mut ended) = (0, 0, None);
        loop {
            let next = tokio::select! {
                next = outcomes.next() => next,
                () = &mut grace => None,
            };
            let Some((named, outcome)) = next else { break };
            let is_system_failure = matches!(outcome, Err(Failure::System(_)));
            match outcome {
                Ok(outcome) => count(summary, named, outcome),
                // The next run handles the account.
                Err(_) if ended.is_some() => continue,
                Err(Failure::Fatal(error)) => {
                    ended = Some(error);
                    halt.cancel();
                    continue;
                }
                Err(Failure::Account(why) | Failure::System(why)) => summary.fail(named, why),
            }
            done += 1;
            self.reports.send(Report::Progress { done, of }).await;
            failures_in_a_row = if is_system_failure { failures_in_a_row + 1 } else { 0 };
            if failures_in_a_row == MAX_FAILURES_IN_A_ROW && ended.is_none() {
                ended = Some(RunError::TooManyFailures);
                halt.cancel();
            }
        }
        summary.waiting = of - done;
        match ended {
            Some(error) => Err(error),
            None if done < of => Err(RunError::Stopped),
            None => Ok(()),
        }
    }

    async fn handle(
        &self,
        entry: Entry<W::KeptPart>,
        handled: &HashSet<String>,
    ) -> (AccountName, Result<Outcome, Failure>) {
        let id = entry.named.account.as_deref().unwrap_or_default();
        if handled.contains(id) {
            return (entry.named, Ok(Outcome::Resumed));
        }
        let outcome = self.reconcile(id, &entry).await;
        (entry.named, outcome)
    }

    async fn reconcile(&self, id: &str, entry: &Entry<W::KeptPart>) -> Result<Outcome, Failure> {
        let (found, writes, warnings) = match self.strategy.compare(entry).await? {
            // Not recorded as handled, so that a resumed run lists the account again.
            Comparison::Unknown => return Ok(Outcome::Unknown),
            Comparison::Skipped(why) => return Ok(Outcome::Skipped(why)),
            Comparison::Compared { found, writes, warnings } => (found, writes, warnings),
        };
        let outcome =
            if writes.is_empty() { Outcome::Unchanged(warnings) } else { Outcome::Written(warnings) };
        for write in writes {
            self.reports.send(Report::Change(write.change)).await;
            if !self.dry_run {
                self.strategy.write(write.call).await?;
                self.record(write.values).await?;
            }
        }
        if !self.dry_run {
            if let Some(found) = found {
                self.record(found).await?;
            }
            if self.strategy.resumable_settings().is_some() {
                self.state.record_handled(W::DIRECTION, id).await?;
            }
        }
        Ok(outcome)
    }

    async fn record(&self, values: WrittenValues) -> Result<(), StateError> {
        self.state.record(&values.place, &values.account, values.values).await
    }
}

async fn stop_grace_elapsed(halt: &CancellationToken) {
    halt.cancelled().await;
    tokio::time::sleep(STOP_GRACE).await;
}

fn count(summary: &mut Summary, named: AccountName, outcome: Outcome) {
    let (counted, warnings) = match outcome {
        Outcome::Resumed => (&mut summary.resumed, Vec::new()),
        Outcome::Unchanged(warnings) => (&mut summary.unchanged, warnings),
        Outcome::Written(warnings) => (&mut summary.written, warnings),
        Outcome::Unknown => return summary.unknown.push(named),
        Outcome::Skipped(reason) => return summary.skipped.push(Problem { named, reason }),
    };
    *counted += 1;
    for warning in warnings {
        summary.warn(&named, warning);
    }
}

impl From<VitallyError> for Failure {
    fn from(error: VitallyError) -> Self {
        if error.is_refused_secret() || matches!(error, VitallyError::RateLimited { .. }) {
            return Self::Fatal(error.into());
        }
        Self::of(error.is_system_failure(), &error)
    }
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        if error.is_refused_token() || matches!(error, GetError::RateLimited { .. }) {
            return Self::Fatal(error.into());
        }
        Self::of(error.is_system_failure(), &error)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::Fatal(error.into())
    }
}

impl Failure {
    fn of(is_system_failure: bool, error: &impl ToString) -> Self {
        if is_system_failure { Self::System(error.to_string()) } else { Self::Account(error.to_string()) }
    }
}
