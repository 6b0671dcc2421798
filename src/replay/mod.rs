//! Sends stored events again, or removes them: dead letters and delivered events as they were, these and rejects and skipped events
//! through the mappings in force.
//!
//! [`Jobs`] is for a running relay. [`Jobs::count`] counts a [`Select`]ion, [`Jobs::dry_run`] says what a replay would do,
//! [`Jobs::replay`] and [`Jobs::purge`] start a job from an [`Order`], [`Jobs::list`], [`Jobs::get`], [`Jobs::pause`],
//! [`Jobs::resume`] and [`Jobs::cancel`] are for its life. A job goes on after a restart. An order says how many events it
//! expects: if there are others by now, it is refused with [`JobError::Conflict`].
//!
//! [`replay`] and [`purge`] are one step each, for a command that has the outbox to itself. What a step makes is stored and
//! what it was made of is removed in one commit: a step that is interrupted loses nothing and sends nothing twice.

mod effect;
mod import;
mod jobs;
mod make;
mod order;
mod past;
mod steps;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Limits;
use crate::outbox::{ChangeError, Filter, Kind, Outbox, ReadError, Replayed};
use crate::pipeline::Sources;
use crate::reasons::Reason;

pub use effect::{Change, Effect, EffectExample, KeptEvent};
pub use import::{
    Begun, ImportError, ImportEvent, ImportFile, ImportReason, ImportStep, Imported, Importer,
    MAX_STEP as MAX_IMPORT_STEP,
};
pub use jobs::Jobs;
pub use order::{
    Counted, DryRun, Example, Failures, How, JobError, MAX_RATE, Order, PastSelect, Select, of_history,
};
pub use past::PastEvents;

use make::{ReplayPlanner, ReplayResult, SelectedEvent};

/// What one step handles at most.
const MAX_STEP: usize = 500;

/// Which dead letters and rejects a step handles.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Both kinds if not given.
    pub kind: Option<Kind>,
    pub filter: Filter,
    /// Only numbers above this one.
    pub after: i64,
    /// Only numbers up to this one, so that a run does not handle the failures that it causes itself. The newest
    /// number if not given.
    pub up_to: Option<i64>,
    /// The largest number that this step handles; the step may handle fewer.
    pub most: Option<usize>,
}

/// The result of a step.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Step {
    /// The number replayed or removed.
    pub done: usize,
    /// Those that were left, and why.
    pub left: Vec<Left>,
    /// `after` and `up_to` of the next step.
    pub after: i64,
    pub up_to: i64,
    /// True if no step follows.
    pub is_last: bool,
}

impl Step {
    fn add(&mut self, replayed: Replayed) {
        self.done += replayed.calls;
        self.left.extend(replayed.damaged.into_iter().map(|id| Left { id, reason: damaged() }));
    }
}

/// Why a damaged row is not sent.
fn damaged() -> String {
    format!("it is {} and was not sent. {}", Reason::WaitDamaged.title(), Reason::WaitDamaged.to_do())
}

/// A dead letter or reject that cannot be replayed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Left {
    pub id: i64,
    pub reason: String,
}

/// Why a step ended early. What it completed stays done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Knows the sources and mappings in force.
pub struct Replayer(ReplayPlanner);

impl Replayer {
    pub fn new(sources: Arc<Sources>, limits: &Limits) -> Self {
        Self(ReplayPlanner::new(sources, limits, How::Mappings, Vec::new()))
    }
}

/// Sends the next page again: each dead letter waits behind what its user has waiting, each reject becomes what the
/// mappings make of it now. A reject that is refused again stays.
pub async fn replay(
    outbox: &Outbox,
    replayer: &Replayer,
    selection: &Selection,
) -> Result<Step, ReplayError> {
    let (found, mut step) = select(outbox, selection).await?;
    let mut letters = Vec::new();
    for (id, kind) in found {
        if kind == Kind::DeadLetter {
            letters.push(id);
            continue;
        }
        // In the order of their numbers, because one user's calls were made in that order.
        step.add(outbox.replay_dead_letters(std::mem::take(&mut letters)).await?);
        let Some(reject) = outbox.reject(id).await? else { continue };
        match replayer.0.make(&SelectedEvent::Reject(reject)) {
            ReplayResult::New { submission, .. } => {
                outbox.replay_reject(id, *submission).await?;
                step.done += 1;
            }
            ReplayResult::Refused(reason) | ReplayResult::Gone(reason) => step.left.push(Left { id, reason }),
            ReplayResult::AsSent | ReplayResult::Missing(_) => {}
        }
    }
    step.add(outbox.replay_dead_letters(letters).await?);
    Ok(step)
}

/// Removes the next page permanently.
pub async fn purge(outbox: &Outbox, selection: &Selection) -> Result<Step, ReplayError> {
    let (found, mut step) = select(outbox, selection).await?;
    step.done = outbox.purge(found.into_iter().map(|(id, _)| id).collect()).await?;
    Ok(step)
}

/// Returns the numbers of the next page in order, and a step that does not count its work yet.
async fn select(outbox: &Outbox, selection: &Selection) -> Result<(Vec<(i64, Kind)>, Step), ReadError> {
    let most = selection.most.unwrap_or(MAX_STEP).min(MAX_STEP);
    let up_to = match selection.up_to {
        Some(number) => number,
        None => outbox.newest_number().await?,
    };
    let mut found = Vec::new();
    for kind in Kind::ALL {
        if selection.kind.is_none_or(|wanted| wanted == kind) {
            let numbers = outbox.numbers(kind, &selection.filter, selection.after, most).await?;
            found.extend(numbers.into_iter().map(|id| (id, kind)));
        }
    }
    found.sort_by_key(|(id, _)| *id);
    found.truncate(most);
    found.retain(|(id, _)| *id <= up_to);
    let after = found.last().map_or(selection.after, |(id, _)| *id);
    let is_last = found.len() < most;
    Ok((found, Step { after, up_to, is_last, ..Step::default() }))
}
