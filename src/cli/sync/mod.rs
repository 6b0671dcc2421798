//! `sync vitally-to-accoil|accoil-to-vitally`: through the relay that has the outbox, or alone where none runs.
//!
//! stdout has what a program wants: in a dry run each change, and always the summary, a JSON object a line. stderr has
//! the progress and the summary for people.

mod remote;
mod show;

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use tokio::sync::mpsc;

use super::serve::Signals;
use crate::accounts::sync::{Direction, Report};
use crate::config::Config;
use crate::outbox::OpenError;
use crate::run::{self, StartError, SyncsAlone};
use crate::telemetry;
use show::Show;

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
    telemetry::init(&config.log);
    let mut show = Show::new(direction, options.dry_run);
    match SyncsAlone::start(config, direction, options.dry_run).await {
        Ok(alone) => {
            let outcome = listen_alone(&alone, direction, options.dry_run, &mut show).await;
            alone.stop().await;
            outcome?;
        }
        Err(StartError::Outbox(OpenError::InUse { path })) => {
            let Some(admin) = run::admin_of_owner(config) else {
                bail!(
                    "outbox {}: another command has it, or a relay that is starting; try again in a moment",
                    path.display()
                );
            };
            remote::run(&admin, config.admin.token.as_ref(), direction, options.dry_run, &mut show)
                .await
                .with_context(|| format!("the relay at {admin}, which has the outbox {}", path.display()))?;
        }
        Err(error) => return Err(error.into()),
    }
    show.conclude()
}

async fn listen_alone(
    alone: &SyncsAlone,
    direction: Direction,
    dry_run: bool,
    show: &mut Show,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let reports = alone.syncs.start(direction, dry_run)?;
    let listening = listen(reports, show);
    tokio::pin!(listening);
    tokio::select! {
        heard = &mut listening => return heard,
        () = signals.next() => alone.stop_signal().cancel(),
    }
    // It ends in order and says how far it came; a second signal ends it at once.
    tokio::select! {
        heard = listening => heard,
        () = signals.next() => bail!("ended at once"),
    }
}

async fn listen(mut reports: mpsc::Receiver<Report>, show: &mut Show) -> anyhow::Result<()> {
    while let Some(report) = reports.recv().await {
        show.report(&report)?;
    }
    Ok(())
}
