//! What derived calls said last, a row each.

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Result, params};

use crate::accoil::Fingerprint;

pub(in super::super) fn say(connection: &Connection, said: &[Fingerprint], at: DateTime<Utc>) -> Result<()> {
    for one in said {
        connection
            .prepare_cached("INSERT OR REPLACE INTO said (key, content, at) VALUES (?1, ?2, ?3)")?
            .execute(params![one.key.cast_signed(), one.content.cast_signed(), at.timestamp_millis()])?;
    }
    Ok(())
}

/// What was delivered last for each id and when that was stored, the oldest first, at most so many.
pub(in super::super) fn said(
    connection: &Connection,
    most: usize,
) -> Result<Vec<(Fingerprint, DateTime<Utc>)>> {
    let mut said: Vec<_> = connection
        .prepare("SELECT key, content, at FROM said ORDER BY at DESC LIMIT ?1")?
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            let key = row.get::<_, i64>(0)?.cast_unsigned();
            let content = row.get::<_, i64>(1)?.cast_unsigned();
            Ok((Fingerprint { key, content }, super::columns::time(row, 2)?))
        })?
        .collect::<Result<_>>()?;
    said.reverse();
    Ok(said)
}

/// As a column of the rows that wait.
pub(super) fn to_bytes(fingerprints: &[Fingerprint]) -> Vec<u8> {
    fingerprints.iter().flat_map(|one| [one.key.to_le_bytes(), one.content.to_le_bytes()].concat()).collect()
}

pub(super) fn from_bytes(bytes: &[u8]) -> Vec<Fingerprint> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    bytes
        .chunks_exact(16)
        .map(|pair| {
            let (key, content) = pair.split_at(8);
            Fingerprint { key: number(key), content: number(content) }
        })
        .collect()
}
