//! What we wrote to Vitally, and which accounts an unfinished run has seen to: a small SQLite file beside the outbox.
//!
//! A value is noted before it is written and confirmed after: a kill in between leaves it known as ours. Losing the
//! file loses nothing at Vitally; it only means that no value there counts as ours any more. It survives a kill of the
//! process; after a loss of power the last notes may be missing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::{Map, Value};

use super::report::Direction;

/// "ACWR": says that a database file is one of these.
const APPLICATION_ID: i32 = 0x4143_5752;
const VERSION: i32 = 1;
const SCHEMA: &str = "
CREATE TABLE traits (account TEXT NOT NULL, name TEXT NOT NULL, value TEXT, intended TEXT, PRIMARY KEY (account, name))
    STRICT, WITHOUT ROWID;
CREATE TABLE seen_to (direction TEXT NOT NULL, account TEXT NOT NULL, PRIMARY KEY (direction, account)) STRICT, WITHOUT ROWID;
CREATE TABLE runs (direction TEXT PRIMARY KEY, settings INTEGER NOT NULL, begun_at INTEGER NOT NULL, ended_at INTEGER) STRICT;
";
/// What an older unfinished run has seen to is seen to again.
const RESUMED_FOR: chrono::Duration = chrono::Duration::hours(6);

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WrittenError {
    #[error("{}: what was written to Vitally cannot be read or noted; check the disk", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("{}: this is no file of what was written to Vitally, or a later version's; move it aside", path.display())]
    Foreign { path: PathBuf },
    #[error("what was written to Vitally could not be noted: the program is stopping")]
    Stopped,
}

/// The open file. Clones are the same.
#[derive(Debug, Clone)]
pub struct Written {
    connection: Arc<Mutex<Connection>>,
    path: Arc<Path>,
}

/// Values of one account that count as ours.
#[derive(Debug, Default)]
pub(super) struct Ours {
    /// The last ones.
    written: Vec<(String, Value)>,
    /// Those that may have been written.
    intended: Vec<(String, Value)>,
}

impl Ours {
    pub(super) fn holds(&self, name: &str, value: &Value) -> bool {
        let holds = |list: &[(String, Value)]| {
            list.iter().any(|(ours, written)| ours == name && super::traits::is_same(written, value))
        };
        holds(&self.written) || holds(&self.intended)
    }

    /// Of what may have been written that which is there: it was.
    pub(super) fn found(&self, there: &Map<String, Value>) -> Vec<String> {
        let is_there = |(name, value): &&(String, Value)| {
            there.get(name).is_some_and(|there| super::traits::is_same(value, there))
        };
        self.intended.iter().filter(is_there).map(|(name, _)| name.clone()).collect()
    }
}

impl Written {
    /// Blocks on the disk.
    pub fn open(path: &Path) -> Result<Self, WrittenError> {
        let database = |source| WrittenError::Database { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(database)?;
        let number = |name: &str| {
            connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0)).map_err(database)
        };
        match (number("application_id")?, number("user_version")?) {
            (APPLICATION_ID, VERSION) => {}
            (0, 0) => {
                let begin = format!(
                    "PRAGMA journal_mode = WAL; BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID};
                     PRAGMA user_version = {VERSION}; COMMIT;"
                );
                connection.execute_batch(&begin).map_err(database)?;
            }
            _ => return Err(WrittenError::Foreign { path: path.to_owned() }),
        }
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(database)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), path: Arc::from(path) })
    }

    /// Begins a run: the accounts that the last one has seen to, if it was broken off not long ago and had the same
    /// settings.
    pub(super) async fn begin(
        &self,
        direction: Direction,
        settings: u64,
        now: DateTime<Utc>,
    ) -> Result<HashSet<String>, WrittenError> {
        self.with(move |connection| begin(connection, direction.name(), settings.cast_signed(), now)).await
    }

    /// All accounts have been seen to.
    pub(super) async fn end(&self, direction: Direction, now: DateTime<Utc>) -> Result<(), WrittenError> {
        self.with(move |connection| {
            let change = connection.transaction()?;
            change.execute("DELETE FROM seen_to WHERE direction = ?1", [direction.name()])?;
            change.execute(
                "INSERT INTO runs (direction, settings, begun_at, ended_at) VALUES (?1, 0, ?2, ?2)
                 ON CONFLICT (direction) DO UPDATE SET ended_at = ?2",
                params![direction.name(), now.timestamp_millis()],
            )?;
            change.commit()
        })
        .await
    }

    /// When the last whole run ended.
    pub(super) async fn last_end(&self, direction: Direction) -> Result<Option<DateTime<Utc>>, WrittenError> {
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

    pub(super) async fn ours(&self, account: &str) -> Result<Ours, WrittenError> {
        let account = account.to_owned();
        self.with(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT name, value, intended FROM traits WHERE account = ?1")?;
            let rows = statement
                .query_map([account], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<Vec<(String, Option<String>, Option<String>)>>>()?;
            let mut ours = Ours::default();
            for (name, written, intended) in rows {
                let read = |text: Option<String>| serde_json::from_str(&text?).ok();
                ours.written.extend(read(written).map(|value| (name.clone(), value)));
                ours.intended.extend(read(intended).map(|value| (name, value)));
            }
            Ok(ours)
        })
        .await
    }

    /// Notes what is about to be written.
    pub(super) async fn intend(
        &self,
        account: &str,
        traits: &Map<String, Value>,
    ) -> Result<(), WrittenError> {
        let (account, traits) = (account.to_owned(), traits.clone());
        self.with(move |connection| {
            let change = connection.transaction()?;
            for (name, value) in &traits {
                change
                    .prepare_cached(
                        "INSERT INTO traits (account, name, intended) VALUES (?1, ?2, ?3)
                         ON CONFLICT (account, name) DO UPDATE SET intended = ?3",
                    )?
                    .execute(params![account, name, value.to_string()])?;
            }
            change.commit()
        })
        .await
    }

    /// The account has been seen to; `written` are the names of those intended traits that have been taken.
    pub(super) async fn seen_to(
        &self,
        direction: Direction,
        account: &str,
        written: Vec<String>,
    ) -> Result<(), WrittenError> {
        let account = account.to_owned();
        self.with(move |connection| {
            let change = connection.transaction()?;
            for name in &written {
                change
                    .prepare_cached(
                        "UPDATE traits SET value = intended, intended = NULL
                         WHERE account = ?1 AND name = ?2 AND intended IS NOT NULL",
                    )?
                    .execute([&account, name])?;
            }
            change
                .prepare_cached("INSERT OR IGNORE INTO seen_to (direction, account) VALUES (?1, ?2)")?
                .execute([direction.name(), &account])?;
            change.commit()
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, WrittenError> {
        let connection = Arc::clone(&self.connection);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        let done = done.await.map_err(|_| WrittenError::Stopped)?;
        done.map_err(|source| WrittenError::Database { path: self.path.to_path_buf(), source })
    }
}

fn begin(
    connection: &mut Connection,
    direction: &str,
    settings: i64,
    now: DateTime<Utc>,
) -> rusqlite::Result<HashSet<String>> {
    let change = connection.transaction()?;
    let oldest = (now - RESUMED_FOR).timestamp_millis();
    let is_to_be_resumed = change.query_row(
        "SELECT count(*) FROM runs WHERE direction = ?1 AND settings = ?2 AND ended_at IS NULL
         AND begun_at BETWEEN ?3 AND ?4",
        params![direction, settings, oldest, now.timestamp_millis()],
        |row| Ok(row.get::<_, i64>(0)? > 0),
    )?;
    if is_to_be_resumed {
        return change
            .prepare("SELECT account FROM seen_to WHERE direction = ?1")?
            .query_map([direction], |row| row.get(0))?
            .collect();
    }
    change.execute("DELETE FROM seen_to WHERE direction = ?1", [direction])?;
    change.execute(
        "INSERT INTO runs (direction, settings, begun_at) VALUES (?1, ?2, ?3)
         ON CONFLICT (direction) DO UPDATE SET settings = ?2, begun_at = ?3, ended_at = NULL",
        params![direction, settings, now.timestamp_millis()],
    )?;
    change.commit()?;
    Ok(HashSet::new())
}

#[cfg(test)]
mod tests;
