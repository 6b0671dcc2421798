//! The history's database file: opens it, checks it, and moves it aside if it is damaged.
//!
//! It uses WAL with `synchronous=NORMAL`: a power failure may cost the last seconds of the history, never the whole file. No
//! delivery depends on it. Never opens the file of another program, and never lets two relays write one file.

mod blocks;
mod rest;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chrono::Utc;
use rusqlite::{Connection, ErrorCode, OpenFlags};

pub(super) use blocks::{PackedBlock, Part, block_of, bloom, each_head, late_for, newest, part};
pub use rest::Version;
pub(super) use rest::{mappings, marks, series_rows, state, versions};

/// "ACRH": identifies the database file as a history.
const APPLICATION_ID: i32 = 0x4143_5248;
const VERSION: i32 = 1;
const SCHEMA: &str = "
CREATE TABLE blocks (
    id INTEGER PRIMARY KEY, first INTEGER NOT NULL, events INTEGER NOT NULL, payloads INTEGER NOT NULL,
    from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, least_event INTEGER NOT NULL, most_event INTEGER NOT NULL,
    least_late INTEGER NOT NULL, most_late INTEGER NOT NULL, mask INTEGER NOT NULL
) STRICT;
CREATE TABLE blooms (block INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, bits BLOB NOT NULL) STRICT;
CREATE TABLE parts (id INTEGER PRIMARY KEY, checksum INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE mappings (version INTEGER PRIMARY KEY, at INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
CREATE TABLE marks (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE TABLE series (
    step INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (step, at)
) STRICT, WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
";
/// Files up to this size are checked completely at the start.
const CHECKED_BYTES: u64 = 64 << 20;
/// The log is copied into the file when it has this size, or a sixty-fourth of the file's largest size.
const LOG_BYTES: u64 = 16 << 20;
const PAGE_BYTES: u64 = 4096;
/// The memory for pages of the file, in KiB.
const CACHE: i32 = -2048;
/// How long to wait for a reader, or a person's `sqlite3`, that holds a lock on the file.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(2);

/// Why a history could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("history {}: the folder or file cannot be opened; check that it exists and may be written", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("history {}: the file does not exist; check history.url, and the folder in which the command runs", path.display())]
    Missing { path: PathBuf },
    #[error("history {}: another relay records into it; give each relay a file of its own", path.display())]
    InUse { path: PathBuf },
    #[error("history {}: this is a database of another program; name another file in history.url", path.display())]
    Foreign { path: PathBuf },
    #[error(
        "history {}: written by a later version (format {found}, this program knows up to {VERSION}); use that version, or \
         move the file away", path.display()
    )]
    Version { path: PathBuf, found: i32 },
    #[error("history {}: the database cannot be opened; check the disk and who may read and write there", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
    #[error("history {}: its thread could not be started; raise the limit of threads or memory of this process", path.display())]
    Thread { path: PathBuf, source: std::io::Error },
}

/// The connection that writes.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) connection: Connection,
    path: PathBuf,
    max_bytes: u64,
    /// Held as long as the store is open.
    lock: File,
}

impl Store {
    /// Opens the file. A damaged file is moved aside with a warning, and a new one is created.
    pub(super) fn open(path: &Path, max_bytes: u64) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let connection = match open_file(path, max_bytes) {
            Err(OpenError::Database { source, .. }) if is_damaged(&source) => {
                move_aside(path, &source)
                    .map_err(|source| OpenError::File { path: path.to_owned(), source })?;
                open_file(path, max_bytes)?
            }
            opened => opened?,
        };
        Ok(Self { connection, path: path.to_owned(), max_bytes, lock })
    }

    /// Moves the file aside, because it turned out to be damaged, and creates a new one.
    pub(super) fn replace_damaged(self, error: &rusqlite::Error) -> Result<Self, OpenError> {
        let Self { connection, path, max_bytes, lock } = self;
        drop(connection);
        move_aside(&path, error).map_err(|source| OpenError::File { path: path.clone(), source })?;
        let connection = open_file(&path, max_bytes)?;
        Ok(Self { connection, path, max_bytes, lock })
    }

    /// Copies the log into the file, so that the file is complete without it.
    pub(super) fn close(self) {
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::File { path: path.to_owned(), source };
    let file = private().open(beside(path, ".lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Options to create a file, or open an existing one, for this user alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options
}

fn open_file(path: &Path, max_bytes: u64) -> Result<Connection, OpenError> {
    // SQLite gives its log the permissions of the file.
    drop(private().open(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?);
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let is_new = check(&connection, path)?;
    let pages = (max_bytes / 64).clamp(16 * PAGE_BYTES, LOG_BYTES) / PAGE_BYTES;
    let set_up = format!(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         PRAGMA cache_size = {CACHE}; PRAGMA wal_autocheckpoint = {pages}; PRAGMA journal_size_limit = {};",
        pages * PAGE_BYTES
    );
    connection.execute_batch(&set_up).map_err(failed)?;
    if is_new {
        let schema = format!(
            "BEGIN IMMEDIATE; {SCHEMA} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        );
        connection.execute_batch(&schema).map_err(failed)?;
    }
    check_whole(&connection, path).map_err(failed)?;
    Ok(connection)
}

/// Opens a connection that only reads; it works beside a running relay.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    if !path.exists() {
        return Err(OpenError::Missing { path: path.to_owned() });
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check(&connection, path)?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Refuses a file that is not a history or was written by a later version. Returns whether it is new.
fn check(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let failed = |source| OpenError::Database { path: path.to_owned(), source };
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application = number("application_id").map_err(failed)?;
    let found = number("user_version").map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    match application {
        APPLICATION_ID if found > VERSION => Err(OpenError::Version { path: path.to_owned(), found }),
        APPLICATION_ID => Ok(false),
        0 if found == 0 && tables == 0 => Ok(true),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// Checks a small file completely; of a large file it reads the tables that are needed to find everything else.
fn check_whole(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let size = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size <= CHECKED_BYTES {
        let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            let error = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(error, Some(found)));
        }
    }
    connection.query_row("SELECT sum(events) FROM blocks", [], |_| Ok(()))
}

/// Returns whether the error means that the file itself is damaged.
pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Renames the file and its log, with the time in their names, so that a person can look at them.
fn move_aside(path: &Path, error: &rusqlite::Error) -> std::io::Result<()> {
    let suffix = Utc::now().format(".damaged-%Y-%m-%dT%H%M%S").to_string();
    let aside = beside(path, &suffix);
    for ending in ["", "-wal", "-shm"] {
        match std::fs::rename(beside(path, ending), beside(&aside, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    tracing::warn!(
        error.message = %error,
        file = %aside.display(),
        "the history is damaged: it was moved aside and a new one begins. No event is lost by that; delete the moved file \
         when nobody needs it"
    );
    Ok(())
}

/// Returns the path of the file with an ending added to its name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}
