//! `outbox move`: moves an outbox, shows how far it is, and renames what was moved.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::MoveArgs;
use crate::cli::print_message;
use crate::config::{Config, OutboxUrl};
use crate::facts::Facts;
use crate::outbox::{Move, OpenError, Options, Outbox, nats};
use crate::run;

/// Records of one commit.
const PAGE: usize = 1000;
/// A process that works on a cluster alone owns all its lanes after this.
const NOTICED: Duration = Duration::from_secs(2);
/// Of this process: after a kill the next run waits for its end.
const LEASE: Duration = Duration::from_secs(3);
/// Added to the lease of a relay that was killed.
const LEASES_END: Duration = Duration::from_secs(5);
/// The time between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

pub(super) async fn run(args: &MoveArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let [from_url, to_url] = [parse("--from", &args.from)?, parse("--to", &args.to)?];
    let [from_name, to_name] = [name(&from_url), name(&to_url)];
    if from_name == to_name {
        bail!("--from and --to name the same outbox");
    }
    if from_url.servers.is_empty() && !from_url.path.exists() {
        return Err(OpenError::Missing { path: from_url.path }).context("nothing was moved");
    }
    let from = open(&from_url, Some(&to_name), config).await?;
    let to = open(&to_url, None, config).await?;
    let moved = move_all(&from, &to, &from_name, &to_name, config).await;
    // Both are complete, whatever happened: files without their logs, lanes given back.
    from.close().await;
    to.close().await;
    let MoveResult { records, damaged } = moved?;
    let old = if from_url.servers.is_empty() {
        format!("the old outbox is now {}", rename(&from_url.path)?.display())
    } else {
        format!(
            "the stream {} is marked as moved, and no relay starts on it: remove it with `nats stream rm` when nobody needs it",
            config.outbox.stream
        )
    };
    print_message(&format!(
        "moved {records} waiting calls, dead letters and rejects to {}; {old}. Set outbox.url to \"{}\" and start the relay. Dead \
         letters and rejects have new numbers",
        args.to, args.to
    ));
    if damaged > 0 {
        print_message(&format!("{damaged} are damaged and could not be moved: they stay in the old outbox"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(option: &str, url: &str) -> anyhow::Result<OutboxUrl> {
    OutboxUrl::parse(url).map_err(|problem| anyhow!("{option} {problem}"))
}

/// The name of an outbox, by which a move that is continued knows it.
fn name(url: &OutboxUrl) -> String {
    if url.servers.is_empty() { format!("sqlite:{}", absolute(&url.path).display()) } else { url.shown() }
}

/// `moves_to` is the new outbox, if this is the old one.
async fn open(url: &OutboxUrl, moves_to: Option<&str>, config: &Config) -> anyhow::Result<Outbox> {
    if !url.servers.is_empty() {
        let moves_to = moves_to.map(str::to_owned);
        let options = nats::Options { moves_to, lease: LEASE, ..run::cluster_options(config, &url.servers) };
        return Ok(Outbox::open_cluster(&options, Facts::off(), &CancellationToken::new()).await?);
    }
    let options = Options { path: url.path.clone(), ..run::outbox_options(config) };
    Ok(tokio::task::spawn_blocking(move || Outbox::open(&options)).await??)
}

/// Waits until no relay works on the outbox any more.
async fn wait_until_alone(outbox: &Outbox, name: &str, config: &Config) -> anyhow::Result<()> {
    if outbox.is_alone(NOTICED).await {
        return Ok(());
    }
    print_message("waiting until the leases of relays that were killed have ended");
    let lease = run::cluster_options(config, &[]).lease;
    if !outbox.is_alone(lease + LEASES_END).await {
        bail!("a relay works on {name}: stop all relays on it first");
    }
    Ok(())
}

async fn move_all(
    from: &Outbox,
    to: &Outbox,
    from_name: &str,
    to_name: &str,
    config: &Config,
) -> anyhow::Result<MoveResult> {
    wait_until_alone(from, from_name, config).await?;
    wait_until_alone(to, to_name, config).await?;
    let moving = Move::begin(from.clone(), to.clone(), from_name, PAGE).await?;
    from.mark_moved(to_name).await?;
    move_records(moving).await
}

struct MoveResult {
    records: u64,
    damaged: u64,
}

async fn move_records(mut moving: Move) -> anyhow::Result<MoveResult> {
    if moving.moved() > 0 {
        print_message(&format!("continuing after {} of {}", moving.moved(), moving.records()));
    }
    let bar = io::stderr().is_terminal().then(|| bar(moving.records()));
    let mut last_line = Instant::now();
    loop {
        let is_more = moving.step().await?;
        if let Some(bar) = &bar {
            bar.set_position(moving.moved());
        } else if last_line.elapsed() >= LINE_INTERVAL {
            last_line = Instant::now();
            print_message(&format!("{} of {} moved", moving.moved(), moving.records()));
        }
        if !is_more {
            break;
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(MoveResult { records: moving.moved(), damaged: moving.damaged() })
}

fn bar(records: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len}  {per_sec}  {eta} left");
    ProgressBar::new(records).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn absolute(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let in_folder = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
}

/// Renames the file, and its log if there is one. Returns the new name.
fn rename(path: &Path) -> anyhow::Result<PathBuf> {
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = format!(".moved-{}", chrono::Utc::now().format("%Y%m%dT%H%M%SZ"));
    for ending in ["-wal", "-shm", ""] {
        let old = beside(ending);
        if old.exists() {
            std::fs::rename(&old, beside(&format!("{aside}{ending}"))).with_context(|| {
                format!(
                    "everything was moved, and {} could not be renamed: do not start a relay on it",
                    old.display()
                )
            })?;
        }
    }
    Ok(beside(&aside))
}
