//! The outbox's one database file: opens it, locks it, checks it, and migrates it to this program's version.
//!
//! It has one connection that writes, owned by the writer thread, and others that read. `synchronous=FULL` is set and read
//! back, because the contract's "on disk" depends on it. Never opens a file of another program, and never uses one that is
//! damaged.

mod archive;
mod backup;
mod changes;
mod checksum;
mod chunks;
mod columns;
mod command;
mod groups;
mod handle;
mod jobs;
mod last_delivered;
mod letters;
mod lock;
mod log;
mod mirror;
mod moved;
mod owner;
mod parked;
mod reads;
mod recover;
mod recovery_note;
mod requeue;
mod schema;
mod space;
mod stage;
mod state;
mod upkeep;
mod waiting;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

pub use archive::Archive;
pub use backup::{BackupError, backup};
use checksum::TABLES as CHECKED_TABLES;
pub(super) use checksum::{is_sound, register as register_checksum};
pub(super) use chunks::{
    Progress, after, chunk_amount, delete, forget, insert, last_id, last_reject, oldest_in_chunks, progress,
    remember, remembered, repair_progress, running_time, save_progress, store_running_time,
};
use columns::unsigned;
pub(super) use groups::{groups, regroup};
pub(super) use jobs::{advance_job, create_job, job, jobs, put_job, running_job, set_job_state};
pub(super) use last_delivered::{last_delivered, record_delivered};
pub(super) use letters::{
    damaged as damaged_letters, dead_letter, dead_letters, insert_dead_letter, insert_reject, letters_amount,
    newest_number, numbers, rejects, remove, remove_old, remove_oldest,
};
pub(super) use parked::{
    damaged_calls, first_parked, last_parked_chunk, make_due, oldest_parked, park, parked, parked_amount,
    parked_destinations, parked_in_background, parked_page, parked_users, unpark,
};
pub(super) use state::{keep_value, values};

pub(super) use handle::Outbox;
pub use lock::{Lock, lock};
use lock::{canonical, warn_of_readers};
use log::Log;
pub(super) use mirror::{Mirror, in_lane};
pub use owner::{announce, owner};
pub use recover::{Recovery, recover};

use owner::Mark;
use recovery_note::refuse_interrupted;

use crate::outbox::{Amount, Attempt, OpenError};

/// The one lane of this outbox.
const LANE: u16 = 0;

/// The size of the log, in pages, from which it is copied into the file: 32 MB. Usually a delivered chunk is deleted
/// before it is ever copied.
const LOG_PAGES: i32 = 4096;
/// Files up to this size are checked completely at the start.
const CHECKED_BYTES: u64 = 256 << 20;
/// The time to wait if a person's `sqlite3` holds a lock on the file.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// The size of the log, in frames of one page each.
#[derive(Debug, Default)]
struct LogSize {
    /// As of the last commit.
    frames: AtomicU32,
    /// Not yet copied into the file.
    uncopied: AtomicU32,
}

impl LogSize {
    fn set_copied(&self, copied: i32) {
        let frames = self.frames.load(Ordering::Relaxed);
        self.uncopied.store(frames.saturating_sub(copied.unsigned_abs()), Ordering::Relaxed);
    }
}

/// The writing connection and what must live as long as it.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) connection: Connection,
    /// The random key with which this outbox hashes ids.
    pub(super) key: [u8; 16],
    log_size: Arc<LogSize>,
    page_size: u64,
    log: Option<File>,
    /// Held as long as the store is open, so that a second process is refused.
    lock: Lock,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        refuse_interrupted(&canonical(path))?;
        Self::open_locked(path, lock)
    }

    /// Opens the store for a caller that already holds the lock.
    pub(super) fn open_locked(path: &Path, mut lock: Lock) -> Result<Self, OpenError> {
        let path = &canonical(path);
        let failed = |source| schema::failed(path, source);
        refuse_lost(path)?;
        refuse_damaged_log(path, lock.mark())?;
        sync_log(path)?;
        let mut connection = Connection::open(path).map_err(failed)?;
        // Until everything is known to be in order, closing must not delete the log.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        schema::check(&connection, path)?;
        refuse_missing(&connection, path, lock.mark())?;
        check_moderate(&connection, path)?;
        let log_size = Arc::<LogSize>::default();
        make_durable(&mut connection, path, Arc::clone(&log_size))?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map_err(failed)?;
        lock.begin();
        checksum::register(&connection).map_err(failed)?;
        schema::migrate(&connection).map_err(failed)?;
        let key = key(&connection).map_err(failed)?;
        let page_size =
            connection.pragma_query_value(None, "page_size", |row| unsigned(row, 0)).map_err(failed)?;
        Ok(Self { connection, key, log_size, page_size, log: File::open(beside(path, "-wal")).ok(), lock })
    }

    /// Writes into the lock file how far the outbox is committed, so that the next start can compare.
    pub(super) fn write_mark(&self, chunk: i64, reject: i64) {
        let salts = self.log.as_ref().and_then(|log| log::salts(log).ok());
        let frames = self.log_size.frames.load(Ordering::Relaxed);
        self.lock.write_mark(Mark { salts: salts.unwrap_or_default(), frames, chunk, reject });
    }

    /// Returns by how many bytes the database file may grow when the log is copied into it.
    pub(super) fn log_bytes(&self) -> u64 {
        u64::from(self.log_size.uncopied.load(Ordering::Relaxed)) * self.page_size
    }

    /// Copies the log into the file, as far as readers and free space allow. The log is then used from its beginning
    /// again. Fails only if the disk failed.
    pub(super) fn copy_log(&self) -> rusqlite::Result<()> {
        match self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2)) {
            Ok(copied) => self.log_size.set_copied(copied),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => return Err(error),
            Err(_) => {}
        }
        Ok(())
    }

    /// Leaves a file that is complete without its log. If that fails, the log is read at the next start.
    pub(super) fn close(&mut self) {
        let is_copied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        if is_copied == Ok(0) {
            self.lock.end();
        }
    }
}

/// Opens a connection that only reads; it works beside a running relay.
pub(super) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    refuse_interrupted(&canonical(path))?;
    let failed = |source| schema::failed(path, source);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    schema::check(&connection, path)?;
    checksum::register(&connection).map_err(failed)?;
    Ok(connection)
}

/// Returns the file with the database's name and this ending.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// SQLite treats an empty file as a new database and deletes the log beside it. If there is a log, it contains events
/// and their file is lost: a person must decide what to do.
fn refuse_lost(path: &Path) -> Result<(), OpenError> {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size(path) == 0 && size(&beside(path, "-wal")) > 0 {
        let what = "the file is empty or gone, but its log is there".to_owned();
        return Err(OpenError::Damaged { path: path.to_owned(), what });
    }
    Ok(())
}

/// What a killed owner had committed to the log must be there: SQLite would continue without it.
fn refuse_damaged_log(path: &Path, mark: Option<Mark>) -> Result<(), OpenError> {
    let log = Log::read(&beside(path, "-wal"));
    let log = log.map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    match log.and_then(|log| log.fault(mark)) {
        Some(what) => Err(OpenError::Damaged { path: path.to_owned(), what }),
        None => Ok(()),
    }
}

/// Syncs the log before anything builds on it: the last commit of a killed owner can be read, and may not be on the disk yet. A
/// power cut could then lose it after its events were answered as duplicates.
fn sync_log(path: &Path) -> Result<(), OpenError> {
    match File::open(beside(path, "-wal")).and_then(|log| log.sync_data()) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(OpenError::File { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// What a killed owner had committed must be in the file or in its log: both may be sound, and one of them missing.
fn refuse_missing(connection: &Connection, path: &Path, mark: Option<Mark>) -> Result<(), OpenError> {
    let Some(mark) = mark else { return Ok(()) };
    let missing = missing(connection, mark).map_err(|source| schema::failed(path, source))?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(OpenError::Damaged {
        path: path.to_owned(),
        what: format!("{missing} are missing that were committed to it"),
    })
}

/// What was committed and is certainly lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Commits with accepted events, at least one event each.
    pub commits: u64,
    /// True if at least one reject is lost.
    pub rejects: bool,
}

impl Losses {
    pub const fn is_empty(self) -> bool {
        self.commits == 0 && !self.rejects
    }
}

impl std::fmt::Display for Losses {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} commits of accepted events (one event or more each)", self.commits)?;
        if self.rejects { formatter.write_str(" and one reject or more") } else { Ok(()) }
    }
}

/// Ids only grow. Those given out up to the mark that the database does not know are lost.
fn missing(connection: &Connection, mark: Mark) -> rusqlite::Result<Losses> {
    let is_new: bool =
        connection.query_row("SELECT count(*) = 0 FROM sqlite_schema WHERE name = 'chunks'", [], |row| {
            row.get(0)
        })?;
    let [chunk, reject] = if is_new { [0, 0] } else { [last_id(connection)?, last_reject(connection)?] };
    let commits = u64::try_from(mark.chunk.saturating_sub(chunk)).unwrap_or(0);
    Ok(Losses { commits, rejects: mark.reject > reject })
}

/// Returns whether a file is small enough to be checked completely at the start.
pub(super) fn is_moderate(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= CHECKED_BYTES)
}

/// Reads a whole file of moderate size. Damage in a larger one is found when its place is read.
fn check_moderate(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    if is_moderate(path) { check_whole(connection, path) } else { Ok(()) }
}

pub(super) fn check_whole(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| schema::failed(path, source);
    let what: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if what == "ok" { Ok(()) } else { Err(OpenError::Damaged { path: path.to_owned(), what }) }
}

/// Sets the durability that the contract promises and reads it back.
fn make_durable(connection: &mut Connection, path: &Path, log_size: Arc<LogSize>) -> Result<(), OpenError> {
    let failed = |source| schema::failed(path, source);
    let not_durable = |what: String| OpenError::NotDurable { path: path.to_owned(), what };
    // Larger pages: a chunk is a blob of many kilobytes. Only a new file takes them.
    connection.pragma_update(None, "page_size", 8192).map_err(failed)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0)).map_err(failed)?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(not_durable(format!("journal_mode is {mode}")));
    }
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let level: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
    if level < 2 {
        return Err(not_durable(format!("synchronous is {level}")));
    }
    let hook = move |log: &mut Wal, pages: i32| {
        log_size.frames.store(pages.unsigned_abs(), Ordering::Relaxed);
        log_size.set_copied(0);
        if pages < LOG_PAGES { Ok(()) } else { copy_log(log, &log_size) }
    };
    connection.wal_hook(Some(hook)).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

/// Copies the log into the file when it has grown. SQLite's own mechanism forgets errors: after a failed fsync the
/// next one may succeed although the pages did not reach the disk, and the log would be used again.
fn copy_log(log: &mut Wal, log_size: &LogSize) -> rusqlite::Result<()> {
    match log.checkpoint_v2(CheckpointMode::PASSIVE) {
        Ok((_, copied)) => log_size.set_copied(copied),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => return Err(error),
        // If a reader is in the way, or the file has no room, the log keeps everything until the next time.
        Err(_) => {}
    }
    Ok(())
}

/// Returns whether a commit failed only because there was no room: SQLite has undone it, and everything stored before
/// is intact.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    })
}

/// Returns whether another program holds the database's lock; it will release it.
pub(super) fn is_locked(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Returns whether the file's content is not what was written.
pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Returns the unused bytes of the file, which are used before it grows.
pub(super) fn reusable_bytes(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| unsigned(row, 0));
    Ok(number("freelist_count")? * number("page_size")?)
}

/// Returns the outbox's hash key, which is made once.
fn key(connection: &Connection) -> rusqlite::Result<[u8; 16]> {
    connection
        .execute("INSERT OR IGNORE INTO secrets (name, value) VALUES ('hash key', randomblob(16))", [])?;
    connection.query_row("SELECT value FROM secrets WHERE name = 'hash key'", [], |row| row.get(0))
}

/// Returns the rows of a table whose bytes changed on the disk. Reads the whole table.
fn damaged(connection: &Connection, table: &str, checked: &str) -> rusqlite::Result<Vec<i64>> {
    connection
        .prepare(&format!("SELECT id FROM {table} WHERE NOT ({})", is_sound(checked)))?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Runs a query that counts rows and sums their sizes.
fn amount(connection: &Connection, query: &str) -> rusqlite::Result<Amount> {
    connection.query_row(query, [], |row| Ok(Amount { rows: unsigned(row, 0)?, bytes: unsigned(row, 1)? }))
}

fn to_json(attempts: &[Attempt]) -> String {
    // Attempts contain only values that JSON can express.
    serde_json::to_string(attempts).unwrap_or_else(|_| "[]".to_owned())
}
