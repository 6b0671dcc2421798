//! Shows a sync: a progress bar on a terminal or else plain lines, and the changes and the summary as data.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::print_message;
use crate::accounts::sync::{AccountName, Direction, Problem, Report, Summary};
use crate::plain::plain;

/// The time between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Characters shown of a name or a reason.
const MAX_SHOWN: usize = 500;
/// Accounts listed under one label. Failures are always all listed.
const MAX_LISTED: usize = 20;

pub(super) struct Show {
    direction: Direction,
    dry_run: bool,
    /// Only if stderr is a terminal.
    bar: Option<ProgressBar>,
    begun: Instant,
    last_line: Instant,
    summary: Option<Summary>,
}

impl Show {
    pub(super) fn new(direction: Direction, dry_run: bool) -> Self {
        let now = Instant::now();
        // On one terminal a bar and the changes would overwrite each other.
        let is_quiet = dry_run && io::stdout().is_terminal();
        let bar = (io::stderr().is_terminal() && !is_quiet).then(bar);
        Self { direction, dry_run, bar, begun: now, last_line: now, summary: None }
    }

    pub(super) fn report(&mut self, report: &Report) -> io::Result<()> {
        match report {
            Report::Reading { accounts } => self.reading(*accounts),
            Report::Progress { done, of } => self.progress(*done, *of),
            Report::Change(_) if !self.dry_run => {}
            Report::Change(_) => writeln!(io::stdout(), "{}", json(report))?,
            Report::Summary(summary) => {
                self.summary = Some(summary.clone());
                if let Some(bar) = &self.bar {
                    bar.finish_and_clear();
                }
                writeln!(io::stdout(), "{}", json(report))?;
            }
        }
        Ok(())
    }

    /// Prints the summary for people. The exit code is 1 unless every account was handled.
    pub(super) fn finish(self) -> anyhow::Result<ExitCode> {
        let Some(summary) = self.summary else {
            bail!("the sync ended without a summary; see the relay's log");
        };
        for line in lines(&summary) {
            print_message(&line);
        }
        Ok(if summary.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn reading(&mut self, accounts: usize) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("{accounts} accounts read from Vitally")),
            None => self.plain(|| format!("{accounts} accounts read from Vitally")),
        }
    }

    fn progress(&mut self, done: usize, of: usize) {
        let begun = self.begun;
        match &self.bar {
            Some(bar) => {
                if bar.length() != Some(of as u64) {
                    bar.set_length(of as u64);
                    bar.set_style(style("{msg}  {wide_bar} {pos}/{len}  {per_sec}  {eta} left"));
                }
                bar.set_position(done as u64);
                bar.set_message(self.direction.name());
            }
            None => self.plain(|| format!("{done} of {of} accounts{}", pace(done, of, begun.elapsed()))),
        }
    }

    fn plain(&mut self, line: impl FnOnce() -> String) {
        if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            print_message(&format!("{}: {}", self.direction.name(), line()));
        }
    }
}

/// Shows only its message until the number of accounts is known.
fn bar() -> ProgressBar {
    ProgressBar::no_length().with_style(style("{msg}"))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `, 42/s, about 60 s left`; empty while the rate is below one per second.
fn pace(done: usize, of: usize, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs().max(1);
    let (done, of) = (done as u64, of as u64);
    match done.checked_div(seconds) {
        Some(rate @ 1..) => format!(", {rate}/s, about {} s left", (of.saturating_sub(done)) / rate),
        _ => String::new(),
    }
}

fn json(report: &Report) -> String {
    // A report has only texts, numbers and JSON, so this cannot fail.
    serde_json::to_string(report).unwrap_or_default()
}

fn lines(summary: &Summary) -> Vec<String> {
    let would = if summary.dry_run { "to be written" } else { "written" };
    let mut lines = vec![format!(
        "{}: {} accounts: {} {would}, {} unchanged, {} done by the last run, {} left to the next run, {} unknown to Accoil, {} skipped, {} failed",
        summary.direction.name(),
        summary.accounts,
        summary.written,
        summary.unchanged,
        summary.resumed,
        summary.waiting,
        summary.unknown.len(),
        summary.skipped.len(),
        summary.failed.len(),
    )];
    let unknown = summary.unknown.iter().map(name).collect();
    list_some(&mut lines, "unknown to Accoil", unknown);
    list_some(&mut lines, "skipped", summary.skipped.iter().map(problem).collect());
    list_some(&mut lines, "note", summary.warnings.iter().map(problem).collect());
    lines.extend(summary.failed.iter().map(|one| format!("  FAILED  {}", problem(one))));
    lines.extend(summary.ended.iter().map(|why| format!("  ENDED EARLY  {}", plain(why, MAX_SHOWN))));
    lines
}

fn list_some(lines: &mut Vec<String>, label: &str, listed: Vec<String>) {
    let more = listed.len().saturating_sub(MAX_LISTED);
    lines.extend(listed.into_iter().take(MAX_LISTED).map(|one| format!("  {label}  {one}")));
    if more > 0 {
        lines.push(format!("  {label}  and {more} more: all are in the summary on stdout"));
    }
}

fn problem(problem: &Problem) -> String {
    let reason = plain(&problem.reason, MAX_SHOWN);
    // A problem without an account concerns the whole run.
    if problem.named == AccountName::default() {
        reason
    } else {
        format!("{}: {reason}", name(&problem.named))
    }
}

fn name(named: &AccountName) -> String {
    let id = named.external_id.as_ref().or(named.account.as_ref()).map_or("an account", String::as_str);
    let name = named.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    plain(&format!("{id}{name}"), MAX_SHOWN)
}
