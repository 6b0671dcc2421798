//! `sync vitally-to-accoil|accoil-to-vitally`: runs in the relay that owns the outbox, or in this process if no relay is running.
//!
//! stdout is for programs: the summary and, in a dry run, each change, one JSON object per line. stderr has the progress and
//! the summary for people.

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

/// How long a run may take to stop cleanly.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, Subcommand)]
pub enum Sync {
    /// Send Vitally's accounts to Accoil as group calls: name, plan, MRR, status
    VitallyToAccoil(Options),
    /// Write Accoil's scores to the traits of Vitally's accounts
    AccoilToVitally(Options),
}

#[derive(Debug, Args)]
pub struct Options {
    /// Write nothing; print every change that would be made
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
                    "outbox {}: another command or a starting relay is using it; try again in a moment",
                    path.display()
                );
            };
            remote::run(admin, config.admin.token.as_ref(), direction, options.dry_run, &mut show)
                .await
                .with_context(|| format!("the relay at {admin}, which has the outbox {}", path.display()))?;
        }
        Err(error) => return Err(error.into()),
    }
    show.finish()
}

/// Checks the configuration before anything is opened or called.
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
        () = alone.broken() => bail!("a part of the sync failed: see the log; the next run continues"),
    }
    // The run stops cleanly and prints its summary. A second signal ends it at once.
    tokio::select! {
        outcome = listening => outcome,
        () = signals.next() => bail!("stopped at once"),
        () = tokio::time::sleep(STOP_TIMEOUT) => bail!("the sync did not stop in time; the next run continues"),
    }
}

async fn listen(mut reports: mpsc::Receiver<Report>, show: &mut Show) -> anyhow::Result<()> {
    while let Some(report) = reports.recv().await {
        show.report(&report)?;
    }
    Ok(())
}
