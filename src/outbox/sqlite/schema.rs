//! The on-disk format: the mark of the file's owner, its version, and the steps from each version to the next.
//!
//! `user_version` counts the migrations that a file has had. A step is never changed once it is released; a change of
//! the schema or of the chunk layout (`outbox::frame`) is one more step at the end.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::outbox::OpenError;

/// "ACRL": identifies a database file as an outbox of this program.
const APPLICATION_ID: i32 = 0x4143_524C;

/// Each step takes a file from the version of its index to the next.
const MIGRATIONS: &[&str] = &["
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, requests INTEGER NOT NULL, checksum INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE TABLE progress (chunk INTEGER PRIMARY KEY, settled BLOB NOT NULL) STRICT;
CREATE TABLE seen (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, ids BLOB NOT NULL) STRICT;
CREATE TABLE said (key INTEGER PRIMARY KEY, content INTEGER NOT NULL, at INTEGER NOT NULL) STRICT;
CREATE INDEX said_at ON said (at);
CREATE TABLE parked (
    id INTEGER PRIMARY KEY, destination TEXT NOT NULL, user TEXT NOT NULL, chunk INTEGER NOT NULL, place INTEGER NOT NULL,
    next_attempt_at INTEGER, attempts TEXT NOT NULL, source TEXT NOT NULL, mapping TEXT NOT NULL, action TEXT NOT NULL,
    path TEXT NOT NULL, body BLOB NOT NULL, original BLOB NOT NULL, warnings TEXT NOT NULL, said BLOB NOT NULL
) STRICT;
CREATE INDEX parked_order ON parked (destination, user, chunk, place);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, destination TEXT NOT NULL, user TEXT NOT NULL,
    source TEXT NOT NULL, mapping TEXT NOT NULL, action TEXT NOT NULL, path TEXT NOT NULL, body BLOB NOT NULL,
    original BLOB NOT NULL, warnings TEXT NOT NULL, attempts TEXT NOT NULL, said BLOB NOT NULL
) STRICT;
CREATE TABLE rejects (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, source TEXT NOT NULL, form TEXT NOT NULL,
    original BLOB NOT NULL, reasons TEXT NOT NULL
) STRICT;
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
", IDS, CHECKSUMS, JOBS, LANES, REASONS];

/// Event ids, labels to search by, and one number space for dead letters and rejects: rejects of an older file get numbers
/// above all of its dead letters. `kept_at` is running time (see `outbox::clock`), by which rows become old. Rows of
/// older files get an id made of their time or place.
const IDS: &str = "
ALTER TABLE chunks ADD COLUMN layout INTEGER NOT NULL DEFAULT 1;
ALTER TABLE parked ADD COLUMN event INTEGER NOT NULL DEFAULT 0;
UPDATE parked SET event = (chunk << 16) | place;
CREATE INDEX parked_place ON parked (chunk, place);
CREATE INDEX parked_event ON parked (event);

ALTER TABLE dead_letters ADD COLUMN event INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN message_id TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN code TEXT NOT NULL DEFAULT '';
ALTER TABLE dead_letters ADD COLUMN kept_at INTEGER NOT NULL DEFAULT 0;
UPDATE dead_letters SET event = (at << 22) | (id & 4194303), kept_at = at;
UPDATE dead_letters SET name = coalesce(CAST(original AS TEXT) ->> '$.event', CAST(original AS TEXT) ->> '$.event_type',
        CAST(original AS TEXT) ->> '$.type', ''),
    message_id = coalesce(CAST(original AS TEXT) ->> '$.messageId', CAST(original AS TEXT) ->> '$.insert_id', '')
    WHERE json_valid(CAST(original AS TEXT));
CREATE INDEX dead_letters_event ON dead_letters (event);

ALTER TABLE rejects ADD COLUMN event INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rejects ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE rejects ADD COLUMN user TEXT NOT NULL DEFAULT '';
ALTER TABLE rejects ADD COLUMN message_id TEXT NOT NULL DEFAULT '';
ALTER TABLE rejects ADD COLUMN code TEXT NOT NULL DEFAULT '';
ALTER TABLE rejects ADD COLUMN envelope TEXT;
ALTER TABLE rejects ADD COLUMN kept_at INTEGER NOT NULL DEFAULT 0;
UPDATE rejects SET id = id + (SELECT max(seq) FROM sqlite_sequence WHERE name IN ('dead_letters', 'rejects'))
    WHERE EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'dead_letters');
UPDATE sqlite_sequence SET seq = (SELECT max(id) FROM rejects)
    WHERE name = 'rejects' AND seq < (SELECT max(id) FROM rejects);
UPDATE rejects SET event = (at << 22) | (id & 4194303), kept_at = at;
UPDATE rejects SET name = coalesce(CAST(original AS TEXT) ->> '$.event', CAST(original AS TEXT) ->> '$.event_type',
        CAST(original AS TEXT) ->> '$.type', ''),
    user = coalesce(CAST(original AS TEXT) ->> '$.userId', CAST(original AS TEXT) ->> '$.user_id', ''),
    message_id = coalesce(CAST(original AS TEXT) ->> '$.messageId', CAST(original AS TEXT) ->> '$.insert_id', '')
    WHERE json_valid(CAST(original AS TEXT));
CREATE INDEX rejects_event ON rejects (event);

CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
";

/// A checksum for each row that is sent later (see `checksum`).
const CHECKSUMS: &str = "
ALTER TABLE parked ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE parked SET checksum = row_checksum(
    destination, user, chunk, place, source, mapping, action, path, body, original, warnings, said, event);
ALTER TABLE dead_letters ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE dead_letters SET checksum = row_checksum(
    at, destination, user, source, mapping, action, path, body, original, warnings, attempts, said, event);
ALTER TABLE rejects ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE rejects SET checksum = row_checksum(at, source, form, original, reasons, event, envelope);
ALTER TABLE progress ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE progress SET checksum = row_checksum(chunk, settled);
";

/// Jobs; see `outbox::jobs`.
const JOBS: &str = "
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, filter TEXT NOT NULL, up_to INTEGER NOT NULL,
    expect INTEGER NOT NULL, cursor INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL, by TEXT NOT NULL, at INTEGER NOT NULL,
    note TEXT NOT NULL DEFAULT ''
) STRICT;
";

/// Which of its event's requests a call is (255: unknown), and 1 for a call in the background.
const LANES: &str = "
ALTER TABLE parked ADD COLUMN number INTEGER NOT NULL DEFAULT 255;
ALTER TABLE parked ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letters ADD COLUMN number INTEGER NOT NULL DEFAULT 255;
";

/// A row for each reason of dead letters and rejects (see `groups`).
const REASONS: &str = "
CREATE TABLE reasons (
    kind TEXT NOT NULL, reason INTEGER NOT NULL, code TEXT NOT NULL, destination TEXT NOT NULL, source TEXT NOT NULL,
    mapping TEXT NOT NULL, field TEXT NOT NULL, text TEXT NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,
    newest INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (kind, reason)
) STRICT, WITHOUT ROWID;
ALTER TABLE dead_letters ADD COLUMN reason INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rejects ADD COLUMN reason INTEGER NOT NULL DEFAULT 0;
CREATE INDEX dead_letters_reason ON dead_letters (reason);
CREATE INDEX rejects_reason ON rejects (reason);
";

/// The version that this program writes.
pub(super) fn version() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Refuses a file that is not an outbox, is from a later version, or cannot be read.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| failed(path, source);
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application = number("application_id").map_err(failed)?;
    let found = number("user_version").map_err(failed)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let is_new = application == 0 && found == 0 && tables == 0;
    match application {
        APPLICATION_ID if found > version() => {
            Err(OpenError::Version { path: path.to_owned(), found, known: version() })
        }
        APPLICATION_ID => Ok(()),
        _ if is_new => Ok(()),
        _ => Err(OpenError::Foreign { path: path.to_owned() }),
    }
}

/// Brings the file to this program's version. Each step is done completely or not at all.
pub(super) fn migrate(connection: &Connection) -> rusqlite::Result<()> {
    let had: usize = connection
        .pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0))?
        .try_into()
        .unwrap_or(0);
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(had) {
        let version = index + 1;
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {migration} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version};"
        ))?;
        if *migration == REASONS {
            super::regroup(connection)?;
        }
        connection.execute_batch("COMMIT")?;
    }
    Ok(())
}

/// Returns what an error at the start means to an operator.
pub(super) fn failed(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            OpenError::Damaged { path, what: source.to_string() }
        }
        _ => OpenError::Database { path, source: source.into() },
    }
}
