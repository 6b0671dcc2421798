//! The loop of both syncs: read both sides, compare, write what differs, record what was written.
//!
//! What differs between the directions is a [`Way`]. Accounts are independent of each other and a few are handled at
//! once, each with one call at a time. After a kill the calls in flight may be made once more: each is idempotent.

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

/// For calls in flight to be answered after a run was stopped.
const GRACE: Duration = Duration::from_secs(5);
/// This many failures in a row mean that one of the two systems fails, not the account.
const MAX_TROUBLES: usize = 20;

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
    #[error("gave up after {MAX_TROUBLES} failures in a row; the next run goes on where this one ended")]
    Trouble,
    #[error("it was told to stop; the next run goes on where this one ended")]
    Stopped,
}

/// Why an account was not handled.
pub(super) enum Failure {
    /// It is about this account.
    Account(String),
    /// It is about one of the two systems, and may pass.
    Trouble(String),
    /// Nothing else would work either.
    Fatal(RunError),
}

/// One way of a sync: what differs between the two.
pub(super) trait Way: Sync {
    const DIRECTION: Direction;
    /// What stays in memory of a Vitally account.
    type Kept: Send;
    /// A call that writes to the other side.
    type Call: Send;

    /// A hash of all settings. A broken-off run is resumed only under the same ones; `None`: never.
    fn resumable_settings(&self) -> Option<u64>;

    /// Accounts handled at once.
    fn concurrency(&self) -> usize;

    /// By what the other side knows the account, or why it cannot.
    fn key(&self, account: &Account) -> Result<String, String>;

    fn keep(&self, account: Account) -> Self::Kept;

    /// Warns of what is about the run and not about one account.
    fn warn(&self, _entries: &[Entry<Self::Kept>], _summary: &mut Summary) {}

    /// Reads the other side and says what has to be written.
    fn compare(
        &self,
        entry: &Entry<Self::Kept>,
    ) -> impl Future<Output = Result<Comparison<Self::Call>, Failure>> + Send;

    fn write(&self, call: Self::Call) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What a comparison of one account came to.
pub(super) enum Comparison<C> {
    /// Accoil does not know it.
    Unknown,
    /// It is not for this sync, and why.
    Skipped(String),
    Compared {
        /// Recorded that are there already, but not recorded.
        found: Option<Recorded>,
        writes: Vec<Write<C>>,
        warnings: Vec<String>,
    },
}

/// One call to make.
pub(super) struct Write<C> {
    pub(super) change: Change,
    pub(super) call: C,
    pub(super) values: Recorded,
}

/// What the other side holds of an account, as it is recorded.
pub(super) struct Recorded {
    pub(super) place: String,
    pub(super) account: String,
    pub(super) values: Map<String, Value>,
}

/// A run in one direction.
pub(super) struct Reconciliation<'a, W> {
    pub(super) way: W,
    pub(super) vitally: &'a Client,
    pub(super) state: &'a SyncState,
    pub(super) reports: &'a Reports,
    pub(super) stop: &'a CancellationToken,
    pub(super) dry_run: bool,
}

/// What became of one account.
enum Outcome {
    Resumed,
    Unknown,
    Skipped(String),
    Unchanged(Vec<String>),
    Written(Vec<String>),
}

impl<W: Way> Reconciliation<'_, W> {
    pub(super) async fn run(&self, summary: &mut Summary) -> Result<(), RunError> {
        let handled = match self.way.resumable_settings() {
            Some(settings) if !self.dry_run => self.state.begin(W::DIRECTION, settings, Utc::now()).await?,
            _ => HashSet::new(),
        };
        let (key, keep) = (|account: &_| self.way.key(account), |account| self.way.keep(account));
        let swept = sweep(self.vitally, self.reports, self.stop, key, keep).await?;
        summary.accounts = swept.accounts();
        summary.skipped = swept.skipped;
        self.way.warn(&swept.entries, summary);
        self.handle_all(swept.entries, &handled, summary).await
    }

    /// Once the run is to end no other account is begun. Those that were begun may finish, but not for long.
    async fn handle_all(
        &self,
        entries: Vec<Entry<W::Kept>>,
        handled: &HashSet<String>,
        summary: &mut Summary,
    ) -> Result<(), RunError> {
        let of = entries.len();
        let halt = self.stop.child_token();
        let mut outcomes = futures_util::stream::iter(entries)
            .take_while(|_| std::future::ready(!halt.is_cancelled()))
            .map(|entry| self.handle(entry, handled))
            .buffer_unordered(self.way.concurrency());
        let mut grace = std::pin::pin!(grace_elapsed(&halt));
        let (mut done, mut troubles, mut ended) = (0, 0, None);
        loop {
            let next = tokio::select! {
                next = outcomes.next() => next,
                () = &mut grace => None,
            };
            let Some((named, outcome)) = next else { break };
            let is_trouble = matches!(outcome, Err(Failure::Trouble(_)));
            match outcome {
                Ok(outcome) => count(summary, named, outcome),
                // The account is left to the next run.
                Err(_) if ended.is_some() => continue,
                Err(Failure::Fatal(error)) => {
                    ended = Some(error);
                    halt.cancel();
                    continue;
                }
                Err(Failure::Account(why) | Failure::Trouble(why)) => summary.fail(named, why),
            }
            done += 1;
            self.reports.tell(Report::Progress { done, of }).await;
            troubles = if is_trouble { troubles + 1 } else { 0 };
            if troubles == MAX_TROUBLES && ended.is_none() {
                ended = Some(RunError::Trouble);
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
        entry: Entry<W::Kept>,
        handled: &HashSet<String>,
    ) -> (AccountName, Result<Outcome, Failure>) {
        let id = entry.named.account.as_deref().unwrap_or_default();
        if handled.contains(id) {
            return (entry.named, Ok(Outcome::Resumed));
        }
        let outcome = self.reconcile(id, &entry).await;
        (entry.named, outcome)
    }

    async fn reconcile(&self, id: &str, entry: &Entry<W::Kept>) -> Result<Outcome, Failure> {
        let (found, writes, warnings) = match self.way.compare(entry).await? {
            // Neither is recorded as handled: the run that ends lists every one of them.
            Comparison::Unknown => return Ok(Outcome::Unknown),
            Comparison::Skipped(why) => return Ok(Outcome::Skipped(why)),
            Comparison::Compared { found, writes, warnings } => (found, writes, warnings),
        };
        let outcome =
            if writes.is_empty() { Outcome::Unchanged(warnings) } else { Outcome::Written(warnings) };
        for write in writes {
            self.reports.tell(Report::Change(write.change)).await;
            if !self.dry_run {
                self.way.write(write.call).await?;
                self.record(write.values).await?;
            }
        }
        if !self.dry_run {
            if let Some(found) = found {
                self.record(found).await?;
            }
            if self.way.resumable_settings().is_some() {
                self.state.handled(W::DIRECTION, id).await?;
            }
        }
        Ok(outcome)
    }

    async fn record(&self, values: Recorded) -> Result<(), StateError> {
        self.state.record(&values.place, &values.account, values.values).await
    }
}

async fn grace_elapsed(halt: &CancellationToken) {
    halt.cancelled().await;
    tokio::time::sleep(GRACE).await;
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
        Self::of(error.is_trouble(), &error)
    }
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        if error.is_refused_token() || matches!(error, GetError::RateLimited { .. }) {
            return Self::Fatal(error.into());
        }
        Self::of(error.is_trouble(), &error)
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        Self::Fatal(error.into())
    }
}

impl Failure {
    fn of(is_trouble: bool, error: &impl ToString) -> Self {
        if is_trouble { Self::Trouble(error.to_string()) } else { Self::Account(error.to_string()) }
    }
}
