//! The reports of a sync: progress, changes and the summary, for people, programs and other processes.
//!
//! In HTTP answers and on stdout each report is one JSON object per line: `{"change":{…}}`, `{"summary":{…}}`. A report holds
//! ids of accounts, never a key.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::plain::plain;

/// How long a slow listener may take to receive the summary.
const SUMMARY_SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Characters of a reason in the log.
const MAX_REASON: usize = 500;

/// From which system to which a sync writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    VitallyToAccoil,
    AccoilToVitally,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::VitallyToAccoil, Self::AccoilToVitally];

    /// The name in commands, routes, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VitallyToAccoil => "vitally-to-accoil",
            Self::AccoilToVitally => "accoil-to-vitally",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|direction| direction.name() == name)
    }
}

/// One report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// The number of accounts read from Vitally so far.
    Reading { accounts: usize },
    /// The number of accounts handled so far.
    Progress { done: usize, of: usize },
    /// A call that is made, or that a dry run would make.
    Change(Change),
    /// The last one.
    Summary(Summary),
}

/// The names by which people know an account.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountName {
    /// Vitally's own id.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
}

/// One call, exactly as it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    #[serde(flatten)]
    pub named: AccountName,
    /// The destination's name, or `vitally`.
    pub to: String,
    pub method: String,
    pub path: String,
    pub body: Value,
    /// The traits before the call, if they are known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Value>,
}

/// An account and why it was skipped, failed or got a warning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(flatten)]
    pub named: AccountName,
    pub reason: String,
}

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub direction: Direction,
    pub dry_run: bool,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Accounts read from Vitally, skipped ones included.
    pub accounts: usize,
    /// Accounts written, or that a dry run would write.
    pub written: usize,
    pub unchanged: usize,
    /// Accounts that the last, interrupted run had handled.
    pub resumed: usize,
    /// Accounts left to the next run, because this run ended early.
    pub waiting: usize,
    /// Accounts that this sync does not handle.
    pub skipped: Vec<Problem>,
    /// Accounts that Accoil does not have.
    pub unknown: Vec<AccountName>,
    /// Values that were left out or not cleared.
    pub warnings: Vec<Problem>,
    pub failed: Vec<Problem>,
    /// Why the run ended early.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<String>,
}

impl Summary {
    pub(super) fn new(direction: Direction, dry_run: bool) -> Self {
        Self {
            direction,
            dry_run,
            at: Utc::now(),
            accounts: 0,
            written: 0,
            unchanged: 0,
            resumed: 0,
            waiting: 0,
            skipped: Vec::new(),
            unknown: Vec::new(),
            warnings: Vec::new(),
            failed: Vec::new(),
            ended: None,
        }
    }

    /// Whether every account was handled and none failed.
    pub const fn is_success(&self) -> bool {
        self.failed.is_empty() && self.ended.is_none()
    }

    /// Logs the result of the run and the first reason of a failure. `GET /api/sync` has all reasons.
    pub(super) fn log(&self) {
        let direction = self.direction.name();
        let (skipped, unknown, failed) = (self.skipped.len(), self.unknown.len(), self.failed.len());
        let reason = self.ended.as_ref().or(self.failed.first().map(|first| &first.reason));
        match reason {
            None => tracing::info!(
                sync.direction = direction,
                sync.accounts = self.accounts,
                sync.written = self.written,
                sync.unchanged = self.unchanged,
                sync.skipped = skipped,
                sync.unknown = unknown,
                "a sync has ended"
            ),
            Some(reason) => tracing::error!(
                sync.direction = direction,
                sync.accounts = self.accounts,
                sync.written = self.written,
                sync.failed = failed,
                sync.ended_early = self.ended.is_some(),
                error.message = plain(reason, MAX_REASON),
                "a sync has ended, but not every account was handled: GET /api/sync has all reasons"
            ),
        }
    }

    pub(super) fn fail(&mut self, named: AccountName, reason: impl Into<String>) {
        self.failed.push(Problem { named, reason: reason.into() });
    }

    pub(super) fn warn(&mut self, named: &AccountName, reason: impl Into<String>) {
        self.warnings.push(Problem { named: named.clone(), reason: reason.into() });
    }
}

/// Where reports go.
#[derive(Debug, Clone)]
pub(super) struct Reports {
    listener: Option<mpsc::Sender<Report>>,
    /// Whether to wait for a slow listener. If not, it misses reports that do not fit its buffer, except the summary.
    waits_for_listener: bool,
}

impl Reports {
    pub(super) const fn to(listener: mpsc::Sender<Report>, waits_for_listener: bool) -> Self {
        Self { listener: Some(listener), waits_for_listener }
    }

    pub(super) const fn discarded() -> Self {
        Self { listener: None, waits_for_listener: false }
    }

    pub(super) async fn send(&self, report: Report) {
        // The listener may have disconnected.
        match &self.listener {
            Some(listener) if self.waits_for_listener => drop(listener.send(report).await),
            Some(listener) => drop(listener.try_send(report)),
            None => {}
        }
    }

    /// Sends the last report.
    pub(super) async fn finish(&self, summary: Summary) {
        if let Some(listener) = &self.listener {
            let _ = listener.send_timeout(Report::Summary(summary), SUMMARY_SEND_TIMEOUT).await;
        }
    }

    /// Returns when the listener has disconnected; never returns if there is none.
    pub(super) async fn listener_gone(&self) {
        match &self.listener {
            Some(listener) => listener.closed().await,
            None => std::future::pending().await,
        }
    }
}
