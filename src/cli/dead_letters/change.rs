//! `dead-letters replay` and `purge`: run the steps of `replay` in a loop, in the running relay or else in this process.
//!
//! A reject that is refused again is kept, and its reason is printed to stdout.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::bail;

use super::super::print_message;
use super::super::relay::Owner;
use super::{Choice, PurgeArgs};
use crate::config::Config;
use crate::facts::Counts;
use crate::replay::{self, Replayer, Selection, Step};
use crate::run;

#[derive(Debug, Clone, Copy)]
enum Change {
    Replay,
    Purge,
}

pub(super) async fn replay(choice: &Choice, config: &Config) -> anyhow::Result<ExitCode> {
    let (done, left) = run_all(Change::Replay, choice, config).await?;
    let others =
        if left == 0 { String::new() } else { format!("; {left} left, because they would be refused again") };
    print_message(&format!("{done} replayed{others}"));
    let is_whole = all_exist(choice, done + left) && left == 0;
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn purge(args: &PurgeArgs, config: &Config) -> anyhow::Result<ExitCode> {
    if args.choice.is_everything() && !args.all {
        bail!("this would remove everything: choose by number or with a filter, or give --all");
    }
    let (done, _) = run_all(Change::Purge, &args.choice, config).await?;
    print_message(&format!("{done} removed"));
    Ok(if all_exist(&args.choice, done) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns whether all given numbers exist. Prints how many do not; `found` is the number of those that do.
fn all_exist(choice: &Choice, found: usize) -> bool {
    let mut given = choice.filter().ids;
    given.sort_unstable();
    given.dedup();
    let missing = given.len().saturating_sub(found);
    if choice.limit.is_some() || missing == 0 {
        return true;
    }
    print_message(&format!(
        "{missing} of the numbers were not found: they were replayed, purged or expired, or the filters exclude them; \
         `accoil-relay dead-letters list` shows those that exist"
    ));
    false
}

/// Returns how many were changed and how many are left.
async fn run_all(change: Change, choice: &Choice, config: &Config) -> anyhow::Result<(usize, usize)> {
    let owner = Owner::find(config).await?;
    let replayer = match (&owner, change) {
        // A running relay uses the mappings that it has in force.
        (Owner::Command(_), Change::Replay) => replayer(config).map(Some),
        _ => Ok(None),
    };
    let outcome = match replayer {
        Ok(replayer) => steps(change, choice, &owner, replayer.as_ref()).await,
        Err(error) => Err(error),
    };
    owner.close().await;
    outcome
}

async fn steps(
    change: Change,
    choice: &Choice,
    owner: &Owner,
    replayer: Option<&Replayer>,
) -> anyhow::Result<(usize, usize)> {
    let limit = choice.limit.unwrap_or(usize::MAX);
    let mut selection = Selection { kind: choice.kind(), filter: choice.filter(), ..Selection::default() };
    let (mut done, mut left) = (0, 0);
    while done + left < limit {
        selection.most = choice.limit.map(|limit| limit - done - left);
        let step: Step = match (owner, change, replayer) {
            (Owner::Relay(relay), Change::Replay, _) => {
                relay.post("/api/dead-letters/replay", &selection).await?
            }
            (Owner::Relay(relay), Change::Purge, _) => {
                relay.post("/api/dead-letters/purge", &selection).await?
            }
            (Owner::Command(outbox), Change::Replay, Some(replayer)) => {
                replay::replay(outbox, replayer, &selection).await?
            }
            (Owner::Command(outbox), ..) => replay::purge(outbox, &selection).await?,
        };
        for one in &step.left {
            writeln!(std::io::stdout(), "{}\t{}", one.id, one.reason)?;
        }
        done += step.done;
        left += step.left.len();
        (selection.after, selection.up_to) = (step.after, Some(step.up_to));
        if step.is_last {
            break;
        }
    }
    Ok((done, left))
}

fn replayer(config: &Config) -> anyhow::Result<Replayer> {
    let destinations = run::destinations(config)?;
    Ok(Replayer::new(Arc::new(run::sources(config, &destinations, &Counts::default())), &config.limits))
}
