//! `dead-letters`: lists, shows, exports, replays and purges dead letters and rejects.
//!
//! Reading works beside a running relay. Replay and purge use the admin API of the running relay; if there is none, this
//! command opens the outbox itself. Data goes to stdout and messages to stderr.

mod change;
mod show;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::relay::failure_number;
use super::{print_message, table};
use crate::admin::moment::Moment;
use crate::config::Config;
use crate::outbox::{Archive, Filter, Kind};
use crate::run;
use show::Row;

/// Rows per page.
const PAGE: usize = 256;
/// The default of --limit.
const DEFAULT_LIMIT: usize = 100;

#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// List dead letters and rejects, one line each, the newest first
    List(ListArgs),
    /// Show everything about dead letters and rejects, as indented JSON
    Show(Choice),
    /// Export everything about them, one JSON object per line, the oldest first
    Export(Choice),
    /// Send dead letters again unchanged; run rejects through the current mappings
    Replay(Choice),
    /// Remove dead letters and rejects permanently
    Purge(PurgeArgs),
}

/// Selects dead letters and rejects. All given filters must match.
#[derive(Debug, Args)]
pub struct Choice {
    /// The numbers that `dead-letters list` shows
    #[arg(value_name = "ID", value_parser = failure_number)]
    ids: Vec<i64>,
    /// Numbers as an option, separated by commas
    #[arg(long = "id", value_name = "ID", value_delimiter = ',', value_parser = failure_number)]
    more_ids: Vec<i64>,
    /// Only calls that Accoil refused for good, or only events that could not be mapped [default: both]
    #[arg(long, value_enum)]
    kind: Option<KindName>,
    /// The destination of a dead letter
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// The user id
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// The event's id or its name
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// The event's `messageId` or `insert_id`
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// A part of the reason
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// From this time on: RFC 3339, a date, or how long ago, such as 2h
    #[arg(long, value_name = "TIME")]
    since: Option<Moment>,
    /// Up to this time, not including it
    #[arg(long, value_name = "TIME")]
    until: Option<Moment>,
    /// The most rows [default for `list`: 100]
    #[arg(long, value_name = "NUMBER")]
    limit: Option<usize>,
}

#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    choice: Choice,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct PurgeArgs {
    #[command(flatten)]
    choice: Choice,
    /// Required to remove all of them, or all of a kind, without a filter
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
            ids: self.ids.iter().chain(&self.more_ids).copied().collect(),
            destination: self.destination.clone(),
            user: self.user.clone(),
            event: self.event.clone(),
            message_id: self.message_id.clone(),
            reason: self.reason.clone(),
            since: self.since.map(|moment| moment.0),
            until: self.until.map(|moment| moment.0),
            ..Filter::default()
        }
    }

    fn kind(&self) -> Option<Kind> {
        self.kind.map(Kind::from)
    }

    fn kinds(&self) -> impl Iterator<Item = Kind> {
        let wanted = self.kind();
        Kind::ALL.into_iter().filter(move |kind| wanted.is_none_or(|wanted| wanted == *kind))
    }

    /// Whether there is no filter except the kind.
    const fn is_everything(&self) -> bool {
        self.ids.is_empty()
            && self.more_ids.is_empty()
            && self.destination.is_none()
            && self.user.is_none()
            && self.event.is_none()
            && self.message_id.is_none()
            && self.reason.is_none()
            && self.since.is_none()
            && self.until.is_none()
            && self.limit.is_none()
    }
}

pub async fn run(what: DeadLetters, config: &Config) -> anyhow::Result<ExitCode> {
    match what {
        DeadLetters::List(args) => list(&args, config),
        DeadLetters::Show(choice) => show(&choice, config),
        DeadLetters::Export(choice) => {
            each(&choice, config, |row| row.to_json().to_string())?;
            Ok(ExitCode::SUCCESS)
        }
        DeadLetters::Replay(choice) => change::replay(&choice, config).await,
        DeadLetters::Purge(args) => change::purge(&args, config).await,
    }
}

fn list(args: &ListArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let archive = Archive::open(config.outbox.url.file()?)?;
    let (filter, most) = (args.choice.filter(), args.choice.limit.unwrap_or(DEFAULT_LIMIT));
    let mut rows = Vec::new();
    for kind in args.choice.kinds() {
        match kind {
            Kind::DeadLetter => {
                let letters = archive.newest_dead_letters(&filter, i64::MAX, most)?;
                rows.extend(letters.into_iter().map(Row::Letter));
            }
            Kind::Reject => {
                let rejects = archive.newest_rejects(&filter, i64::MAX, most)?;
                rows.extend(rejects.into_iter().map(Row::Reject));
            }
        }
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.id()));
    rows.truncate(most);
    let redactor = run::redactor(config);
    let rows: Vec<_> = rows.into_iter().map(|row| row.without_hidden(&redactor)).collect();
    let mut output = io::BufWriter::new(io::stdout().lock());
    if args.json {
        for row in &rows {
            writeln!(output, "{}", row.to_json())?;
        }
    } else {
        let cells: Vec<_> = rows.iter().map(Row::cells).collect();
        table::write(&mut output, show::HEADER, &cells)?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn show(choice: &Choice, config: &Config) -> anyhow::Result<ExitCode> {
    let shown = each(choice, config, |row| format!("{:#}", row.to_json()))?;
    let missing: Vec<_> = choice.filter().ids.into_iter().filter(|id| !shown.contains(id)).collect();
    for id in &missing {
        print_message(&format!(
            "there is no dead letter or reject {id}: it was replayed, purged or expired, or never existed; `accoil-relay dead-letters list` shows those that exist"
        ));
    }
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Prints each row, the oldest first. Returns their numbers.
fn each(choice: &Choice, config: &Config, print: impl Fn(&Row) -> String) -> anyhow::Result<Vec<i64>> {
    let archive = Archive::open(config.outbox.url.file()?)?;
    let (filter, mut output) = (choice.filter(), io::BufWriter::new(io::stdout().lock()));
    let redactor = run::redactor(config);
    let (mut shown, mut after, limit) = (Vec::new(), 0, choice.limit.unwrap_or(usize::MAX));
    while shown.len() < limit {
        let most = PAGE.min(limit - shown.len());
        let mut rows = Vec::new();
        for kind in choice.kinds() {
            match kind {
                Kind::DeadLetter => {
                    rows.extend(archive.dead_letters(&filter, after, most)?.into_iter().map(Row::Letter));
                }
                Kind::Reject => {
                    rows.extend(archive.rejects(&filter, after, most)?.into_iter().map(Row::Reject));
                }
            }
        }
        rows.sort_by_key(Row::id);
        rows.truncate(most);
        let Some(last) = rows.last() else { break };
        after = last.id();
        for row in rows {
            shown.push(row.id());
            writeln!(output, "{}", print(&row.without_hidden(&redactor)))?;
        }
    }
    output.flush()?;
    Ok(shown)
}
