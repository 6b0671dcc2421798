//! The two syncs: one sends Vitally's accounts to Accoil as group calls, the other Accoil's scores to Vitally as traits.
//!
//! Commands and the admin API start a run with [`Syncs::start`]. One run at a time writes, in either direction. A run
//! reads all Vitally accounts, writes only the differences, records each after a 2xx, and sends [`Report`]s.

mod group;
mod kept;
mod matching;
mod reconcile;
mod report;
mod schedule;
mod state;
mod sweep;
mod to_accoil;
mod to_vitally;
mod traits;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

pub use group::CarriedTraits;
pub use kept::{Cause, Counts, KeptRun};
pub use matching::Matching;
use reconcile::{Reconciliation, RunError, Strategy};
use report::Reports;
pub use report::{AccountName, Change, Direction, Problem, Report, Summary};
pub use state::{StateError, SyncState};
pub use to_accoil::Recipient;
use to_accoil::ToAccoil;
use to_vitally::ToVitally;

use super::{accoil, vitally};
use crate::tasks::Tasks;

/// Reports that are buffered for the listener.
const WAITING_REPORTS: usize = 64;

/// Why a sync was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    #[error("another sync is running: try again when it has ended")]
    Running,
    #[error("there is no [{section}] in the configuration: add it")]
    NotConfigured { section: &'static str },
}

/// What the syncs need. A part that is not configured is `None` or empty.
pub struct Setup {
    pub vitally: Option<vitally::Client>,
    pub accoil: Option<accoil::Client>,
    /// `None` if there is no Vitally.
    pub state: Option<SyncState>,
    /// The last run of each direction before this process started.
    pub last: Vec<Summary>,
    /// The destinations that get Vitally's accounts.
    pub recipients: Vec<Recipient>,
    pub carried: CarriedTraits,
    pub matching: Matching,
    /// The wait between two scheduled runs, in the order of [`Direction::ALL`]. `None`: not scheduled.
    pub every: [Option<Duration>; 2],
}

impl Setup {
    /// Fails if a section that the sync needs is not configured.
    pub fn check(&self, direction: Direction) -> Result<(), SyncError> {
        let missing = match direction {
            _ if self.vitally.is_none() => Some("vitally"),
            Direction::VitallyToAccoil if self.recipients.is_empty() => Some("[destinations]"),
            Direction::AccoilToVitally if self.accoil.is_none() => Some("accounts"),
            _ => None,
        };
        missing.map_or(Ok(()), |section| Err(SyncError::NotConfigured { section }))
    }
}

/// A handle on the syncs. Clones share one state.
#[derive(Clone)]
pub struct Syncs(Arc<Shared>);

struct Shared {
    setup: Setup,
    tasks: Tasks,
    /// The permit to write: held by the one run that is not dry.
    running: Arc<Semaphore>,
    last: Mutex<Vec<Arc<Summary>>>,
    /// The number of the run that writes, while it runs.
    current: std::sync::Mutex<Option<i64>>,
    /// When each scheduled sync runs next.
    next: std::sync::Mutex<Vec<(Direction, DateTime<Utc>)>>,
}

impl Syncs {
    /// Runs are spawned in `tasks` and stop with them.
    pub fn new(mut setup: Setup, tasks: Tasks) -> Self {
        let last = setup.last.drain(..).map(Arc::new).collect();
        let running = Arc::new(Semaphore::new(1));
        let last = Mutex::new(last);
        let (current, next) = (std::sync::Mutex::default(), std::sync::Mutex::default());
        Self(Arc::new(Shared { setup, tasks, running, last, current, next }))
    }

    /// Starts a run. The last report is its summary. A real run continues without a listener; a dry run waits for its listener
    /// and stops when the listener disconnects.
    pub fn start(&self, direction: Direction, dry_run: bool) -> Result<mpsc::Receiver<Report>, SyncError> {
        self.0.setup.check(direction)?;
        let take = || Arc::clone(&self.0.running).try_acquire_owned().map_err(|_| SyncError::Running);
        let permit = if dry_run { None } else { Some(take()?) };
        let (listener, reports) = mpsc::channel(WAITING_REPORTS);
        let (syncs, reporting) = (self.clone(), Reports::to(listener, dry_run));
        let stop = self.0.tasks.stop_signal();
        self.0.tasks.spawn("sync", async move {
            let running = syncs.run(direction, Cause::Request, &reporting, permit);
            tokio::select! {
                () = running => {}
                () = reporting.listener_gone(), if dry_run => {}
                () = stop.cancelled(), if dry_run => {}
            }
        });
        Ok(reports)
    }

    /// The summary of each direction's last run.
    pub async fn last(&self) -> Vec<Arc<Summary>> {
        self.0.last.lock().await.clone()
    }

    /// Whether a run that writes is running.
    pub fn is_running(&self) -> bool {
        self.0.running.available_permits() == 0
    }

    /// The kept runs, the newest first.
    pub async fn kept_runs(&self) -> Result<Vec<KeptRun>, StateError> {
        match &self.0.setup.state {
            Some(state) => state.kept_runs().await,
            None => Ok(Vec::new()),
        }
    }

    /// A kept run and its summary, which it has if it ended.
    pub async fn kept_run(&self, id: i64) -> Result<Option<(KeptRun, Option<Summary>)>, StateError> {
        match &self.0.setup.state {
            Some(state) => state.kept_run(id).await,
            None => Ok(None),
        }
    }

    /// The number of the run that writes, while it runs.
    pub fn current(&self) -> Option<i64> {
        *self.0.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When each scheduled sync runs next.
    pub fn next(&self) -> Vec<(Direction, DateTime<Utc>)> {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Without a permit it is a dry run. Releases the permit before the last report, so that the next run can start.
    async fn run(
        &self,
        direction: Direction,
        cause: Cause,
        reports: &Reports,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let dry_run = permit.is_none();
        let number = if dry_run { None } else { self.begin_kept(direction, cause).await };
        let mut summary = Summary::new(direction, dry_run);
        let outcome = match direction {
            Direction::VitallyToAccoil => self.to_accoil(reports, &mut summary).await,
            Direction::AccoilToVitally => self.to_vitally(reports, &mut summary).await,
        };
        summary.ended = outcome.err().map(|error| error.to_string());
        summary.at = Utc::now();
        if !dry_run {
            self.keep(&mut summary, number).await;
        }
        drop(permit);
        reports.finish(summary).await;
    }

    async fn to_accoil(&self, reports: &Reports, summary: &mut Summary) -> Result<(), RunError> {
        let Setup { state: Some(state), recipients, carried, .. } = &self.0.setup else { return Ok(()) };
        let strategy = ToAccoil { recipients, carried, state, now: Utc::now() };
        self.reconcile(strategy, reports, summary).await
    }

    async fn to_vitally(&self, reports: &Reports, summary: &mut Summary) -> Result<(), RunError> {
        let Setup { vitally: Some(vitally), accoil: Some(accoil), state: Some(state), matching, .. } =
            &self.0.setup
        else {
            return Ok(());
        };
        let strategy = ToVitally { vitally, accoil, matching, state };
        self.reconcile(strategy, reports, summary).await
    }

    async fn reconcile<W: Strategy>(
        &self,
        strategy: W,
        reports: &Reports,
        summary: &mut Summary,
    ) -> Result<(), RunError> {
        let Shared { setup: Setup { vitally: Some(vitally), state: Some(state), .. }, tasks, .. } = &*self.0
        else {
            return Ok(());
        };
        let (stop, dry_run) = (&tasks.stop_signal(), summary.dry_run);
        Reconciliation { strategy, vitally, state, reports, stop, dry_run }.run(summary).await
    }

    /// Notes on disk that a run begins. A disk that fails is noticed by the run itself.
    async fn begin_kept(&self, direction: Direction, cause: Cause) -> Option<i64> {
        let number = self.0.setup.state.as_ref()?.begin_kept(direction, cause, Utc::now()).await.ok();
        *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = number;
        number
    }

    /// Logs the summary and keeps it in memory and on disk.
    async fn keep(&self, summary: &mut Summary, number: Option<i64>) {
        if let Some(state) = &self.0.setup.state {
            let mut ended = state.end(summary).await;
            if let Some(number) = number {
                ended = ended.and(state.end_kept(number, summary).await);
            }
            if let Err(error) = ended {
                summary.ended.get_or_insert(error.to_string());
            }
        }
        *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        summary.log();
        let mut last = self.0.last.lock().await;
        last.retain(|before| before.direction != summary.direction);
        last.push(Arc::new(summary.clone()));
    }
}
