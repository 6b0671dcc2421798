//! What failed is sent again or removed: dead letters as they are, rejects through the mappings as they are now.
//!
//! One step handles a page, so that a long replay is many short ones: the admin API and the command run the same step in
//! a loop. What a step makes is stored and what it was made of is removed in one commit; a step that is interrupted loses
//! nothing and sends nothing twice.

mod reject;

use serde::{Deserialize, Serialize};

use crate::outbox::{ChangeError, Filter, Kind, Outbox, ReadError};

pub use reject::Replayer;

/// What one step handles at most.
const MOST: usize = 500;

/// Which dead letters and rejects are meant, and which part of them is the next step's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Both kinds if it is not given.
    pub kind: Option<Kind>,
    pub filter: Filter,
    /// Only numbers above this one.
    pub after: i64,
    /// Only numbers up to this one: what a replay makes anew is not for the same run. The newest, if it is not given.
    pub up_to: Option<i64>,
    /// The most that this step handles; the step may handle fewer.
    pub most: Option<usize>,
}

/// What a step did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Step {
    /// How many were replayed or removed.
    pub done: usize,
    /// Those that stay, and why.
    pub left: Vec<Left>,
    /// `after` and `up_to` of the next step.
    pub after: i64,
    pub up_to: i64,
    /// There is nothing after this step.
    pub is_last: bool,
}

/// A reject that cannot be replayed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Left {
    pub id: i64,
    pub reason: String,
}

/// Why a step ended early. What it had done is done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Change(#[from] ChangeError),
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
        // In the order of the numbers: one user's calls were made in it.
        step.done += outbox.replay_dead_letters(std::mem::take(&mut letters)).await?;
        let Some(reject) = outbox.reject(id).await? else { continue };
        match replayer.submission(&reject) {
            Ok(submission) => {
                outbox.replay_reject(id, submission).await?;
                step.done += 1;
            }
            Err(reason) => step.left.push(Left { id, reason }),
        }
    }
    step.done += outbox.replay_dead_letters(letters).await?;
    Ok(step)
}

/// Removes the next page for good.
pub async fn purge(outbox: &Outbox, selection: &Selection) -> Result<Step, ReplayError> {
    let (found, mut step) = select(outbox, selection).await?;
    step.done = outbox.purge(found.into_iter().map(|(id, _)| id).collect()).await?;
    Ok(step)
}

/// The numbers of the next page, in order, and the step without what it will have done.
async fn select(outbox: &Outbox, selection: &Selection) -> Result<(Vec<(i64, Kind)>, Step), ReadError> {
    let most = selection.most.unwrap_or(MOST).min(MOST);
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
