//! Checksums of rows: a row whose bytes changed on the disk is recognised, kept and never sent.
//!
//! The SQL function `row_checksum(…)` returns the CRC-32 of its arguments. Each row of the tables below has it in the column
//! `checksum`, over what is sent or replayed. What changes while a call waits (its attempts, the time of the next one) and
//! what is derived from the rest (labels) is left out. A chunk has a checksum of its own kind, over its body.

use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

/// The columns of a parked call that its checksum covers.
pub(in crate::outbox) const PARKED: &str =
    "destination, user, chunk, place, source, mapping, action, path, body, original, warnings, said, event";
pub(in crate::outbox) const DEAD_LETTER: &str =
    "at, destination, user, source, mapping, action, path, body, original, warnings, attempts, said, event";
pub(in crate::outbox) const REJECT: &str = "at, source, form, original, reasons, event, envelope";
pub(in crate::outbox) const PROGRESS: &str = "chunk, settled";

/// The tables whose rows have a checksum, and the columns that it covers.
pub(in crate::outbox) const TABLES: [(&str, &str); 4] =
    [("parked", PARKED), ("dead_letters", DEAD_LETTER), ("rejects", REJECT), ("progress", PROGRESS)];

/// Returns an SQL expression that is 1 if the row is as it was written.
pub(in crate::outbox) fn is_sound(columns: &str) -> String {
    format!("checksum = row_checksum({columns})")
}

/// Returns an SQL expression for the checksum of a row to insert, whose parameters are named like its columns.
pub(in crate::outbox) fn of_parameters(columns: &str) -> String {
    format!("row_checksum(:{})", columns.replace(", ", ", :"))
}

/// Registers `row_checksum` with a connection.
pub(in crate::outbox) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("row_checksum", -1, flags, |context| {
        let mut checksum = crc32fast::Hasher::new();
        for index in 0..context.len() {
            add(&mut checksum, context.get_raw(index));
        }
        Ok(i64::from(checksum.finalize()))
    })
}

/// Adds a value with its type and length, so that no two rows give the same bytes.
fn add(checksum: &mut crc32fast::Hasher, value: ValueRef<'_>) {
    let (kind, bytes) = match value {
        ValueRef::Null => (0, &[][..]),
        ValueRef::Integer(number) => return add_bytes(checksum, 1, &number.to_le_bytes()),
        ValueRef::Real(number) => return add_bytes(checksum, 2, &number.to_le_bytes()),
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    add_bytes(checksum, kind, bytes);
}

fn add_bytes(checksum: &mut crc32fast::Hasher, kind: u8, bytes: &[u8]) {
    checksum.update(&[kind]);
    checksum.update(&(bytes.len() as u64).to_le_bytes());
    checksum.update(bytes);
}
