//! `serve`: runs the relay until SIGTERM or Ctrl-C. A second signal ends it at once. SIGHUP reloads the mappings.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::Config;
use crate::outbox;
use crate::run::{Relay, StartError};
use crate::telemetry;

/// "File size limit exceeded"; the number is the same on Linux, the BSDs and macOS.
const SIGXFSZ: i32 = 25;

#[derive(Debug, clap::Args)]
pub struct ServeArgs {
    /// If the outbox is damaged: move it away and copy everything readable into a new one
    #[arg(long)]
    pub recover_outbox: bool,
}

pub async fn run(args: &ServeArgs, config: &Config) -> anyhow::Result<ExitCode> {
    telemetry::init(&config.log);
    if args.recover_outbox {
        recover(config).await?;
    }
    let mut signals = Signals::new()?;
    // From here on SIGHUP does not end the process, also while the relay starts or stops.
    let mut hangup = listen(SignalKind::hangup())?;
    // Beyond a limit on the size of files (ulimit -f) a write then fails, and the relay says so; by default it would die.
    let _file_too_large = listen(SignalKind::from_raw(SIGXFSZ))?;
    let relay = Relay::start(config).await?;
    let broken = loop {
        tokio::select! {
            () = signals.next() => break false,
            () = relay.broken() => break true,
            _ = hangup.recv() => relay.reload().await,
        }
    };
    tokio::select! {
        _ = relay.stop() => {}
        () = signals.next() => {
            tracing::warn!("second signal: stopping at once; calls in flight are repeated after the next start");
        }
    }
    // Work that is unfinished at the deadline is stored, so this is not a failure.
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn recover(config: &Config) -> anyhow::Result<()> {
    let path = config.outbox.path.clone();
    let recover = move || outbox::recover(&path, chrono::Utc::now());
    let recovered = tokio::task::spawn_blocking(recover).await?.map_err(StartError::from)?;
    match recovered {
        Some(outbox::Recovered { aside, rows, unreadable, missing }) => {
            telemetry::recovered(&aside, &rows, unreadable);
            if !missing.is_empty() {
                telemetry::lost(missing.commits, missing.rejects, &missing.to_string());
            }
        }
        None => telemetry::nothing_to_recover(),
    }
    Ok(())
}

/// SIGTERM and Ctrl-C, as one.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn listen(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("cannot listen for signals")
}
