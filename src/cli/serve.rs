//! `serve`: runs the relay until SIGTERM or Ctrl-C. A second signal ends it at once. SIGHUP reloads the mappings.
//!
//! The process ends within `server.shutdown_timeout` of the first signal, even if threads of the relay are blocked.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, iterator, low_level};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
    let stop = stop_signal(config.server.shutdown_timeout)?;
    // From here on SIGHUP does not end the process, also while the relay starts or stops.
    let mut hangup = listen(SignalKind::hangup())?;
    // A write beyond the limit on the size of files (ulimit -f) then fails, and the relay logs it. By default the signal would kill
    // the process.
    let _file_too_large = listen(SignalKind::from_raw(SIGXFSZ))?;
    if args.recover_outbox {
        // Not interrupted by the first signal: the copy would stay incomplete.
        recover(config).await?;
    }
    let relay = tokio::select! {
        biased;
        () = stop.cancelled() => {
            tracing::info!("stopped before the start was complete; nothing was accepted");
            return Ok(ExitCode::SUCCESS);
        }
        relay = Relay::start(config) => relay?,
    };
    // Beside the signals: a mapping file may take long to read.
    let reload = async {
        loop {
            hangup.recv().await;
            relay.reload().await;
        }
    };
    let broken = tokio::select! {
        () = stop.cancelled() => false,
        () = relay.broken() => true,
        () = reload => false,
    };
    relay.stop().await;
    // Work that is unfinished at the deadline is stored, so this is not a failure.
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// A token that the first SIGTERM or Ctrl-C cancels. The second one ends the process in the signal handler, and the
/// thread ends it after `timeout`: both work even if every other thread is blocked.
fn stop_signal(timeout: Duration) -> anyhow::Result<CancellationToken> {
    const CANNOT: &str = "cannot listen for signals";
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag unset.
        flag::register_conditional_shutdown(signal, 0, Arc::clone(&is_stopping)).context(CANNOT)?;
        flag::register(signal, Arc::clone(&is_stopping)).context(CANNOT)?;
    }
    let mut signals = iterator::Signals::new([SIGTERM, SIGINT]).context(CANNOT)?;
    let stop = CancellationToken::new();
    let cancelled = stop.clone();
    let wait = move || {
        signals.forever().next();
        cancelled.cancel();
        std::thread::sleep(timeout);
        low_level::exit(0);
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).context(CANNOT)?;
    Ok(stop)
}

async fn recover(config: &Config) -> anyhow::Result<()> {
    let path = config.outbox.url.file()?.to_owned();
    let recover = move || outbox::recover(&path, chrono::Utc::now());
    let recovered = tokio::task::spawn_blocking(recover).await?.map_err(StartError::from)?;
    match recovered {
        Some(outbox::Recovery { aside, rows, unreadable, missing }) => {
            telemetry::recovered(&aside, &rows, unreadable);
            if !missing.is_empty() {
                telemetry::lost(missing.commits, missing.rejects, &missing.to_string());
            }
        }
        None => telemetry::nothing_to_recover(),
    }
    Ok(())
}

/// SIGTERM and Ctrl-C, for commands that end by themselves.
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
