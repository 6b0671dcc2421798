//! Numbers stored by name, which a restart must not change.

use rusqlite::{Connection, Result, params};

/// The name of the value that is the outbox's own; see `outbox::clock`.
const RUNNING_TIME: &str = "running time";

/// Returns the names that begin with this text, with their values.
pub(in crate::outbox) fn values(connection: &Connection, begin: &str) -> Result<Vec<(String, i64)>> {
    let mut statement = connection.prepare_cached("SELECT name, value FROM state ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get(1)?)))?;
    let mut values = rows.collect::<Result<Vec<_>>>()?;
    values.retain(|(name, _)| name.starts_with(begin) && name != RUNNING_TIME);
    Ok(values)
}

/// Stores a value under this name, or removes it.
pub(in crate::outbox) fn keep_value(connection: &Connection, name: &str, value: Option<i64>) -> Result<()> {
    match value {
        Some(value) => {
            let mut statement =
                connection.prepare_cached("INSERT OR REPLACE INTO state (name, value) VALUES (?1, ?2)")?;
            statement.execute(params![name, value])?;
        }
        None => drop(connection.prepare_cached("DELETE FROM state WHERE name = ?1")?.execute([name])?),
    }
    Ok(())
}
