//! `sync vitally-to-accoil|accoil-to-vitally`: through the relay that has the outbox, or alone where none runs.
//!
//! stdout has what a program wants: in a dry run each change, and always the summary, a JSON object a line. stderr has
//! the progress and the summary for people.

mod remote;
mod show;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use tokio::sync::mpsc;

use super::error::MissingSection;
use super::serve::Signals;
use crate::accounts::sync::{Direction, Report};
use crate::config::Config;
use crate::outbox::OpenError;
use crate::run::{self, StandaloneSync, StartError};
use crate::telemetry;
use show::Show;

/// For a run to end in order.
const STOP: Duration = Duration::from_secs(20);

#[derive(Debug, Subcommand)]
pub enum Sync {
    /// Vitally's accounts become Accoil group calls: name, plan, MRR, status
    VitallyToAccoil(Options),
    /// Accoil's scores become traits of the Vitally accounts
    AccoilToVitally(Options),
}

#[derive(Debug, Args)]
pub struct Options {
    /// Write nothing: print every change that would be made
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(what: Sync, config: &Config) -> anyhow::Result<ExitCode> {
    let (direction, options) = match what {
        Sync::VitallyToAccoil(options) => (Direction::VitallyToAccoil, options),
        Sync::AccoilToVitally(options) => (Direction::AccoilToVitally, options),
    };
    check(config, direction)?;
    telemetry::init(&config.log);
    let mut show = Show::new(direction, options.dry_run);
    match StandaloneSync::start(config).await {
        Ok(alone) => {
            let mut signals = Signals::new()?;
            let outcome = listen_alone(&alone, &mut signals, direction, options.dry_run, &mut show).await;
            tokio::select! {
                () = alone.stop() => {}
                () = signals.next() => {}
            }
            outcome?;
        }
        Err(StartError::Outbox(OpenError::InUse { path })) => {
            let Some(admin) = run::running_relay_admin_address(config) else {
                bail!(
                    "outbox {}: another command has it, or a relay that is starting; try again in a moment",
                    path.display()
                );
            };
            remote::run(admin, config.admin.token.as_ref(), direction, options.dry_run, &mut show)
                .await
                .with_context(|| format!("the relay at {admin}, which has the outbox {}", path.display()))?;
        }
        Err(error) => return Err(error.into()),
    }
    show.conclude()
}

/// Before anything is opened or asked.
fn check(config: &Config, direction: Direction) -> Result<(), MissingSection> {
    match direction {
        _ if config.vitally.is_none() => Err(MissingSection::VITALLY),
        Direction::VitallyToAccoil if config.destinations.is_empty() => Err(MissingSection::DESTINATIONS),
        Direction::AccoilToVitally if config.accounts.is_none() => Err(MissingSection::ACCOUNTS),
        _ => Ok(()),
    }
}

async fn listen_alone(
    alone: &StandaloneSync,
    signals: &mut Signals,
    direction: Direction,
    dry_run: bool,
    show: &mut Show,
) -> anyhow::Result<()> {
    let reports = alone.syncs.start(direction, dry_run)?;
    let listening = listen(reports, show);
    tokio::pin!(listening);
    tokio::select! {
        outcome = &mut listening => return outcome,
        () = signals.next() => alone.stop_signal().cancel(),
        () = alone.broken() => bail!("a part of it failed, as the log says; the next run goes on"),
    }
    // It ends in order and says how far it came; a second signal ends it at once.
    tokio::select! {
        outcome = listening => outcome,
        () = signals.next() => bail!("ended at once"),
        () = tokio::time::sleep(STOP) => bail!("it did not end in time; the next run goes on"),
    }
}

async fn listen(mut reports: mpsc::Receiver<Report>, show: &mut Show) -> anyhow::Result<()> {
    while let Some(report) = reports.recv().await {
        show.report(&report)?;
    }
    Ok(())
}
