//! The other tables of the file: versions of the mappings, marks, series, and named values.

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::Store;
use crate::facts;

/// The number of versions of the mappings that are kept.
const MAX_VERSIONS: u32 = 200;
const MAX_MARKS: u32 = 100_000;

/// A version of the mappings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub version: u64,
    /// The time from which it was in force, in milliseconds since 1970.
    pub at: i64,
}

/// Returns every known version, the newest first.
pub(in crate::history) fn versions(connection: &Connection) -> Result<Vec<Version>> {
    let mut statement = connection.prepare_cached("SELECT version, at FROM mappings ORDER BY at DESC")?;
    let rows = statement.query_map([], |row| {
        Ok(Version { version: row.get::<_, i64>(0)?.cast_unsigned(), at: row.get(1)? })
    })?;
    rows.collect()
}

/// Returns the document of a version.
pub(in crate::history) fn mappings(connection: &Connection, version: u64) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT document FROM mappings WHERE version = ?1")?;
    statement.query_row([version.cast_signed()], |row| row.get(0)).optional()
}

/// Returns time, kind and text of the marks in this time, the oldest first.
pub(in crate::history) fn marks(
    connection: &Connection,
    from: i64,
    to: i64,
    most: usize,
) -> Result<Vec<(i64, String, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT at, kind, text FROM marks WHERE at BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows =
        statement.query_map(params![from, to, most], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let mut marks: Vec<_> = rows.collect::<Result<_>>()?;
    marks.reverse();
    Ok(marks)
}

/// Returns time and body of the slots of this step in this time, the oldest first.
pub(in crate::history) fn series_rows(
    connection: &Connection,
    step: i64,
    from: i64,
    to: i64,
) -> Result<Vec<(i64, Vec<u8>)>> {
    let mut statement = connection
        .prepare_cached("SELECT at, body FROM series WHERE step = ?1 AND at BETWEEN ?2 AND ?3 ORDER BY at")?;
    let rows = statement.query_map([step, from, to], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// Returns the value that is stored under this name.
pub(in crate::history) fn state(connection: &Connection, name: &str) -> Result<Option<Vec<u8>>> {
    let mut statement = connection.prepare_cached("SELECT value FROM state WHERE name = ?1")?;
    statement.query_row([name], |row| row.get(0)).optional()
}

impl Store {
    pub(in crate::history) fn set_state(&self, name: &str, value: &[u8]) -> Result<()> {
        let mut statement = self.connection.prepare_cached("INSERT OR REPLACE INTO state VALUES (?1, ?2)")?;
        statement.execute(params![name, value]).map(drop)
    }

    pub(in crate::history) fn add_mappings(&self, mappings: &facts::Mappings) -> Result<()> {
        let mut statement =
            self.connection.prepare_cached("INSERT OR IGNORE INTO mappings VALUES (?1, ?2, ?3)")?;
        let at = mappings.at.timestamp_millis();
        statement.execute(params![mappings.version.cast_signed(), at, &*mappings.document])?;
        let sql = format!(
            "DELETE FROM mappings WHERE version NOT IN (SELECT version FROM mappings ORDER BY at DESC LIMIT {MAX_VERSIONS})"
        );
        self.connection.execute_batch(&sql)
    }

    pub(in crate::history) fn add_mark(&self, mark: &facts::Mark) -> Result<()> {
        let mut statement =
            self.connection.prepare_cached("INSERT INTO marks (at, kind, text) VALUES (?1, ?2, ?3)")?;
        statement.execute(params![mark.at.timestamp_millis(), mark.kind, mark.text])?;
        let sql = format!("DELETE FROM marks WHERE id <= (SELECT max(id) FROM marks) - {MAX_MARKS}");
        self.connection.execute_batch(&sql)
    }

    /// Writes slots: step, time and body.
    pub(in crate::history) fn write_series(&mut self, rows: &[(i64, i64, Vec<u8>)]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        for (step, at, body) in rows {
            let mut statement =
                transaction.prepare_cached("INSERT OR REPLACE INTO series VALUES (?1, ?2, ?3)")?;
            statement.execute(params![step, at, body])?;
        }
        transaction.commit()
    }

    /// Removes the slots of a step that are older than this.
    pub(in crate::history) fn remove_series(&self, step: i64, before: i64) -> Result<()> {
        let mut statement =
            self.connection.prepare_cached("DELETE FROM series WHERE step = ?1 AND at < ?2")?;
        statement.execute([step, before]).map(drop)
    }
}
