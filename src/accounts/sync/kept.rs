//! The runs that are kept: when each began and ended, by whom it was started, its counts, and why it failed.
//!
//! A run is written when it begins and again when it ends, in the file of [`SyncState`]. One that has no end and does not run any
//! more was interrupted. Dry runs are not kept.

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};

use super::report::{Direction, Summary};
use super::state::{StateError, SyncState};

pub(super) const SCHEMA: &str = "
CREATE TABLE kept_runs (id INTEGER PRIMARY KEY AUTOINCREMENT, direction TEXT NOT NULL, cause TEXT NOT NULL,
    begun_at INTEGER NOT NULL, ended_at INTEGER, counts TEXT, summary TEXT) STRICT;
";
/// The runs that are kept of each direction.
const MAX_RUNS: i64 = 50;
/// The accounts of one kind that are kept of a run; the counts are of all.
const MAX_ACCOUNTS: usize = 1_000;
const COLUMNS: &str = "id, direction, cause, begun_at, ended_at, counts";

/// Who started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    Schedule,
    /// A command, the API, or the dashboard.
    Request,
}

impl Cause {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Request => "request",
        }
    }
}

/// A run in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRun {
    pub id: i64,
    pub direction: Direction,
    pub cause: Cause,
    pub begun_at: DateTime<Utc>,
    /// `None` while it runs, and if it was interrupted.
    pub ended_at: Option<DateTime<Utc>>,
    /// Zeros if it has not ended.
    pub counts: Counts,
}

/// How many accounts each thing happened to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub accounts: usize,
    pub written: usize,
    pub unchanged: usize,
    pub resumed: usize,
    pub waiting: usize,
    pub skipped: usize,
    pub unknown: usize,
    pub warnings: usize,
    pub failed: usize,
    /// Why the run ended early, or else the reason of its first failure.
    pub reason: Option<String>,
}

impl Counts {
    fn of(summary: &Summary) -> Self {
        let first = summary.failed.first().map(|problem| &problem.reason);
        Self {
            accounts: summary.accounts,
            written: summary.written,
            unchanged: summary.unchanged,
            resumed: summary.resumed,
            waiting: summary.waiting,
            skipped: summary.skipped.len(),
            unknown: summary.unknown.len(),
            warnings: summary.warnings.len(),
            failed: summary.failed.len(),
            reason: summary.ended.as_ref().or(first).cloned(),
        }
    }
}

impl SyncState {
    /// Notes that a run begins; returns its number. Forgets the oldest run if there are many.
    pub(super) async fn begin_kept(
        &self,
        direction: Direction,
        cause: Cause,
        at: DateTime<Utc>,
    ) -> Result<i64, StateError> {
        self.with(move |connection| {
            let change = connection.transaction()?;
            change.execute(
                "INSERT INTO kept_runs (direction, cause, begun_at) VALUES (?1, ?2, ?3)",
                params![direction.name(), cause.name(), at.timestamp_millis()],
            )?;
            let id = change.last_insert_rowid();
            change.execute(
                "DELETE FROM kept_runs WHERE direction = ?1 AND id NOT IN
                 (SELECT id FROM kept_runs WHERE direction = ?1 ORDER BY id DESC LIMIT ?2)",
                params![direction.name(), MAX_RUNS],
            )?;
            change.commit()?;
            Ok(id)
        })
        .await
    }

    /// Notes how a run ended.
    pub(super) async fn end_kept(&self, id: i64, summary: &Summary) -> Result<(), StateError> {
        let (at, counts) = (summary.at.timestamp_millis(), Counts::of(summary));
        let mut summary = summary.clone();
        for problems in [&mut summary.skipped, &mut summary.warnings, &mut summary.failed] {
            problems.truncate(MAX_ACCOUNTS);
        }
        summary.unknown.truncate(MAX_ACCOUNTS);
        // They have only texts and numbers, so this cannot fail.
        let counts = serde_json::to_string(&counts).unwrap_or_default();
        let summary = serde_json::to_string(&summary).unwrap_or_default();
        self.with(move |connection| {
            connection
                .prepare_cached(
                    "UPDATE kept_runs SET ended_at = ?2, counts = ?3, summary = ?4 WHERE id = ?1",
                )?
                .execute(params![id, at, counts, summary])
                .map(drop)
        })
        .await
    }

    /// The kept runs, the newest first.
    pub(super) async fn kept_runs(&self) -> Result<Vec<KeptRun>, StateError> {
        self.with(|connection| {
            let sql = format!("SELECT {COLUMNS} FROM kept_runs ORDER BY id DESC");
            let mut statement = connection.prepare_cached(&sql)?;
            statement.query_map([], run)?.collect()
        })
        .await
    }

    /// A run and its summary, which it has if it ended.
    pub(super) async fn kept_run(&self, id: i64) -> Result<Option<(KeptRun, Option<Summary>)>, StateError> {
        self.with(move |connection| {
            let sql = format!("SELECT {COLUMNS}, summary FROM kept_runs WHERE id = ?1");
            let mut statement = connection.prepare_cached(&sql)?;
            let read = |row: &Row<'_>| {
                let summary = row.get::<_, Option<String>>(6)?;
                Ok((run(row)?, summary.and_then(|text| serde_json::from_str(&text).ok())))
            };
            statement.query_row([id], read).optional()
        })
        .await
    }
}

fn run(row: &Row<'_>) -> rusqlite::Result<KeptRun> {
    let time = |at: i64| DateTime::from_timestamp_millis(at).unwrap_or_default();
    let counts = row.get::<_, Option<String>>(5)?;
    Ok(KeptRun {
        id: row.get(0)?,
        direction: if row.get_ref(1)?.as_str()? == Direction::VitallyToAccoil.name() {
            Direction::VitallyToAccoil
        } else {
            Direction::AccoilToVitally
        },
        cause: if row.get_ref(2)?.as_str()? == Cause::Schedule.name() {
            Cause::Schedule
        } else {
            Cause::Request
        },
        begun_at: time(row.get(3)?),
        ended_at: row.get::<_, Option<i64>>(4)?.map(time),
        counts: counts.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::sync::{AccountName, Problem};

    #[tokio::test]
    async fn runs_are_kept_within_their_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let state = SyncState::open(&folder.path().join("relay.db.accounts")).unwrap();
        let at = DateTime::UNIX_EPOCH;
        let direction = Direction::VitallyToAccoil;
        let other = state.begin_kept(Direction::AccoilToVitally, Cause::Schedule, at).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..MAX_RUNS + 3 {
            ids.push(state.begin_kept(direction, Cause::Request, at).await.unwrap());
        }
        let problem = Problem { named: AccountName::default(), reason: "no".to_owned() };
        let failed = vec![problem; MAX_ACCOUNTS + 1];
        let summary = Summary { at, written: 7, failed, ..Summary::new(direction, false) };
        let last = *ids.last().unwrap();
        state.end_kept(last, &summary).await.unwrap();

        let kept = state.kept_runs().await.unwrap();
        let found: Vec<i64> = kept.iter().map(|run| run.id).collect();
        let expected: Vec<i64> = ids[3..].iter().rev().copied().chain([other]).collect();
        assert_eq!(found, expected, "the newest of each direction");
        let reason = Some("no".to_owned());
        let counts = Counts { written: 7, failed: MAX_ACCOUNTS + 1, reason, ..Counts::default() };
        assert_eq!((&kept[0].counts, kept[0].ended_at, kept[0].cause), (&counts, Some(at), Cause::Request));
        assert_eq!((kept[1].ended_at, &kept[1].counts), (None, &Counts::default()));
        let (run, summary) = state.kept_run(last).await.unwrap().unwrap();
        assert_eq!((run, summary.unwrap().failed.len()), (kept[0].clone(), MAX_ACCOUNTS));
        assert_eq!(state.kept_run(ids[0]).await.unwrap(), None);
    }
}
