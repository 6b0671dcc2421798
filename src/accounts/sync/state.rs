//! Records what the syncs wrote to either side and how far each run came, in a small SQLite file beside the outbox.
//!
//! A value is recorded after the other system accepted it. If the process is killed in between, the next run writes the value
//! again or finds it there. Losing the file loses no data at either side. After a power failure the last records may be
//! missing.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::kept;
use super::report::{Direction, Summary};

/// "ACWR": identifies the file to SQLite tools and to [`SyncState::open`].
const APPLICATION_ID: i32 = 0x4143_5752;
const VERSION: i32 = 3;
/// `place` is where a value was written: `vitally`, or a destination.
const SCHEMA: &str = "
CREATE TABLE written (place TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (place, account, name)) STRICT, WITHOUT ROWID;
CREATE TABLE handled (direction TEXT NOT NULL, account TEXT NOT NULL, PRIMARY KEY (direction, account))
    STRICT, WITHOUT ROWID;
CREATE TABLE runs (direction TEXT PRIMARY KEY, settings INTEGER, begun_at INTEGER, ended_at INTEGER, summary TEXT)
    STRICT;
";
/// Version 1 is dropped: the next run writes its values again or finds them there.
const DROP_VERSION_1: &str = "DROP TABLE traits; DROP TABLE seen_to; DROP TABLE runs;";
/// An older unfinished run is not resumed.
const RESUMABLE_FOR: chrono::Duration = chrono::Duration::hours(6);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("{}: the record of the syncs cannot be read or written; check the disk", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{}: the record of the syncs cannot be created or opened; check its folder", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{}: this file does not belong to the syncs, or a later version wrote it; move it away", path.display())]
    Foreign { path: PathBuf },
    #[error("the sync could not record what it wrote: the program is stopping")]
    Stopped,
}

/// The open file. Clones share it.
#[derive(Debug, Clone)]
pub struct SyncState {
    connection: Arc<Mutex<Connection>>,
    path: Arc<Path>,
}

impl SyncState {
    /// Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        let database = |source| StateError::Database { path: path.to_owned(), source };
        // SQLite gives the files beside it the same permissions.
        let options = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).to_owned();
        options.open(path).map_err(|source| StateError::File { path: path.to_owned(), source })?;
        let connection = Connection::open(path).map_err(database)?;
        let number = |name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(database)
        };
        let create = |tables: &str| {
            let create = format!(
                "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; {tables}
                 PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
            );
            connection.execute_batch(&create).map_err(database)
        };
        match (number("application_id")?, number("user_version")?) {
            (APPLICATION_ID, VERSION) => {}
            (APPLICATION_ID, 2) => create(kept::SCHEMA)?,
            (APPLICATION_ID, 1) => create(&format!("{DROP_VERSION_1} {SCHEMA} {}", kept::SCHEMA))?,
            (0, 0) => create(&format!("{SCHEMA} {}", kept::SCHEMA))?,
            _ => return Err(StateError::Foreign { path: path.to_owned() }),
        }
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(database)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), path: Arc::from(path) })
    }

    /// Starts a run that can be resumed. If the last run was interrupted recently and had the same settings, returns the
    /// accounts that it handled.
    pub(super) async fn begin(
        &self,
        direction: Direction,
        settings: u64,
        now: DateTime<Utc>,
    ) -> Result<HashSet<String>, StateError> {
        self.with(move |connection| begin(connection, direction.name(), settings.cast_signed(), now)).await
    }

    /// Stores the summary of a run. After a complete run there is nothing to resume.
    pub(super) async fn end(&self, summary: &Summary) -> Result<(), StateError> {
        let (direction, is_whole) = (summary.direction.name(), summary.ended.is_none());
        let ended_at = is_whole.then(|| summary.at.timestamp_millis());
        // The summary has only texts, numbers and JSON, so this cannot fail.
        let summary = serde_json::to_string(summary).unwrap_or_default();
        self.with(move |connection| {
            let change = connection.transaction()?;
            if is_whole {
                change.execute("DELETE FROM handled WHERE direction = ?1", [direction])?;
            }
            change.execute(
                "INSERT INTO runs (direction, ended_at, summary) VALUES (?1, ?2, ?3)
                 ON CONFLICT (direction) DO UPDATE SET ended_at = coalesce(?2, ended_at), summary = ?3",
                params![direction, ended_at, summary],
            )?;
            change.commit()
        })
        .await
    }

    /// When the last complete run ended.
    pub(super) async fn last_end(&self, direction: Direction) -> Result<Option<DateTime<Utc>>, StateError> {
        self.with(move |connection| {
            let ended = connection
                .query_row("SELECT ended_at FROM runs WHERE direction = ?1", [direction.name()], |row| {
                    row.get::<_, Option<i64>>(0)
                })
                .optional()?;
            Ok(ended.flatten().and_then(DateTime::from_timestamp_millis))
        })
        .await
    }

    /// The summary of each direction's last run, complete or not.
    pub async fn summaries(&self) -> Result<Vec<Summary>, StateError> {
        let texts = self.with(|connection| {
            connection
                .prepare("SELECT summary FROM runs WHERE summary IS NOT NULL ORDER BY rowid")?
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()
        });
        Ok(texts.await?.iter().filter_map(|text| serde_json::from_str(text).ok()).collect())
    }

    /// The values last written for this account.
    pub(super) async fn written(&self, place: &str, account: &str) -> Result<Map<String, Value>, StateError> {
        let key = [place.to_owned(), account.to_owned()];
        let rows = self.with(move |connection| {
            connection
                .prepare_cached("SELECT name, value FROM written WHERE place = ?1 AND account = ?2")?
                .query_map(key, |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<(String, String)>>>()
        });
        let read = |(name, value): (String, String)| Some((name, serde_json::from_str(&value).ok()?));
        Ok(rows.await?.into_iter().filter_map(read).collect())
    }

    /// Records values that the other system accepted.
    pub(super) async fn record(
        &self,
        place: &str,
        account: &str,
        values: Map<String, Value>,
    ) -> Result<(), StateError> {
        let (place, account) = (place.to_owned(), account.to_owned());
        self.with(move |connection| {
            let change = connection.transaction()?;
            for (name, value) in &values {
                change
                    .prepare_cached(
                        "INSERT OR REPLACE INTO written (place, account, name, value) VALUES (?1, ?2, ?3, ?4)",
                    )?
                    .execute(params![place, account, name, value.to_string()])?;
            }
            change.commit()
        })
        .await
    }

    /// Records that a resumed run can skip the account.
    pub(super) async fn record_handled(&self, direction: Direction, account: &str) -> Result<(), StateError> {
        let account = account.to_owned();
        self.with(move |connection| {
            connection
                .prepare_cached("INSERT OR IGNORE INTO handled (direction, account) VALUES (?1, ?2)")?
                .execute([direction.name(), &account])
                .map(drop)
        })
        .await
    }

    pub(super) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StateError> {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let done = done.await.map_err(|_| StateError::Stopped)?;
        done.map_err(|source| StateError::Database { path: self.path.to_path_buf(), source })
    }
}

fn begin(
    connection: &mut Connection,
    direction: &str,
    settings: i64,
    now: DateTime<Utc>,
) -> rusqlite::Result<HashSet<String>> {
    let change = connection.transaction()?;
    let oldest = (now - RESUMABLE_FOR).timestamp_millis();
    let is_resumed = change.query_row(
        "SELECT count(*) FROM runs WHERE direction = ?1 AND settings = ?2 AND ended_at IS NULL
         AND begun_at BETWEEN ?3 AND ?4",
        params![direction, settings, oldest, now.timestamp_millis()],
        |row| Ok(row.get::<_, i64>(0)? > 0),
    )?;
    if is_resumed {
        return change
            .prepare("SELECT account FROM handled WHERE direction = ?1")?
            .query_map([direction], |row| row.get(0))?
            .collect();
    }
    change.execute("DELETE FROM handled WHERE direction = ?1", [direction])?;
    change.execute(
        "INSERT INTO runs (direction, settings, begun_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (direction) DO UPDATE SET settings = ?2, begun_at = ?3, ended_at = NULL",
        params![direction, settings, now.timestamp_millis()],
    )?;
    change.commit()?;
    Ok(HashSet::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTION: Direction = Direction::AccoilToVitally;

    fn open() -> (tempfile::TempDir, SyncState) {
        let folder = tempfile::tempdir().unwrap();
        let state = SyncState::open(&folder.path().join("relay.db.accounts")).unwrap();
        (folder, state)
    }

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + chrono::Duration::hours(hours)
    }

    #[tokio::test]
    async fn an_interrupted_run_is_resumed_unless_it_is_old_or_had_other_settings() {
        let (_folder, state) = open();
        let resumed =
            async |settings, hours| state.begin(DIRECTION, settings, at(hours)).await.unwrap().len();
        let handle = async || state.record_handled(DIRECTION, "a").await.unwrap();
        assert_eq!(resumed(1, 10).await, 0);
        handle().await;
        assert_eq!(resumed(1, 15).await, 1, "broken off a while ago");
        let broken_off = Some("stopped".to_owned());
        let summary = Summary { at: at(15), ended: broken_off, ..Summary::new(DIRECTION, false) };
        state.end(&summary).await.unwrap();
        assert_eq!(state.summaries().await.unwrap(), std::slice::from_ref(&summary), "the reason is kept");
        assert_eq!((resumed(1, 15).await, state.last_end(DIRECTION).await.unwrap()), (1, None));
        assert_eq!(resumed(2, 15).await, 0, "of other settings");
        handle().await;
        assert_eq!(resumed(2, 14).await, 0, "from the future: the clock was set back");
        handle().await;
        assert_eq!(resumed(2, 21).await, 0, "too old");
        handle().await;
        let summary = Summary { at: at(22), ended: None, ..summary };
        state.end(&summary).await.unwrap();
        assert_eq!(state.last_end(DIRECTION).await.unwrap(), Some(at(22)));
        assert_eq!(resumed(2, 22).await, 0, "that was whole");
        assert_eq!(state.summaries().await.unwrap(), [summary]);
    }

    #[test]
    fn other_users_cannot_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, _state) = open();
        for name in ["relay.db.accounts", "relay.db.accounts-wal"] {
            let mode = std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[tokio::test]
    async fn written_values_are_kept_per_place_and_account() {
        let (_folder, state) = open();
        let traits = |value: Value| Map::from_iter([("t".to_owned(), value)]);
        state.record("vitally", "a", traits(Value::from(1.5))).await.unwrap();
        state.record("vitally", "a", traits(Value::from(u64::MAX))).await.unwrap();
        assert_eq!(state.written("vitally", "a").await.unwrap(), traits(Value::from(u64::MAX)));
        for (place, account) in [("accoil one", "a"), ("vitally", "b")] {
            assert!(state.written(place, account).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn an_older_file_is_recreated_and_a_foreign_file_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.db.accounts");
        let execute = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        execute("PRAGMA user_version = 7");
        assert!(matches!(SyncState::open(&path), Err(StateError::Foreign { .. })));
        execute(&format!(
            "CREATE TABLE traits (a); CREATE TABLE seen_to (a); CREATE TABLE runs (a);
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        ));
        let state = SyncState::open(&path).unwrap();
        assert!(state.begin(DIRECTION, 1, at(1)).await.unwrap().is_empty());
        state.record_handled(DIRECTION, "a").await.unwrap();
        execute("DROP TABLE kept_runs; PRAGMA user_version = 2");
        let state = SyncState::open(&path).unwrap();
        assert_eq!(state.begin(DIRECTION, 1, at(1)).await.unwrap().len(), 1, "version 2 keeps its rows");
        assert_eq!(state.kept_runs().await.unwrap(), []);
    }
}
