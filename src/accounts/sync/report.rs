//! What a sync tells while it runs and in the end; the same to a person, a program and another process.
//!
//! On the wire and on stdout each is one JSON object a line: `{"change":{…}}`, `{"summary":{…}}`. Holds ids, never a key.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;

/// How long a report waits for a listener that does not take it, before it counts as gone.
const PATIENCE: Duration = Duration::from_secs(10);
const DRY_RUN_PATIENCE: Duration = Duration::from_secs(600);

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
    /// So many accounts have been read from Vitally.
    Reading { accounts: usize },
    /// So many of all have been seen to.
    Progress { done: usize, of: usize },
    /// A call that is made, or in a dry run would be.
    Change(Change),
    /// The last one.
    Summary(Summary),
}

/// By which names an account is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Named {
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
    pub named: Named,
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
    pub named: Named,
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
    /// Seen to by the run before, which was broken off.
    pub resumed: usize,
    /// Not for this sync, and why.
    pub skipped: Vec<Problem>,
    /// Accoil does not know them.
    pub unknown: Vec<Named>,
    /// Written without something, or not cleared, and why.
    pub warnings: Vec<Problem>,
    pub failed: Vec<Problem>,
    /// Why it ended before every account was seen to.
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
            skipped: Vec::new(),
            unknown: Vec::new(),
            warnings: Vec::new(),
            failed: Vec::new(),
            ended: None,
        }
    }

    /// Every account was seen to, and none failed.
    pub const fn is_success(&self) -> bool {
        self.failed.is_empty() && self.ended.is_none()
    }

    pub(super) fn fail(&mut self, named: Named, reason: impl Into<String>) {
        self.failed.push(Problem { named, reason: reason.into() });
    }

    pub(super) fn warn(&mut self, named: &Named, reason: impl Into<String>) {
        self.warnings.push(Problem { named: named.clone(), reason: reason.into() });
    }
}

/// Where reports go; nowhere if nobody listens, or no longer.
#[derive(Debug)]
pub struct Reports {
    listener: Option<mpsc::Sender<Report>>,
    patience: Duration,
    has_gone: AtomicBool,
}

impl Reports {
    /// A dry run is for whoever listens, who may read it page by page; a real run is not held up by one that stalls.
    pub const fn to(listener: mpsc::Sender<Report>, dry_run: bool) -> Self {
        let patience = if dry_run { DRY_RUN_PATIENCE } else { PATIENCE };
        Self { listener: Some(listener), patience, has_gone: AtomicBool::new(false) }
    }

    pub const fn nowhere() -> Self {
        Self { listener: None, patience: PATIENCE, has_gone: AtomicBool::new(false) }
    }

    pub(super) async fn tell(&self, report: Report) {
        let Some(listener) = &self.listener else { return };
        if !self.has_gone.load(Ordering::Relaxed)
            && listener.send_timeout(report, self.patience).await.is_err()
        {
            // The run goes on.
            self.has_gone.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_listening_holds_up_a_run_only_once() {
        let (listener, mut heard) = mpsc::channel(2);
        let (reports, start) = (Reports::to(listener, false), tokio::time::Instant::now());
        for done in 0..100 {
            reports.tell(Report::Progress { done, of: 100 }).await;
        }
        assert_eq!(start.elapsed(), PATIENCE);
        for done in 0..2 {
            assert_eq!(heard.recv().await, Some(Report::Progress { done, of: 100 }));
        }
        // Without gaps: what was not heard is not followed by what came later.
        reports.tell(Report::Progress { done: 100, of: 100 }).await;
        drop(reports);
        assert_eq!(heard.recv().await, None);
    }
}
