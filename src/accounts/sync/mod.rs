//! The two syncs: Vitally's accounts to Accoil as group calls, Accoil's scores to Vitally as traits.
//!
//! [`Syncs::start`] is the one door, for commands and for the admin API. One run at a time, whichever way. Each run
//! reads all of Vitally's accounts, writes only what differs, records it on 2xx, and tells of it by [`Report`]s.

mod group;
mod matching;
mod reconcile;
mod report;
mod schedule;
mod state;
mod sweep;
mod to_accoil;
mod to_vitally;
mod traits;

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};

pub use group::CarriedTraits;
pub use matching::Matching;
use reconcile::{Reconciliation, RunError, Way};
use report::Reports;
pub use report::{AccountName, Change, Direction, Problem, Report, Summary};
pub use state::{StateError, SyncState};
pub use to_accoil::Recipient;
use to_accoil::ToAccoil;
use to_vitally::ToVitally;

use super::{accoil, vitally};
use crate::tasks::Tasks;

/// Reports that wait for the listener.
const WAITING_REPORTS: usize = 64;

/// Why a sync was not begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    #[error("a sync is running: one at a time; try again when it has ended")]
    Running,
    #[error("there is no [{section}] in the configuration: add it")]
    NotConfigured { section: &'static str },
}

/// What the syncs are made of; what is not configured is missing.
pub struct Setup {
    pub vitally: Option<vitally::Client>,
    pub accoil: Option<accoil::Client>,
    /// There only if there is a Vitally.
    pub state: Option<SyncState>,
    /// Of the runs before this start.
    pub last: Vec<Summary>,
    /// Where Vitally's accounts go.
    pub recipients: Vec<Recipient>,
    pub carried: CarriedTraits,
    pub matching: Matching,
    /// From the end of one run to the next, in the order of [`Direction::ALL`]; none: never by itself.
    pub every: [Option<Duration>; 2],
}

impl Setup {
    /// Whether all that a sync needs is configured.
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

/// A handle on the syncs; clones are the same.
#[derive(Clone)]
pub struct Syncs(Arc<Shared>);

struct Shared {
    setup: Setup,
    tasks: Tasks,
    /// The turn to write.
    running: Arc<Semaphore>,
    last: Mutex<Vec<Arc<Summary>>>,
}

impl Syncs {
    /// Runs go on in these tasks and stop with them.
    pub fn new(mut setup: Setup, tasks: Tasks) -> Self {
        let last = setup.last.drain(..).map(Arc::new).collect();
        let running = Arc::new(Semaphore::new(1));
        Self(Arc::new(Shared { setup, tasks, running, last: Mutex::new(last) }))
    }

    /// Begins a run. It goes on whether or not anybody listens to its reports, the last of which is the summary; but a dry
    /// run is for its listener, waits for him and ends when he goes.
    pub fn start(&self, direction: Direction, dry_run: bool) -> Result<mpsc::Receiver<Report>, SyncError> {
        self.0.setup.check(direction)?;
        let take = || Arc::clone(&self.0.running).try_acquire_owned().map_err(|_| SyncError::Running);
        let turn = if dry_run { None } else { Some(take()?) };
        let (listener, reports) = mpsc::channel(WAITING_REPORTS);
        let (syncs, reporting) = (self.clone(), Reports::to(listener, dry_run));
        let stop = self.0.tasks.stop_signal();
        self.0.tasks.spawn("sync", async move {
            let running = syncs.run(direction, dry_run, &reporting, turn);
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

    /// Whether one that writes runs now.
    pub fn is_running(&self) -> bool {
        self.0.running.available_permits() == 0
    }

    /// `turn` is given back before the last report.
    async fn run(
        &self,
        direction: Direction,
        dry_run: bool,
        reports: &Reports,
        turn: Option<OwnedSemaphorePermit>,
    ) {
        let mut summary = Summary::new(direction, dry_run);
        let outcome = match direction {
            Direction::VitallyToAccoil => self.to_accoil(reports, &mut summary).await,
            Direction::AccoilToVitally => self.to_vitally(reports, &mut summary).await,
        };
        summary.ended = outcome.err().map(|error| error.to_string());
        summary.at = Utc::now();
        if !dry_run {
            self.keep(&mut summary).await;
        }
        drop(turn);
        reports.conclude(summary).await;
    }

    async fn to_accoil(&self, reports: &Reports, summary: &mut Summary) -> Result<(), RunError> {
        let Setup { state: Some(state), recipients, carried, .. } = &self.0.setup else { return Ok(()) };
        let way = ToAccoil { recipients, carried, state, now: Utc::now() };
        self.reconcile(way, reports, summary).await
    }

    async fn to_vitally(&self, reports: &Reports, summary: &mut Summary) -> Result<(), RunError> {
        let Setup { vitally: Some(vitally), accoil: Some(accoil), state: Some(state), matching, .. } =
            &self.0.setup
        else {
            return Ok(());
        };
        let way = ToVitally { vitally, accoil, matching, state };
        self.reconcile(way, reports, summary).await
    }

    async fn reconcile<W: Way>(
        &self,
        way: W,
        reports: &Reports,
        summary: &mut Summary,
    ) -> Result<(), RunError> {
        let Shared { setup: Setup { vitally: Some(vitally), state: Some(state), .. }, tasks, .. } = &*self.0
        else {
            return Ok(());
        };
        let (stop, dry_run) = (&tasks.stop_signal(), summary.dry_run);
        Reconciliation { way, vitally, state, reports, stop, dry_run }.run(summary).await
    }

    /// Logs the summary and keeps it, in memory and on disk.
    async fn keep(&self, summary: &mut Summary) {
        if let Some(state) = &self.0.setup.state
            && let Err(error) = state.end(summary).await
        {
            summary.ended.get_or_insert(error.to_string());
        }
        summary.log();
        let mut last = self.0.last.lock().await;
        last.retain(|before| before.direction != summary.direction);
        last.push(Arc::new(summary.clone()));
    }
}
