//! `dead-letters`: what could not be delivered or mapped; list, show and export it, send it again, or remove it.
//!
//! Reading works while a relay runs. Replay and purge change the outbox, which has one owner: they need the relay
//! stopped, and say so. stdout has the data, a line each; stderr the talk.

mod replay;
mod show;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chrono::{DateTime, NaiveDate, Utc};
use clap::{Args, Subcommand, ValueEnum};

use super::say;
use crate::config::{self, Config};
use crate::outbox::{Archive, Filter, Kind, OpenError, Outbox};
use crate::run;

/// Rows read or changed at a time.
const PAGE: usize = 256;
/// Rows listed if nothing is said of it.
const LISTED: usize = 100;

#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// One line each, the newest first
    List(Choice),
    /// All that is known of each, as JSON to be read by people
    Show(Choice),
    /// All that is known of each, as one JSON object a line, the oldest first
    Export(Choice),
    /// Send dead letters again as they are; run rejects through the mappings as they are now
    Replay(Choice),
    /// Remove them for good
    Purge(PurgeArgs),
}

/// Which of them; all that is given must hold.
#[derive(Debug, Args)]
pub struct Choice {
    /// Calls that Accoil refused for good, or events that could not be mapped
    #[arg(long, value_enum, default_value_t = KindName::DeadLetter)]
    kind: KindName,
    /// These alone; more than one with commas
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    id: Vec<i64>,
    /// The destination of a dead letter
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// The user id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// A part of the reason
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// From this time on: RFC 3339, a date, or how long ago, such as 2h
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Up to this time, not including it
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// So many at most; `list` shows 100 if nothing is said
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    choice: Choice,
    /// Needed to remove all of a kind, without any filter
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KindName {
    DeadLetter,
    Reject,
}

impl From<KindName> for Kind {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::DeadLetter => Self::DeadLetter,
            KindName::Reject => Self::Reject,
        }
    }
}

impl Choice {
    fn filter(&self) -> Filter {
        Filter {
            ids: self.id.clone(),
            destination: self.destination.clone(),
            user: self.user.clone(),
            event: None,
            message_id: None,
            reason: self.reason.clone(),
            since: self.since,
            until: self.until,
        }
    }

    const fn is_everything(&self) -> bool {
        self.id.is_empty()
            && self.destination.is_none()
            && self.user.is_none()
            && self.reason.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.limit.is_none()
    }
}

pub async fn run(what: DeadLetters, config: &Config) -> anyhow::Result<ExitCode> {
    match what {
        DeadLetters::List(choice) => list(&choice, config),
        DeadLetters::Show(choice) => each(&choice, config, |row| format!("{row:#}")),
        DeadLetters::Export(choice) => each(&choice, config, |row| row.to_string()),
        DeadLetters::Replay(choice) => replay::run(&choice, config).await,
        DeadLetters::Purge(args) => purge(&args, config).await,
    }
}

fn list(choice: &Choice, config: &Config) -> anyhow::Result<ExitCode> {
    let archive = Archive::open(&config.outbox.path)?;
    let (filter, most) = (choice.filter(), choice.limit.unwrap_or(LISTED));
    let lines: Vec<String> = match choice.kind {
        KindName::DeadLetter => {
            archive.newest_dead_letters(&filter, i64::MAX, most)?.iter().map(show::letter_line).collect()
        }
        KindName::Reject => {
            archive.newest_rejects(&filter, i64::MAX, most)?.iter().map(show::reject_line).collect()
        }
    };
    let mut output = io::BufWriter::new(io::stdout().lock());
    for line in &lines {
        writeln!(output, "{line}")?;
    }
    output.flush()?;
    if lines.is_empty() {
        say("none");
    }
    Ok(ExitCode::SUCCESS)
}

fn each(
    choice: &Choice,
    config: &Config,
    print: impl Fn(serde_json::Value) -> String,
) -> anyhow::Result<ExitCode> {
    let archive = Archive::open(&config.outbox.path)?;
    let (filter, mut output) = (choice.filter(), io::BufWriter::new(io::stdout().lock()));
    let mut pages = Pages::new(choice.limit);
    while let Some((after, most)) = pages.next() {
        let rows: Vec<(i64, serde_json::Value)> = match choice.kind {
            KindName::DeadLetter => {
                let letters = archive.dead_letters(&filter, after, most)?;
                letters.iter().map(|letter| (letter.id, show::letter(letter))).collect()
            }
            KindName::Reject => {
                let rejects = archive.rejects(&filter, after, most)?;
                rejects.iter().map(|reject| (reject.id, show::reject(reject))).collect()
            }
        };
        pages.had(rows.len(), rows.last().map(|(id, _)| *id));
        for (_, row) in rows {
            writeln!(output, "{}", print(row))?;
        }
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn purge(args: &PurgeArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let choice = &args.choice;
    if choice.is_everything() && !args.all {
        bail!("this would remove everything of this kind: say which with a filter, or --all");
    }
    let outbox = open(config).await?;
    let archive = Archive::open(&config.outbox.path)?;
    let (filter, mut pages, mut removed) = (choice.filter(), Pages::new(choice.limit), 0);
    while let Some((after, most)) = pages.next() {
        let ids = ids(&archive, choice.kind, &filter, after, most)?;
        pages.had(ids.len(), ids.last().copied());
        removed += outbox.purge(ids).await?;
    }
    outbox.close().await;
    say(&format!("{removed} removed"));
    Ok(ExitCode::SUCCESS)
}

fn ids(
    archive: &Archive,
    kind: KindName,
    filter: &Filter,
    after: i64,
    most: usize,
) -> anyhow::Result<Vec<i64>> {
    Ok(match kind {
        KindName::DeadLetter => {
            archive.dead_letters(filter, after, most)?.iter().map(|letter| letter.id).collect()
        }
        KindName::Reject => archive.rejects(filter, after, most)?.iter().map(|reject| reject.id).collect(),
    })
}

/// The outbox as its one owner.
async fn open(config: &Config) -> anyhow::Result<Outbox> {
    let options = run::outbox_options(config);
    if !options.path.exists() {
        return Err(OpenError::Missing { path: options.path }.into());
    }
    let opened = tokio::task::spawn_blocking(move || Outbox::open(&options)).await?;
    if matches!(opened, Err(OpenError::InUse { .. })) {
        return opened.context("a relay is running on this outbox: stop it, do this, start it again");
    }
    Ok(opened?)
}

/// Where the next page begins and how many rows it may have.
struct Pages {
    after: i64,
    left: usize,
    is_over: bool,
}

impl Pages {
    fn new(limit: Option<usize>) -> Self {
        Self { after: 0, left: limit.unwrap_or(usize::MAX), is_over: false }
    }

    fn next(&self) -> Option<(i64, usize)> {
        let most = self.left.min(PAGE);
        (!self.is_over && most > 0).then_some((self.after, most))
    }

    fn had(&mut self, rows: usize, last: Option<i64>) {
        self.is_over = rows < self.left.min(PAGE);
        self.left -= rows;
        self.after = last.unwrap_or(self.after);
    }
}

/// A time as people write one.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    if let Some(ago) = config::parse_duration(text).and_then(|ago| chrono::Duration::from_std(ago).ok()) {
        return Ok(Utc::now() - ago);
    }
    let midnight = text.parse::<NaiveDate>().ok().and_then(|date| date.and_hms_opt(0, 0, 0));
    let unknown =
        || "write 2026-01-31T12:00:00Z, 2026-01-31, or how long ago, such as 30m, 2h or 7d".to_owned();
    midnight.map(|midnight| midnight.and_utc()).ok_or_else(unknown)
}
