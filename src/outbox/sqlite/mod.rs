//! The outbox's one database file: opened, locked, checked, its schema made.
//!
//! One writing connection, owned by the writer thread, and one reading connection. `synchronous=FULL` is set
//! and read back: it is what "on disk" in the contract stands on. Never opens a file that is not ours.

mod chunks;
mod rows;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

pub(super) use chunks::{
    Progress, after, delete, forget, insert, last_id, progress, remember, remembered, save_progress,
};
pub use rows::{DeadLetter, Parked, StoredReject};
pub(super) use rows::{
    bury, dead_letters, drop_oldest_rejects, park, parked, parked_users, reject, reject_bytes, rejects, said,
    say, unpark,
};

/// "ACRL": says that a database file is an outbox of ours.
const APPLICATION_ID: i32 = 0x4143_524C;
/// Version of the schema and of the chunk layout.
const VERSION: i32 = 1;

const SCHEMA: &str = "
CREATE TABLE chunks (id INTEGER PRIMARY KEY AUTOINCREMENT, requests INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE progress (chunk INTEGER PRIMARY KEY, settled BLOB NOT NULL) STRICT;
CREATE TABLE seen (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, ids BLOB NOT NULL) STRICT;
CREATE TABLE said (key INTEGER PRIMARY KEY, content INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE TABLE parked (
    id INTEGER PRIMARY KEY, destination TEXT NOT NULL, user TEXT NOT NULL, chunk INTEGER NOT NULL, place INTEGER NOT NULL,
    next_attempt_at INTEGER, attempts TEXT NOT NULL, source TEXT NOT NULL, mapping TEXT NOT NULL, action TEXT NOT NULL,
    path TEXT NOT NULL, body BLOB NOT NULL, original BLOB NOT NULL, warnings TEXT NOT NULL, said BLOB NOT NULL
) STRICT;
CREATE INDEX parked_order ON parked (destination, user, chunk, place);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, destination TEXT NOT NULL, user TEXT NOT NULL, source TEXT NOT NULL,
    mapping TEXT NOT NULL, action TEXT NOT NULL, path TEXT NOT NULL, body BLOB NOT NULL, original BLOB NOT NULL,
    warnings TEXT NOT NULL, attempts TEXT NOT NULL
) STRICT;
CREATE TABLE rejects (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, source TEXT NOT NULL, original BLOB NOT NULL, reasons TEXT NOT NULL
) STRICT;
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
";

/// Why an outbox could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("outbox {path}: the folder or file cannot be opened; check that it exists and may be written")]
    File { path: PathBuf, source: std::io::Error },
    #[error(
        "outbox {path}: another process has it open; stop that one, or give each relay a file of its own"
    )]
    InUse { path: PathBuf },
    #[error("outbox {path}: this is a database of another program; name another file in outbox.url")]
    Foreign { path: PathBuf },
    #[error("outbox {path}: written by another version (format {found}, this program reads {VERSION})")]
    Version { path: PathBuf, found: i32 },
    #[error("outbox {path}: the file system does not let SQLite be durable ({what}); use a local disk")]
    NotDurable { path: PathBuf, what: String },
    #[error("outbox {path}: not a readable database; move the file aside to start anew")]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("outbox {path}: its writer could not be started")]
    Writer { path: PathBuf, source: std::io::Error },
}

/// The writing connection and what must live as long as it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) connection: Connection,
    /// The random key by which this outbox hashes ids.
    pub(super) key: [u8; 16],
    /// Held for the life of the store: a second process is refused by it.
    _lock: File,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let database = |source| OpenError::Database { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(database)?;
        check_owner(&connection, path)?;
        make_durable(&connection, path)?;
        create(&connection).map_err(database)?;
        let key = key(&connection).map_err(database)?;
        Ok(Self { connection, key, _lock: lock })
    }
}

/// A connection that only reads, for chunks that left memory and for lists.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .and_then(|connection| {
            connection.busy_timeout(std::time::Duration::from_secs(5))?;
            Ok(connection)
        })
        .map_err(|source| OpenError::Database { path: path.to_owned(), source })
}

/// Takes the lock file beside the database. (A lock on the database itself would be SQLite's own to break.)
fn lock(path: &Path) -> Result<File, OpenError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = |source| OpenError::File { path: path.to_owned(), source };
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(PathBuf::from(name))
        .map_err(file)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(file(source)),
    }
}

fn check_owner(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(database)?;
    let version: i32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(database)?;
    match (application, version) {
        (0, 0) if tables == 0 => Ok(()),
        (APPLICATION_ID, VERSION) => Ok(()),
        (APPLICATION_ID, found) => Err(OpenError::Version { path: path.to_owned(), found }),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// Sets the durability that the contract promises and reads it back.
fn make_durable(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: path.to_owned(), source };
    let not_durable = |what: String| OpenError::NotDurable { path: path.to_owned(), what };
    // Larger pages: a chunk is a blob of many kilobytes. Only a new file takes them.
    connection.pragma_update(None, "page_size", 8192).map_err(database)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(database)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(not_durable(format!("journal_mode is {mode}")));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(database)?;
    let level: i64 =
        connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(database)?;
    if level < 2 {
        return Err(not_durable(format!("synchronous is {level}")));
    }
    // A delivered chunk should be gone before it is ever copied from the log into the file: 32 MB of log.
    connection.pragma_update(None, "wal_autocheckpoint", 4096).map_err(database)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(database)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == VERSION {
        return Ok(());
    }
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
    ))
}

/// The outbox's hash key, made once.
fn key(connection: &Connection) -> rusqlite::Result<[u8; 16]> {
    connection
        .execute("INSERT OR IGNORE INTO secrets (name, value) VALUES ('hash key', randomblob(16))", [])?;
    connection.query_row("SELECT value FROM secrets WHERE name = 'hash key'", [], |row| row.get(0))
}
