//! Replays and purges as jobs. A job runs in small steps while the relay runs, and continues after a restart.
//!
//! A step reads a page of the selection, makes the calls, and stores them together with the job's progress in one commit. Replayed
//! calls take the background lane, so that they delay no live event.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::make::{Found, Made, Maker};
use super::order::{Counted, DryRun, Example, JobError, Order, Select};
use crate::config::Limits;
use crate::outbox::{
    AcceptError, ChangeError, Job, JobState, JobStep, Kind, NewJob, Outbox, PageFrom, ReadError,
};
use crate::pipeline::Sources;
use crate::tasks::Tasks;

/// The most events of one step.
const MAX_STEP: u32 = 100;
/// The steps per second of a job whose rate is low enough.
const STEPS_PER_SECOND: u32 = 4;
/// The wait after a full disk or a busy outbox.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The numbers that are counted at a time.
const COUNTED_AT_ONCE: usize = 10_000;
/// The events of a dry run that are read at a time.
const DRY_RUN_PAGE: usize = 200;
const MAX_EXAMPLES: usize = 5;
/// The most jobs that are read when the relay starts.
const MAX_JOBS: usize = 10_000;

const REPLAY: &str = "replay";
const PURGE: &str = "purge";

/// The jobs of one outbox. Clones are the same.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    outbox: Outbox,
    /// Returns the sources and mappings in force.
    sources: Box<dyn Fn() -> Arc<Sources> + Send + Sync>,
    limits: Limits,
    tasks: Tasks,
    /// The jobs that have a task.
    running: Mutex<HashSet<i64>>,
}

impl Jobs {
    /// `sources` returns the sources in force, at any time.
    pub fn new(
        outbox: Outbox,
        sources: impl Fn() -> Arc<Sources> + Send + Sync + 'static,
        limits: Limits,
        tasks: Tasks,
    ) -> Self {
        Self(Arc::new(Inner { outbox, sources: Box::new(sources), limits, tasks, running: Mutex::default() }))
    }

    /// Continues the jobs that the last run left. Called once, when the relay starts.
    pub async fn resume_all(&self) -> Result<(), JobError> {
        for job in self.list(MAX_JOBS).await?.into_iter().rev() {
            if job.state == JobState::Running {
                self.run(job.id);
            }
        }
        Ok(())
    }

    /// Counts the events that a selection selects now.
    pub async fn count(&self, select: &Select) -> Result<Counted, JobError> {
        let up_to = self.0.outbox.newest_number().await?;
        Ok(Counted { count: self.0.count(select, up_to).await?, up_to })
    }

    /// Returns what a replay would do, by the same code, and changes nothing. A wrong count is an error, as in [`Self::replay`].
    pub async fn dry_run(&self, order: &Order) -> Result<DryRun, JobError> {
        self.0.check(order).await?;
        let mut result = DryRun::default();
        let mut cursor = 0;
        while let Some((found, after)) = self.0.page(order, cursor, DRY_RUN_PAGE).await? {
            cursor = after;
            let (maker, examples) = (self.0.maker(order), std::mem::take(&mut result.examples));
            let look = move || dry_run(&maker, &found, DryRun { examples, ..DryRun::default() });
            let page = tokio::task::spawn_blocking(look).await.map_err(|_| ReadError::Closed)?;
            result.same += page.same;
            result.different += page.different;
            result.refused += page.refused;
            result.gone += page.gone;
            result.examples = page.examples;
        }
        Ok(result)
    }

    /// Starts a replay. `by` is the name of who asked for it.
    pub async fn replay(&self, order: &Order, by: &str) -> Result<Job, JobError> {
        self.0.check(order).await?;
        self.create(REPLAY, order, by).await
    }

    /// Starts to remove the selection permanently. Of the order only `select`, `up_to` and `expect` count.
    pub async fn purge(&self, order: &Order, by: &str) -> Result<Job, JobError> {
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
        self.run(id);
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
                inner.run(id, &stop).await;
                inner.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
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

/// Whether a job continues after a step.
enum Next {
    /// After this wait.
    Step(Duration),
    End,
}

impl Inner {
    fn maker(&self, order: &Order) -> Maker {
        Maker::new((self.sources)(), &self.limits, order.how, order.mappings.clone())
    }

    async fn check(&self, order: &Order) -> Result<(), JobError> {
        order.check()?;
        self.check_count(order).await
    }

    async fn check_count(&self, order: &Order) -> Result<(), JobError> {
        let (found, expect) = (self.count(&order.select, order.up_to).await?, order.expect);
        if found == expect { Ok(()) } else { Err(JobError::Conflict { expect, found }) }
    }

    async fn count(&self, select: &Select, up_to: i64) -> Result<u64, JobError> {
        let Some(filter) = select.filter() else { return Ok(0) };
        let (mut count, mut after) = (0, 0);
        loop {
            let numbers = self.outbox.numbers(select.kind, &filter, after, COUNTED_AT_ONCE).await?;
            count += numbers.iter().filter(|number| **number <= up_to).count() as u64;
            match numbers.last() {
                Some(last) if *last <= up_to && numbers.len() == COUNTED_AT_ONCE => after = *last,
                _ => return Ok(count),
            }
        }
    }

    /// Returns the next events of a selection and the last of their numbers; `None` if there are no more.
    async fn page(
        &self,
        order: &Order,
        cursor: i64,
        most: usize,
    ) -> Result<Option<(Vec<Found>, i64)>, ReadError> {
        let Some(filter) = order.select.filter() else { return Ok(None) };
        let mut found: Vec<Found> = match order.select.kind {
            Kind::Reject => {
                let rejects = self.outbox.rejects(&filter, PageFrom::After(cursor), most).await?;
                rejects.into_iter().map(Found::Reject).collect()
            }
            Kind::DeadLetter => {
                let letters = self.outbox.dead_letters(&filter, PageFrom::After(cursor), most).await?;
                letters.into_iter().map(Found::DeadLetter).collect()
            }
        };
        found.retain(|found| found.number() <= order.up_to);
        Ok(found.last().map(Found::number).map(|last| (found, last)))
    }

    /// Runs steps until the job is done, is stopped, or fails.
    async fn run(&self, id: i64, stop: &CancellationToken) {
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                next = self.step(id) => next,
            };
            let wait = match next {
                Ok(Next::Step(wait)) => wait,
                Ok(Next::End) => return,
                Err(JobError::Change(ChangeError(
                    AcceptError::Busy | AcceptError::Full | AcceptError::Away,
                ))) => RETRY_DELAY,
                Err(error) => {
                    tracing::error!(job.id = id, error.message = %error, "a job failed; resume it when the cause is fixed");
                    let note = error.to_string();
                    let _ =
                        self.outbox.set_job_state(id, &[JobState::Running], JobState::Failed, &note).await;
                    return;
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    async fn step(&self, id: i64) -> Result<Next, JobError> {
        let job = self.outbox.job(id).await?.ok_or(JobError::Unknown(id))?;
        let Some(order) = Order::of(&job).filter(|_| job.state == JobState::Running) else {
            return Ok(Next::End);
        };
        let most = (order.rate / STEPS_PER_SECOND).clamp(1, MAX_STEP);
        let Some((found, cursor)) = self.page(&order, job.cursor, most as usize).await? else {
            let step = JobStep {
                job: id,
                from: job.cursor,
                cursor: job.cursor,
                is_last: true,
                ..JobStep::default()
            };
            self.outbox.advance_job(step).await?;
            tracing::info!(job.id = id, done = job.done, refused = job.failed, "a job is done");
            return Ok(Next::End);
        };
        let maker = self.maker(&order);
        if job.kind != PURGE {
            self.outbox.background().room(&maker.destinations(&found)).await;
        }
        let wait =
            Duration::from_secs(1) * u32::try_from(found.len()).unwrap_or(MAX_STEP) / order.rate.max(1);
        let mut step = JobStep { job: id, from: job.cursor, cursor, ..JobStep::default() };
        if job.kind == PURGE {
            step.purged = found.iter().map(Found::number).collect();
        } else {
            fill(&mut step, &maker, &found);
        }
        Ok(if self.outbox.advance_job(step).await? { Next::Step(wait) } else { Next::End })
    }
}

fn fill(step: &mut JobStep, maker: &Maker, found: &[Found]) {
    for found in found {
        match maker.make(found) {
            Made::AsSent => step.dead_letters.push(found.number()),
            Made::New { submission, .. } => step.made.push((Some(found.number()), *submission)),
            Made::Refused(_) | Made::Gone(_) => step.failed += 1,
        }
    }
}

fn dry_run(maker: &Maker, found: &[Found], mut result: DryRun) -> DryRun {
    for found in found {
        let made = maker.make(found);
        match &made {
            Made::AsSent | Made::New { is_same: true, .. } => result.same += 1,
            Made::New { is_same: false, .. } => result.different += 1,
            Made::Refused(_) => result.refused += 1,
            Made::Gone(_) => result.gone += 1,
        }
        if result.examples.len() < MAX_EXAMPLES && !made.is_same() {
            let (id, event) = (found.number(), found.event());
            result.examples.push(Example { id, event, before: found.to_json(), after: made.to_json() });
        }
    }
    result
}
