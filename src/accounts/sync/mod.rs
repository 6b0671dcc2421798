//! The two syncs: Vitally's accounts to Accoil as group calls, Accoil's scores to Vitally as traits.
//!
//! [`Syncs::run`] is the one door, for commands, for the admin API and for the schedule; one run at a time, whichever
//! way. Each run reads all of Vitally's accounts, writes only what differs, and tells of it by [`Report`]s.

mod confirm;
mod group;
mod outstanding;
mod report;
mod schedule;
mod sweep;
mod to_accoil;
mod to_vitally;
mod traits;
mod written;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};

pub use confirm::confirm;
pub use group::Carried;
pub use report::{Change, Direction, Named, Problem, Report, Reports, Summary};
use to_accoil::ToAccoil;
pub use to_vitally::Matching;
use to_vitally::ToVitally;
pub use written::{Written, WrittenError};

use super::{accoil, vitally};
use crate::accoil::Destination;
use crate::deliver::Status;
use crate::outbox::Outbox;
use crate::tasks::Tasks;
use crate::telemetry;

/// The name under which the sync's calls are in the outbox, as those of a source; no configured source can have it.
pub const SOURCE: &str = "sync:vitally";
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
    pub accoil: Option<Arc<accoil::Client>>,
    /// Those that Vitally's accounts go to, with the mapping for that alone.
    pub destinations: Vec<Arc<Destination>>,
    pub carried: Carried,
    pub matching: Matching,
    /// From the end of one run to the next, in the order of [`Direction::ALL`]; none: never by itself.
    pub every: [Option<Duration>; 2],
}

impl Setup {
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
    /// How the destinations are doing.
    statuses: Vec<watch::Receiver<Status>>,
    /// Only where there is a Vitally to write to.
    written: Option<Written>,
    tasks: Tasks,
    /// Held by whoever runs one.
    running: Arc<Mutex<()>>,
    last: Mutex<Vec<Summary>>,
}

impl Syncs {
    /// `written` is the file in which is noted what was written to Vitally; it is made when there is a Vitally. Blocks on
    /// the disk. Runs stop with the tasks.
    pub fn new(
        setup: Setup,
        outbox: Outbox,
        statuses: Vec<watch::Receiver<Status>>,
        written: &Path,
        tasks: Tasks,
    ) -> Result<Self, WrittenError> {
        let written = setup.vitally.as_ref().map(|_| Written::open(written)).transpose()?;
        // One that a sync does not write to does not concern it.
        let statuses = statuses.into_iter().filter(|status| setup.writes_to(&status.borrow().name)).collect();
        let (running, last) = (Arc::default(), Mutex::default());
        Ok(Self(Arc::new(Shared { setup, outbox, statuses, written, tasks, running, last })))
    }

    /// Begins a run, which goes on whether or not anybody listens to its reports; the last one is the summary.
    pub fn start(&self, direction: Direction, dry_run: bool) -> Result<mpsc::Receiver<Report>, SyncError> {
        self.check(direction)?;
        let turn = Arc::clone(&self.0.running).try_lock_owned().map_err(|_| SyncError::Running)?;
        let (listener, reports) = mpsc::channel(WAITING_REPORTS);
        let syncs = self.clone();
        self.0.tasks.spawn("sync", async move {
            syncs.run(direction, dry_run, &Reports::to(listener, dry_run), turn).await;
        });
        Ok(reports)
    }

    /// The summary of each direction's last run since the start.
    pub async fn last(&self) -> Vec<Summary> {
        self.0.last.lock().await.clone()
    }

    /// Whether one runs now.
    pub fn is_running(&self) -> bool {
        self.0.running.try_lock().is_err()
    }

    fn check(&self, direction: Direction) -> Result<(), SyncError> {
        let setup = &self.0.setup;
        let missing = match direction {
            _ if setup.vitally.is_none() => Some("vitally"),
            Direction::VitallyToAccoil if setup.destinations.is_empty() => Some("[destinations]"),
            Direction::AccoilToVitally if setup.accoil.is_none() => Some("accounts"),
            _ => None,
        };
        missing.map_or(Ok(()), |section| Err(SyncError::NotConfigured { section }))
    }

    async fn run(&self, direction: Direction, dry_run: bool, reports: &Reports, turn: OwnedMutexGuard<()>) {
        let mut summary = Summary::new(direction, dry_run);
        summary.ended = match direction {
            Direction::VitallyToAccoil => self.to_accoil(reports, &mut summary).await,
            Direction::AccoilToVitally => self.to_vitally(reports, &mut summary).await,
        };
        summary.at = Utc::now();
        if !dry_run {
            self.remember(&summary).await;
        }
        // Whoever hears the last report may begin the next run.
        drop(turn);
        reports.tell(Report::Summary(summary)).await;
    }

    async fn to_accoil(&self, reports: &Reports, summary: &mut Summary) -> Option<String> {
        let Shared { setup, outbox, statuses, tasks, .. } = &*self.0;
        let sync = ToAccoil {
            client: setup.vitally.as_ref()?,
            outbox,
            destinations: &setup.destinations,
            statuses,
            carried: &setup.carried,
            reports,
            stop: &tasks.stop_signal(),
        };
        sync.run(summary).await.err().map(|error| error.to_string())
    }

    async fn to_vitally(&self, reports: &Reports, summary: &mut Summary) -> Option<String> {
        let Shared { setup, written, tasks, .. } = &*self.0;
        let sync = ToVitally {
            vitally: setup.vitally.as_ref()?,
            accoil: setup.accoil.as_deref()?,
            matching: &setup.matching,
            written: written.as_ref()?,
            reports,
            stop: &tasks.stop_signal(),
            dry_run: summary.dry_run,
        };
        sync.run(summary).await.err().map(|error| error.to_string())
    }

    async fn remember(&self, summary: &Summary) {
        telemetry::synced(summary);
        if let Some(written) = self.0.written.as_ref().filter(|_| summary.ended.is_none())
            && let Err(error) = written.end(summary.direction, Utc::now()).await
        {
            tracing::error!(error.message = %error, "the end of a sync could not be noted");
        }
        let mut last = self.0.last.lock().await;
        last.retain(|before| before.direction != summary.direction);
        last.push(summary.clone());
    }
}
