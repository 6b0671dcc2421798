//! The steps of a job: reads a page of the selection, makes the calls, and stores them together with the job's progress in one commit.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::jobs::{Inner, PURGE};
use super::make::{ReplayPlanner, ReplayResult, SelectedEvent};
use super::order::{DryRun, Example, Failures, JobError, Order, Select};
use super::past::{Chosen, Missing, PastEvents};
use crate::outbox::{AcceptError, ChangeError, Filter, JobState, JobStep, Kind, Outbox, PageFrom, ReadError};

/// The most events of one step.
const MAX_STEP: u32 = 100;
/// The steps per second of a job whose rate is low enough.
const STEPS_PER_SECOND: u32 = 4;
/// The wait after a full disk or a busy outbox.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// The numbers that are counted at a time.
const COUNTED_AT_ONCE: usize = 10_000;
const MAX_EXAMPLES: usize = 5;

/// A selection that is being read.
pub(super) enum Reading {
    Failures {
        outbox: Outbox,
        kind: Kind,
        /// `None` selects nothing.
        filter: Option<Box<Filter>>,
        up_to: i64,
    },
    Past {
        past: PastEvents,
        chosen: Arc<Chosen>,
    },
}

impl Reading {
    pub(super) async fn count(&self) -> Result<u64, JobError> {
        let (outbox, kind, filter, up_to) = match self {
            Self::Past { chosen, .. } => return Ok(chosen.count()),
            Self::Failures { filter: None, .. } => return Ok(0),
            Self::Failures { outbox, kind, filter: Some(filter), up_to } => (outbox, *kind, filter, *up_to),
        };
        let (mut count, mut after) = (0, 0);
        loop {
            let numbers = outbox.numbers(kind, filter, after, COUNTED_AT_ONCE).await?;
            count += numbers.iter().filter(|number| **number <= up_to).count() as u64;
            match numbers.last() {
                Some(last) if *last <= up_to && numbers.len() == COUNTED_AT_ONCE => after = *last,
                _ => return Ok(count),
            }
        }
    }

    /// Returns the next events and the cursor after them; `None` if there are no more.
    pub(super) async fn page(
        &self,
        cursor: i64,
        most: usize,
    ) -> Result<Option<(Vec<SelectedEvent>, i64)>, JobError> {
        let found = match self {
            Self::Failures { filter: None, .. } => return Ok(None),
            Self::Failures { outbox, kind, filter: Some(filter), up_to } => {
                let from = PageFrom::After(cursor);
                let mut found: Vec<SelectedEvent> = match kind {
                    Kind::Reject => {
                        let rejects = outbox.rejects(filter, from, most).await?;
                        rejects.into_iter().map(SelectedEvent::Reject).collect()
                    }
                    Kind::DeadLetter => {
                        let letters = outbox.dead_letters(filter, from, most).await?;
                        letters.into_iter().map(SelectedEvent::DeadLetter).collect()
                    }
                };
                found.retain(|found| found.cursor() <= *up_to);
                found
            }
            Self::Past { past, chosen } => {
                let (past, chosen) = (past.clone(), Arc::clone(chosen));
                let load = move || past.load(&chosen, cursor, most);
                tokio::task::spawn_blocking(load).await.map_err(|_| ReadError::Closed)??
            }
        };
        Ok(found.last().map(SelectedEvent::cursor).map(|last| (found, last)))
    }

    /// Returns a dry run that has looked at nothing yet.
    pub(super) fn dry_run(&self) -> DryRun {
        match self {
            Self::Failures { .. } => DryRun::default(),
            Self::Past { chosen, .. } => DryRun {
                unreadable_blocks: chosen.unreadable_blocks,
                unreadable_files: chosen.unreadable_files,
                ..DryRun::default()
            },
        }
    }
}

/// Whether a job continues after a step.
enum Next {
    /// After this wait.
    Step(Duration),
    End,
    /// Another relay runs it.
    Elsewhere,
}

impl Inner {
    pub(super) async fn reading(&self, select: &Select, up_to: i64) -> Result<Reading, JobError> {
        let failures = |kind, failures: &Failures| {
            let (outbox, filter) = (self.outbox.clone(), failures.filter().map(Box::new));
            Reading::Failures { outbox, kind, filter, up_to }
        };
        match select {
            Select::DeadLetter(selected) => Ok(failures(Kind::DeadLetter, selected)),
            Select::Reject(selected) => Ok(failures(Kind::Reject, selected)),
            Select::Event(selected) => {
                let (past, selected) = (self.past.clone(), selected.clone());
                let (choosing, stop) = (past.clone(), self.tasks.stop_signal());
                let choose = move || choosing.choose(&selected, up_to, &stop);
                let chosen = tokio::task::spawn_blocking(choose).await.map_err(|_| ReadError::Closed)??;
                Ok(Reading::Past { past, chosen: Arc::new(chosen) })
            }
        }
    }

    fn maker(&self, order: &Order) -> ReplayPlanner {
        ReplayPlanner::new((self.sources)(), &self.limits, order.how, order.mappings.clone())
    }

    /// Checks an order and its count; returns the selection.
    pub(super) async fn check(&self, order: &Order) -> Result<Reading, JobError> {
        order.check()?;
        self.check_count(order).await
    }

    pub(super) async fn check_count(&self, order: &Order) -> Result<Reading, JobError> {
        let reading = self.reading(&order.select, order.up_to).await?;
        let (found, expect) = (reading.count().await?, order.expect);
        if found == expect { Ok(reading) } else { Err(JobError::Conflict { expect, found }) }
    }

    /// Adds what a replay would do with these events.
    pub(super) async fn try_dry(
        &self,
        order: &Order,
        found: Vec<SelectedEvent>,
        result: DryRun,
    ) -> Result<DryRun, JobError> {
        let maker = self.maker(order);
        let look = move || dry_run(&maker, &found, result);
        Ok(tokio::task::spawn_blocking(look).await.map_err(|_| ReadError::Closed)?)
    }

    /// A job of past events belongs to the relay whose history counted them.
    fn is_of_another_relay(&self, order: &Order) -> Result<bool, JobError> {
        match &order.select {
            Select::Event(past) => Ok(past.history != Some(self.past.history.name()?)),
            Select::DeadLetter(_) | Select::Reject(_) => Ok(false),
        }
    }

    /// Runs steps until the job is done, is stopped, or fails. Returns false if this relay must not continue with it.
    pub(super) async fn run(&self, id: i64, stop: &CancellationToken) -> bool {
        let mut reading = None;
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => return false,
                next = self.step(id, &mut reading) => next,
            };
            let wait = match next {
                Ok(Next::Step(wait)) => wait,
                Ok(Next::End) => return true,
                Ok(Next::Elsewhere) => return false,
                Err(JobError::Change(ChangeError(
                    AcceptError::Busy | AcceptError::Full | AcceptError::Away,
                ))) => RETRY_DELAY,
                Err(error) => {
                    tracing::error!(job.id = id, error.message = %error, "a job failed; resume it when the cause is fixed");
                    let note = error.to_string();
                    let _ =
                        self.outbox.set_job_state(id, &[JobState::Running], JobState::Failed, &note).await;
                    return true;
                }
            };
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return false;
            }
        }
    }

    async fn step(&self, id: i64, reading: &mut Option<Reading>) -> Result<Next, JobError> {
        let job = self.outbox.job(id).await?.ok_or(JobError::Unknown(id))?;
        let Some(order) = Order::of(&job).filter(|_| job.state == JobState::Running) else {
            return Ok(Next::End);
        };
        let reading = match reading {
            Some(reading) => reading,
            None if self.is_of_another_relay(&order)? => return Ok(Next::Elsewhere),
            None => reading.insert(self.reading(&order.select, order.up_to).await?),
        };
        let most = (order.rate / STEPS_PER_SECOND).clamp(1, MAX_STEP);
        let Some((found, cursor)) = reading.page(job.cursor, most as usize).await? else {
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
            step.purged = found.iter().filter_map(SelectedEvent::number).collect();
        } else {
            fill(&mut step, &maker, &found);
        }
        Ok(if self.outbox.advance_job(step).await?.is_some() { Next::Step(wait) } else { Next::End })
    }
}

fn fill(step: &mut JobStep, maker: &ReplayPlanner, found: &[SelectedEvent]) {
    for found in found {
        match maker.make(found) {
            ReplayResult::AsSent => step.dead_letters.extend(found.number()),
            ReplayResult::New { submission, .. } => step.made.push((found.number(), *submission)),
            ReplayResult::Refused(_) | ReplayResult::Gone(_) | ReplayResult::Missing(_) => step.failed += 1,
        }
    }
}

fn dry_run(maker: &ReplayPlanner, found: &[SelectedEvent], mut result: DryRun) -> DryRun {
    for found in found {
        let made = maker.make(found);
        match &made {
            ReplayResult::AsSent | ReplayResult::New { is_same: true, .. } => result.same += 1,
            ReplayResult::New { is_same: false, .. } => result.different += 1,
            ReplayResult::Refused(_) => result.refused += 1,
            ReplayResult::Gone(_) => result.gone += 1,
            ReplayResult::Missing(Missing::Redacted) => result.redacted += 1,
            ReplayResult::Missing(_) => result.not_kept += 1,
        }
        if result.examples.len() < MAX_EXAMPLES && !made.is_same() {
            let (id, event) = (found.number(), found.event());
            result.examples.push(Example { id, event, before: found.to_json(), after: made.to_json() });
        }
    }
    result
}
