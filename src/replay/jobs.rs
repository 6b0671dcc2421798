//! Replays and purges as jobs. A job runs in small steps while the relay runs, and continues after a restart.
//!
//! A step reads a page of the selection, makes the calls, and stores them together with the job's progress in one commit. Replayed
//! calls take the background lane, so that they delay no live event.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::Utc;

use super::import::IMPORT;
use super::order::{Counted, DryRun, JobError, Order, Select};
use super::past::PastEvents;
use crate::config::Limits;
use crate::outbox::{Job, JobState, NewJob, Outbox};
use crate::pipeline::Sources;
use crate::tasks::Tasks;

/// The events of a dry run that are read at a time.
const DRY_RUN_PAGE: usize = 200;
/// Events as new as this are left to the live stream: most of them have no outcome yet, and some are not recorded yet.
const NEWEST: Duration = Duration::from_secs(1);
/// The most jobs that are read when the relay starts.
const MAX_JOBS: usize = 10_000;

pub(super) const REPLAY: &str = "replay";
pub(super) const PURGE: &str = "purge";

/// The jobs of one outbox. Clones are the same.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

pub(super) struct Inner {
    pub(super) outbox: Outbox,
    pub(super) past: PastEvents,
    /// Returns the sources and mappings in force.
    pub(super) sources: Box<dyn Fn() -> Arc<Sources> + Send + Sync>,
    pub(super) limits: Limits,
    pub(super) tasks: Tasks,
    /// The jobs that have a task.
    running: Mutex<HashSet<i64>>,
}

impl Jobs {
    /// `sources` returns the sources in force, at any time.
    pub fn new(
        outbox: Outbox,
        past: PastEvents,
        sources: impl Fn() -> Arc<Sources> + Send + Sync + 'static,
        limits: Limits,
        tasks: Tasks,
    ) -> Self {
        let (sources, running) = (Box::new(sources), Mutex::default());
        Self(Arc::new(Inner { outbox, past, sources, limits, tasks, running }))
    }

    /// Continues the jobs that the last run left. Called once, when the relay starts.
    pub async fn resume_all(&self) -> Result<(), JobError> {
        for job in self.list(MAX_JOBS).await?.into_iter().rev() {
            if job.state == JobState::Running && job.kind != IMPORT {
                self.run(job.id);
            }
        }
        Ok(())
    }

    /// Counts the events that a selection selects now.
    pub async fn count(&self, select: &Select) -> Result<Counted, JobError> {
        let up_to = match select {
            Select::Event(_) => (Utc::now() - NEWEST).timestamp_millis(),
            Select::DeadLetter(_) | Select::Reject(_) => self.0.outbox.newest_number().await?,
        };
        let count = self.0.reading(select, up_to).await?.count().await?;
        Ok(Counted { count, up_to })
    }

    /// Returns what a replay would do, by the same code, and changes nothing. A wrong count is an error, as in [`Self::replay`].
    pub async fn dry_run(&self, order: &Order) -> Result<DryRun, JobError> {
        let reading = self.0.check(order).await?;
        let mut result = reading.dry_run();
        let mut cursor = 0;
        while let Some((found, after)) = reading.page(cursor, DRY_RUN_PAGE).await? {
            cursor = after;
            result = self.0.try_dry(order, found, result).await?;
        }
        Ok(result)
    }

    /// Starts a replay. `by` is the name of who asked for it.
    pub async fn replay(&self, order: &Order, by: &str) -> Result<Job, JobError> {
        self.0.check(order).await?;
        let mut order = order.clone();
        if let Select::Event(past) = &mut order.select {
            past.history = Some(self.0.past.history.name()?);
        }
        self.create(REPLAY, &order, by).await
    }

    /// Starts to remove the selection permanently. Of the order only `select`, `up_to` and `expect` count.
    pub async fn purge(&self, order: &Order, by: &str) -> Result<Job, JobError> {
        if matches!(order.select, Select::Event(_)) {
            return Err(JobError::NotRemoved);
        }
        self.0.check_count(order).await?;
        self.create(PURGE, order, by).await
    }

    async fn create(&self, kind: &'static str, order: &Order, by: &str) -> Result<Job, JobError> {
        let text = serde_json::to_string(order).unwrap_or_default();
        let (up_to, expect, by) = (order.up_to, order.expect, by.to_owned());
        let id = self.0.outbox.create_job(NewJob { kind, order: text, up_to, expect, by }).await?;
        tracing::info!(job.id = id, job.kind = kind, events = expect, "a job was started");
        self.run(id);
        self.get(id).await
    }

    /// Returns the jobs, the newest first.
    pub async fn list(&self, most: usize) -> Result<Vec<Job>, JobError> {
        Ok(self.0.outbox.jobs(most).await?)
    }

    pub async fn get(&self, id: i64) -> Result<Job, JobError> {
        self.0.outbox.job(id).await?.ok_or(JobError::Unknown(id))
    }

    /// Pauses the job after its current step until it is resumed, also over a restart.
    pub async fn pause(&self, id: i64) -> Result<Job, JobError> {
        self.change(id, &[JobState::Running, JobState::Paused], JobState::Paused, "paused").await
    }

    pub async fn resume(&self, id: i64) -> Result<Job, JobError> {
        let from = &[JobState::Running, JobState::Paused, JobState::Failed];
        let job = self.change(id, from, JobState::Running, "resumed").await?;
        if job.kind != IMPORT {
            self.run(id);
        }
        Ok(job)
    }

    /// Cancels the job; what it has done stays done.
    pub async fn cancel(&self, id: i64) -> Result<Job, JobError> {
        let from = &[JobState::Running, JobState::Paused, JobState::Failed, JobState::Cancelled];
        self.change(id, from, JobState::Cancelled, "cancelled").await
    }

    async fn change(
        &self,
        id: i64,
        from: &'static [JobState],
        to: JobState,
        what: &'static str,
    ) -> Result<Job, JobError> {
        let is_changed = self.0.outbox.set_job_state(id, from, to, "").await?;
        let job = self.get(id).await?;
        if is_changed { Ok(job) } else { Err(JobError::State { job: Box::new(job), what }) }
    }

    /// Spawns a task for the job, unless it has one.
    fn run(&self, id: i64) {
        if !self.0.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
            return;
        }
        let (inner, stop) = (Arc::clone(&self.0), self.0.tasks.stop_signal());
        self.0.tasks.spawn("job", async move {
            while !stop.is_cancelled() {
                let is_ours = inner.run(id, &stop).await;
                inner.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                if !is_ours {
                    return;
                }
                // The job may have been resumed while its last step ended.
                let job = inner.outbox.job(id).await.ok().flatten();
                let is_running = job.is_some_and(|job| job.state == JobState::Running);
                if !is_running || !inner.running.lock().unwrap_or_else(PoisonError::into_inner).insert(id) {
                    return;
                }
            }
        });
    }
}
