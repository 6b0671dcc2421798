//! The two syncs: Vitally's accounts to Accoil as group calls, Accoil's scores to Vitally as traits.
//!
//! [`Syncs::start`] is the one door, for commands and for the admin API; one run at a time, whichever
//! way. Each run reads all of Vitally's accounts, writes only what differs, and tells of it by [`Report`]s.

mod confirm;
mod group;
mod matching;
mod outstanding;
mod prepared;
mod report;
mod schedule;
mod sweep;
mod to_accoil;
mod to_vitally;
mod traits;
mod written;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch};

pub use confirm::confirm;
pub use group::CarriedTraits;
pub use matching::Matching;
use report::Reports;
pub use report::{AccountName, Change, Direction, Problem, Report, Summary};
use to_accoil::ToAccoil;
use to_vitally::ToVitally;
pub use written::{Written, WrittenError};

use super::{accoil, vitally};
use crate::accoil::Destination;
use crate::deliver::Status;
use crate::outbox::Outbox;
use crate::tasks::Tasks;
use crate::telemetry;

/// The name under which the sync's calls are in the outbox, as those of a source; no configured source can have it.
pub const SOURCE: &str = "vitally accounts";
/// Reports that wait for whoever listens.
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
    /// What was written to Vitally; there only if there is a Vitally.
    pub written: Option<Written>,
    /// Those that Vitally's accounts go to, with the mapping for that alone.
    pub destinations: Vec<Arc<Destination>>,
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
            Direction::VitallyToAccoil if self.destinations.is_empty() => Some("[destinations]"),
            Direction::AccoilToVitally if self.accoil.is_none() => Some("accounts"),
            _ => None,
        };
        missing.map_or(Ok(()), |section| Err(SyncError::NotConfigured { section }))
    }

    fn writes_to(&self, destination: &str) -> bool {
        self.destinations.iter().any(|one| &*one.name == destination)
    }
}

/// A handle on the syncs; clones are the same.
#[derive(Clone)]
pub struct Syncs(Arc<Shared>);

struct Shared {
    setup: Setup,
    outbox: Outbox,
    /// How the destinations are doing that a sync writes to.
    statuses: Vec<watch::Receiver<Status>>,
    tasks: Tasks,
    /// The turn to write.
    running: Arc<Semaphore>,
    /// A run that ended early, or one before the start, may have left calls in the outbox.
    expects_leftovers: AtomicBool,
    last: Mutex<Vec<Arc<Summary>>>,
}

impl Syncs {
    /// Runs go on in these tasks and stop with them.
    pub fn new(
        setup: Setup,
        outbox: Outbox,
        mut statuses: Vec<watch::Receiver<Status>>,
        tasks: Tasks,
    ) -> Self {
        statuses.retain(|status| setup.writes_to(&status.borrow().name));
        Self(Arc::new(Shared {
            setup,
            outbox,
            statuses,
            tasks,
            running: Arc::new(Semaphore::new(1)),
            expects_leftovers: AtomicBool::new(true),
            last: Mutex::default(),
        }))
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
                () = reporting.unheard(), if dry_run => {}
                () = stop.cancelled(), if dry_run => {}
            }
        });
        Ok(reports)
    }

    /// The summary of each direction's last run since the start.
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
        summary.ended = match direction {
            Direction::VitallyToAccoil => self.to_accoil(reports, &mut summary).await,
            Direction::AccoilToVitally => self.to_vitally(reports, &mut summary).await,
        };
        summary.at = Utc::now();
        if !dry_run {
            if summary.ended.is_none() {
                summary.ended = self.note_end(direction).await;
            }
            self.remember(&summary).await;
        }
        drop(turn);
        reports.conclude(summary).await;
    }

    /// Why it could not be noted, if so.
    async fn note_end(&self, direction: Direction) -> Option<String> {
        let written = self.0.setup.written.as_ref()?;
        written.end(direction, Utc::now()).await.err().map(|error| error.to_string())
    }

    async fn to_accoil(&self, reports: &Reports, summary: &mut Summary) -> Option<String> {
        let Shared { setup, outbox, statuses, tasks, expects_leftovers, .. } = &*self.0;
        let sync = ToAccoil {
            client: setup.vitally.as_ref()?,
            outbox,
            destinations: &setup.destinations,
            statuses,
            carried: &setup.carried,
            reports,
            stop: &tasks.stop_signal(),
            expects_leftovers: expects_leftovers.load(Ordering::Relaxed),
        };
        let ended = sync.run(summary).await.err();
        if !summary.dry_run {
            expects_leftovers.store(ended.is_some(), Ordering::Relaxed);
        }
        ended.map(|error| error.to_string())
    }

    async fn to_vitally(&self, reports: &Reports, summary: &mut Summary) -> Option<String> {
        let Shared { setup, tasks, .. } = &*self.0;
        let sync = ToVitally {
            vitally: setup.vitally.as_ref()?,
            accoil: setup.accoil.as_ref()?,
            matching: &setup.matching,
            written: setup.written.as_ref()?,
            reports,
            stop: &tasks.stop_signal(),
            dry_run: summary.dry_run,
        };
        sync.run(summary).await.err().map(|error| error.to_string())
    }

    async fn remember(&self, summary: &Summary) {
        telemetry::synced(summary);
        let mut last = self.0.last.lock().await;
        last.retain(|before| before.direction != summary.direction);
        last.push(Arc::new(summary.clone()));
    }
}
