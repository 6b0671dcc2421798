//! `outbox move`: moves an outbox, shows how far it is, and renames what was moved.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::MoveArgs;
use crate::cli::print_message;
use crate::config::{Config, OutboxUrl};
use crate::outbox::{Move, OpenError, Options, Outbox};
use crate::run;

/// Records of one commit.
const PAGE: usize = 500;
/// The time between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

pub(super) async fn run(args: &MoveArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let [from_url, to_url] = [parse("--from", &args.from)?, parse("--to", &args.to)?];
    if absolute(&from_url.path) == absolute(&to_url.path) {
        bail!("--from and --to name the same outbox");
    }
    if !from_url.path.exists() {
        return Err(OpenError::Missing { path: from_url.path }).context("nothing was moved");
    }
    let from = open(&from_url, config).await?;
    let to = open(&to_url, config).await?;
    let name = format!("sqlite:{}", absolute(&from_url.path).display());
    let begun = Move::begin(from.clone(), to.clone(), &name, PAGE).await;
    let moved = match begun {
        Ok(begun) => move_all(begun).await,
        Err(error) => Err(error.into()),
    };
    // Both files are complete without their logs, whatever happened.
    from.close().await;
    to.close().await;
    let Moved { records, damaged } = moved?;
    let aside = rename(&from_url.path)?;
    print_message(&format!(
        "moved {records} waiting calls, dead letters and rejects to {}; the old outbox is now {}. Set outbox.url to \"{}\" \
         and start the relay. Dead letters and rejects have new numbers",
        args.to,
        aside.display(),
        args.to
    ));
    if damaged > 0 {
        print_message(&format!(
            "{damaged} are damaged and could not be moved: they are still in {}",
            aside.display()
        ));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn parse(option: &str, url: &str) -> anyhow::Result<OutboxUrl> {
    let url = OutboxUrl::parse(url).map_err(|problem| anyhow!("{option} {problem}"))?;
    url.file().map_err(|_| {
        anyhow!("{option}: this version cannot move an outbox to or from a NATS cluster; let the old relay deliver what waits first")
    })?;
    Ok(url)
}

async fn open(url: &OutboxUrl, config: &Config) -> anyhow::Result<Outbox> {
    let options = Options { path: url.path.clone(), ..run::outbox_options(config) };
    Ok(tokio::task::spawn_blocking(move || Outbox::open(&options)).await??)
}

struct Moved {
    records: u64,
    damaged: u64,
}

async fn move_all(mut moving: Move) -> anyhow::Result<Moved> {
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
    Ok(Moved { records: moving.moved(), damaged: moving.damaged() })
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
