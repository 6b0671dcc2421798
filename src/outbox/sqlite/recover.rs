//! Recovers a damaged outbox: moves the file and its log aside and copies their readable rows into a new one.
//!
//! Runs only on an operator's order. Nothing is ever deleted: the old files stay beside the new one. Damage and
//! losses are counted, not estimated.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params, params_from_iter};

use super::owner::Mark;
use super::recovery_note::Note;
use super::{self as sqlite, Log, Losses, Store};
use crate::outbox::OpenError;

/// In the order of their importance.
const TABLES: [&str; 10] =
    ["secrets", "state", "parked", "chunks", "progress", "dead_letters", "rejects", "jobs", "said", "seen"];

/// The result of a recovery.
#[derive(Debug)]
pub struct Recovery {
    /// The new place of the damaged file.
    pub aside: PathBuf,
    /// The number of rows copied from each table.
    pub rows: Vec<(&'static str, u64)>,
    /// The number of places that could not be read.
    pub unreadable: u64,
    /// What was committed and is missing from the file and its log.
    pub missing: Losses,
}

/// Recovers a damaged outbox; returns `None` if it is sound. A file of another program is refused. A recovery that was
/// interrupted is done again from the files that it had moved aside.
pub fn recover(path: &Path, now: DateTime<Utc>) -> Result<Option<Recovery>, OpenError> {
    let sound = Store::open(path).and_then(|mut store| {
        sqlite::check_whole(&store.connection, path)?;
        store.close();
        Ok(())
    });
    match sound {
        Ok(()) => return Ok(None),
        Err(OpenError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    let path = &sqlite::canonical(path);
    let file_failed = |source| OpenError::File { path: path.clone(), source };
    let lock = sqlite::lock(path)?;
    let Note { aside, mark, .. } = set_aside(path, lock.mark(), now).map_err(file_failed)?;
    let mut store = Store::open_locked(path, lock.renew(path)?)?;
    let failed = |source: rusqlite::Error| OpenError::Database { path: path.clone(), source: source.into() };
    let mut recovered = Recovery { aside, rows: Vec::new(), unreadable: 0, missing: Losses::default() };
    let readings = Reading::all(&recovered.aside).map_err(file_failed)?;
    let log = Log::read(&sqlite::beside(&recovered.aside, "-wal")).map_err(file_failed)?;
    // A damaged page in the log counts as one more place, whatever the pages after it contained.
    let is_log_damaged = log.and_then(|log| log.fault(mark)).is_some();
    recovered.unreadable += u64::from(readings.is_empty()) + u64::from(is_log_damaged);
    for (reading, insert) in readings.iter().zip(["INSERT OR REPLACE", "INSERT OR IGNORE"]) {
        take_over(&reading.connection, &store.connection, insert, &mut recovered).map_err(failed)?;
    }
    if let Some(mark) = mark {
        recovered.missing = sqlite::missing(&store.connection, mark).map_err(failed)?;
        skip_ids(&store.connection, mark.chunk).map_err(failed)?;
    }
    store.close();
    Note::remove(path).map_err(file_failed)?;
    Ok(Some(recovered))
}

/// Moves the damaged outbox aside, or what an interrupted recovery left: then no file is in its place.
fn set_aside(path: &Path, mark: Option<Mark>, now: DateTime<Utc>) -> std::io::Result<Note> {
    let mut note = if let Some(note) = Note::read(path)? {
        note
    } else {
        let note = Note { aside: free_name(path, now), is_moved: false, mark };
        note.write(path)?;
        note
    };
    if note.is_moved {
        // What is there is the beginning of a new outbox, which is made again.
        for ending in ["-wal", "-shm", ""] {
            remove_if_there(&sqlite::beside(path, ending))?;
        }
    } else {
        move_aside(path, &note.aside)?;
        note.is_moved = true;
        note.write(path)?;
    }
    Ok(note)
}

/// The damaged outbox, open for reading in one of the possible ways.
struct Reading {
    connection: Connection,
    /// A copy of the file with its log, used if SQLite would not read the log itself. Removed at the end.
    copy: Option<PathBuf>,
}

impl Reading {
    /// Returns no reading if nothing can be read, and two if the log is damaged: a damaged page may have readable
    /// rows; if it has none, the earlier version of the page has most of them.
    fn all(aside: &Path) -> std::io::Result<Vec<Self>> {
        let log_path = sqlite::beside(aside, "-wal");
        let has_pages = std::fs::metadata(aside).is_ok_and(|file| file.len() > 0);
        let log = Log::read(&log_path)?;
        let Some(log) = log.filter(|log| !has_pages || log.fault(None).is_some()) else {
            let connection = if has_pages { open_damaged(aside).ok() } else { None };
            return Ok(connection.map(|connection| Self { connection, copy: None }).into_iter().collect());
        };
        // SQLite would drop everything after a damaged page and, beside an empty file, delete the log at the first
        // read.
        let mut readings = Vec::new();
        for with_damaged in [true, false] {
            let copy = sqlite::beside(aside, if with_damaged { ".copy" } else { ".copy-before" });
            std::fs::copy(aside, &copy)?;
            log.write_into(&log_path, &copy, with_damaged)?;
            readings.extend(open_copy(&copy).ok().map(|connection| Self { connection, copy: Some(copy) }));
        }
        Ok(readings)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        // It is still open, so its content is gone when it is closed.
        if let Some(copy) = &self.copy {
            let _ = std::fs::remove_file(copy);
        }
    }
}

/// With this switch SQLite reads a file that is shorter than its header says.
fn open_damaged(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    sqlite::register_checksum(&connection)?;
    Ok(connection)
}

/// Reads a file alone, whatever is beside it.
fn open_copy(path: &Path) -> rusqlite::Result<Connection> {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            // Writing to a String cannot fail.
            _ => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri, flags)?;
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    sqlite::register_checksum(&connection)?;
    Ok(connection)
}

/// Makes sure that no id up to this one is used again.
fn skip_ids(connection: &Connection, chunk: i64) -> rusqlite::Result<()> {
    let update = "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'chunks'";
    connection.execute(update, [chunk]).map(drop)
}

/// Returns a name that no earlier recovery has used.
fn free_name(path: &Path, now: DateTime<Utc>) -> PathBuf {
    let name = format!(".corrupt-{}", now.format("%Y%m%dT%H%M%SZ"));
    let numbered = (2..).map(|number| sqlite::beside(path, &format!("{name}-{number}")));
    let mut names = std::iter::once(sqlite::beside(path, &name)).chain(numbered);
    let is_free = |aside: &PathBuf| !aside.exists() && !sqlite::beside(aside, "-wal").exists();
    names.find(is_free).unwrap_or_else(|| sqlite::beside(path, &name))
}

/// The log moves with its file, under the name that SQLite expects.
fn move_aside(path: &Path, aside: &Path) -> std::io::Result<()> {
    for ending in ["", "-wal"] {
        let (from, to) = (sqlite::beside(path, ending), sqlite::beside(aside, ending));
        // A file that was moved before the interruption stays: the lock has made an empty one in its place.
        if from.exists() && !to.exists() {
            std::fs::rename(from, to)?;
        }
    }
    if std::fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        remove_if_there(path)?;
    }
    remove_if_there(&sqlite::beside(path, "-shm"))
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn take_over(
    old: &Connection,
    new: &Connection,
    insert: &'static str,
    recovered: &mut Recovery,
) -> rusqlite::Result<()> {
    new.execute_batch("BEGIN IMMEDIATE")?;
    for table in TABLES {
        let columns = shared_columns(old, new, table)?;
        let is_sound = soundness(table, &columns);
        let mut copy =
            Copy { old, new, insert, table, columns: columns.join(", "), is_sound, rows: 0, unreadable: 0 };
        copy.all()?;
        match recovered.rows.iter_mut().find(|(name, _)| *name == table) {
            Some((_, rows)) => *rows += copy.rows,
            None => recovered.rows.push((table, copy.rows)),
        }
        recovered.unreadable += copy.unreadable;
    }
    for table in ["chunks", "rejects"] {
        new.execute(
            "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, 0
                 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
            [table],
        )?;
        // Ids only grow, whatever happened to the rows.
        let known =
            old.query_row("SELECT seq FROM sqlite_sequence WHERE name = ?1", [table], |row| row.get(0));
        new.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1",
            params![table, known.unwrap_or(0_i64)],
        )?;
    }
    // New chunks must come after everything that is parked.
    new.execute_batch(
        "DELETE FROM progress WHERE chunk NOT IN (SELECT id FROM chunks);
         UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT max(chunk) FROM parked), 0)) WHERE name = 'chunks';
         UPDATE parked SET event = (chunk << 16) | place WHERE event = 0;
         UPDATE dead_letters SET event = (at << 22) | (id & 4194303), kept_at = at WHERE event = 0;
         UPDATE rejects SET event = (at << 22) | (id & 4194303), kept_at = at WHERE event = 0;
         ",
    )?;
    // For rows of a version without checksums.
    for (table, checked) in sqlite::CHECKED_TABLES {
        new.execute_batch(&format!(
            "UPDATE {table} SET checksum = row_checksum({checked}) WHERE checksum = 0"
        ))?;
    }
    sqlite::regroup(new)?;
    new.execute_batch("COMMIT")
}

/// Returns the columns that both files have: the damaged one may be of an earlier version without the newer columns.
fn shared_columns(old: &Connection, new: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let known = columns(new, table)?;
    let had = columns(old, table).unwrap_or_default();
    // A table whose columns cannot be read is tried anyway, and each failure is counted.
    Ok(known.into_iter().filter(|name| had.is_empty() || had.contains(name)).collect())
}

/// Returns an SQL expression that is 1 for a row whose checksum is right. Rows of a version without checksums count
/// as right.
fn soundness(table: &str, columns: &[String]) -> String {
    let checked = sqlite::CHECKED_TABLES.iter().find(|(name, _)| *name == table);
    match checked {
        Some((_, checked)) if columns.iter().any(|column| column == "checksum") => sqlite::is_sound(checked),
        _ => "1".to_owned(),
    }
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM pragma_table_info(?1)")?
        .query_map([table], |row| row.get(0))?
        .collect()
}

/// A row that could be read.
struct ReadableRow {
    id: i64,
    is_sound: bool,
    values: Vec<Value>,
}

/// One table, row by row.
struct Copy<'a> {
    old: &'a Connection,
    new: &'a Connection,
    insert: &'static str,
    table: &'static str,
    columns: String,
    is_sound: String,
    rows: u64,
    unreadable: u64,
}

impl Copy<'_> {
    /// Copies from the front up to the first damage, from the back down to the last, and then whatever can be found
    /// in between.
    fn all(&mut self) -> rusqlite::Result<()> {
        let mut low = i64::MIN;
        let mut high = i64::MAX;
        loop {
            match self.row(low, high, "ASC") {
                Ok(Some(row)) => low = self.take(&row)?,
                Ok(None) => return Ok(()),
                Err(_) => break,
            }
        }
        while let Ok(Some(row)) = self.row(low, high, "DESC") {
            high = self.take(&row)?;
        }
        let mut step = 1_i64;
        while low < high {
            match self.row(low, high, "ASC") {
                Ok(Some(row)) => {
                    low = self.take(&row)?;
                    step = 1;
                }
                Ok(None) => break,
                Err(_) => {
                    self.unreadable += 1;
                    low = low.saturating_add(step);
                    step = step.saturating_mul(2);
                }
            }
        }
        Ok(())
    }

    /// Returns the first or last row between two ids.
    fn row(&self, low: i64, high: i64, direction: &str) -> rusqlite::Result<Option<ReadableRow>> {
        let Self { table, columns, is_sound, .. } = self;
        let query = format!(
            "SELECT rowid, {is_sound}, {columns} FROM {table} WHERE rowid > ?1 AND rowid < ?2 ORDER BY rowid {direction} LIMIT 1"
        );
        let mut statement = self.old.prepare_cached(&query)?;
        let width = statement.column_count();
        statement
            .query_row([low, high], |row| {
                let id: i64 = row.get(0)?;
                if id <= low || id >= high {
                    // The ids of a damaged page may be out of order: without this check the same row would be read
                    // for ever.
                    return Err(rusqlite::Error::IntegralValueOutOfRange(0, id));
                }
                let values = (2..width).map(|index| row.get(index)).collect::<rusqlite::Result<_>>()?;
                Ok(ReadableRow { id, is_sound: row.get(1)?, values })
            })
            .optional()
    }

    fn take(&mut self, ReadableRow { id, is_sound, values: row }: &ReadableRow) -> rusqlite::Result<i64> {
        if *is_sound && self.is_sound_chunk(row) {
            let (insert, table, columns) = (self.insert, self.table, &self.columns);
            let marks = vec!["?"; row.len()].join(", ");
            let insert = format!("{insert} INTO {table} ({columns}) VALUES ({marks})");
            match self.new.prepare_cached(&insert)?.execute(params_from_iter(row)) {
                Ok(changed) => self.rows += changed as u64,
                // A value that this program never writes.
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                    self.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        } else {
            self.unreadable += 1;
        }
        Ok(*id)
    }

    /// Returns whether a chunk's bytes are those that were written. True for rows of other tables.
    fn is_sound_chunk(&self, row: &[Value]) -> bool {
        match (self.table, row) {
            ("chunks", [_, _, Value::Integer(checksum), body, ..]) => match ValueRef::from(body) {
                ValueRef::Blob(body) => *checksum == i64::from(crc32fast::hash(body)),
                _ => false,
            },
            _ => true,
        }
    }
}
