//! What a sync reports while it runs and at its end, the same to a person, a program and another process.
//!
//! On the wire and on stdout each is one JSON object a line: `{"change":{…}}`, `{"summary":{…}}`. Holds ids, never a key.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::plain::plain;

/// For a listener to take the summary.
const PATIENCE: Duration = Duration::from_secs(10);
/// Characters of a reason in the log.
const MAX_REASON: usize = 500;

/// Which way accounts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    VitallyToAccoil,
    AccoilToVitally,
}

impl Direction {
    pub const ALL: [Self; 2] = [Self::VitallyToAccoil, Self::AccoilToVitally];

    /// As commands, routes, metrics and logs say it.
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

/// One thing that a sync tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// How many accounts have been read from Vitally so far.
    Reading { accounts: usize },
    /// How many of all accounts are done.
    Progress { done: usize, of: usize },
    /// A call that is made, or in a dry run would be.
    Change(Change),
    /// The last one.
    Summary(Summary),
}

/// By which names an account is known.
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

/// The exact call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    #[serde(flatten)]
    pub named: AccountName,
    /// The destination's name, or `vitally`.
    pub to: String,
    pub method: String,
    pub path: String,
    pub body: Value,
    /// The traits as they are before it, where they are known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Value>,
}

/// An account, and what is the matter with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(flatten)]
    pub named: AccountName,
    pub reason: String,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub direction: Direction,
    pub dry_run: bool,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Read from Vitally, each once; what is skipped among them.
    pub accounts: usize,
    /// Written, or in a dry run to be written.
    pub written: usize,
    pub unchanged: usize,
    /// Handled by the run before, which was broken off.
    pub resumed: usize,
    /// Left to the next run: this one ended early.
    pub waiting: usize,
    /// Not for this sync, and why.
    pub skipped: Vec<Problem>,
    /// Accoil does not know them.
    pub unknown: Vec<AccountName>,
    /// Written without something, or not cleared, and why.
    pub warnings: Vec<Problem>,
    pub failed: Vec<Problem>,
    /// Why it ended before every account was handled.
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

    /// Every account was handled, and none failed.
    pub const fn is_success(&self) -> bool {
        self.failed.is_empty() && self.ended.is_none()
    }

    /// Logs how the run ended and, if not well, the first reason. The others are in `GET /api/sync`.
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
    /// Whether a slow listener is waited for; else it misses what it has no room for, but the summary.
    is_patient: bool,
}

impl Reports {
    pub(super) const fn to(listener: mpsc::Sender<Report>, is_patient: bool) -> Self {
        Self { listener: Some(listener), is_patient }
    }

    pub(super) const fn nowhere() -> Self {
        Self { listener: None, is_patient: false }
    }

    pub(super) async fn tell(&self, report: Report) {
        // The listener may have gone.
        match &self.listener {
            Some(listener) if self.is_patient => drop(listener.send(report).await),
            Some(listener) => drop(listener.try_send(report)),
            None => {}
        }
    }

    /// The last report.
    pub(super) async fn conclude(&self, summary: Summary) {
        if let Some(listener) = &self.listener {
            let _ = listener.send_timeout(Report::Summary(summary), PATIENCE).await;
        }
    }

    /// Ends when the listener has gone. Never ends if there was none.
    pub(super) async fn listener_gone(&self) {
        match &self.listener {
            Some(listener) => listener.closed().await,
            None => std::future::pending().await,
        }
    }
}
