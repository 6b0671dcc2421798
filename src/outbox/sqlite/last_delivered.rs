//! The content that was last delivered for each derived call, one row each.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Result, params};

use crate::accoil::Fingerprint;

pub(in crate::outbox) fn record_delivered(
    connection: &Connection,
    fingerprints: &[Fingerprint],
    at: DateTime<Utc>,
) -> Result<()> {
    for one in fingerprints {
        connection
            .prepare_cached("INSERT OR REPLACE INTO said (key, content, at) VALUES (?1, ?2, ?3)")?
            .execute(params![one.key.cast_signed(), one.content.cast_signed(), at.timestamp_millis()])?;
    }
    Ok(())
}

/// Returns the last delivered fingerprints and when each was stored, oldest first, at most this many.
pub(in crate::outbox) fn last_delivered(
    connection: &Connection,
    most: usize,
) -> Result<Vec<(Fingerprint, DateTime<Utc>)>> {
    let mut fingerprints: Vec<_> = connection
        .prepare("SELECT key, content, at FROM said ORDER BY at DESC LIMIT ?1")?
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            let key = row.get::<_, i64>(0)?.cast_unsigned();
            let content = row.get::<_, i64>(1)?.cast_unsigned();
            Ok((Fingerprint { key, content }, super::columns::time(row, 2)?))
        })?
        .collect::<Result<_>>()?;
    fingerprints.reverse();
    Ok(fingerprints)
}

/// Returns the form for a column of the waiting rows.
pub(in crate::outbox) fn to_bytes(fingerprints: &[Fingerprint]) -> Vec<u8> {
    fingerprints.iter().flat_map(|one| [one.key.to_le_bytes(), one.content.to_le_bytes()].concat()).collect()
}

pub(in crate::outbox) fn from_bytes(bytes: &[u8]) -> Vec<Fingerprint> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    bytes
        .chunks_exact(16)
        .map(|pair| {
            let (key, content) = pair.split_at(8);
            Fingerprint { key: number(key), content: number(content) }
        })
        .collect()
}
