//! Replays what failed, or removes it: dead letters are sent as they are, rejects go through the present mappings.
//!
//! One step handles one page, so that a long replay is made of short steps. The admin API and the command run the
//! same step in a loop. A step stores its results and removes their origins in one commit, so that an interrupted
//! step loses nothing and sends nothing twice.

mod reject;

use serde::{Deserialize, Serialize};

use crate::outbox::{ChangeError, Filter, Kind, Outbox, ReadError, Replayed};
use crate::reasons::Reason;

pub use reject::Replayer;

/// The most that one step handles.
const MAX_PER_STEP: usize = 500;

/// Selects dead letters and rejects, and the part of them that the next step handles.
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

/// What a step did.
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

/// Replays the next page. Each dead letter goes behind its user's waiting calls, and each reject goes through the
/// present mappings. A reject that is refused again stays.
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
        match replayer.submission(&reject) {
            Ok(submission) => {
                outbox.replay_reject(id, submission).await?;
                step.done += 1;
            }
            Err(reason) => step.left.push(Left { id, reason }),
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
    let most = selection.most.unwrap_or(MAX_PER_STEP).min(MAX_PER_STEP);
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
