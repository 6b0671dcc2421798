//! What is rare and asked about, a row each: parked requests, dead letters, rejects, delivered fingerprints.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, Result, Row, params};

use super::super::chunk::Job;
use super::super::frame::Text;
use super::super::{Attempt, Place, Reject};
use crate::accoil::Fingerprint;

/// A request that waits in a row of its own.
#[derive(Debug, Clone)]
pub struct Parked {
    pub job: Job,
    pub attempts: Vec<Attempt>,
    /// None: it waits behind an earlier call of its user.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// A call that can never be delivered as it is.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub destination: String,
    pub user: String,
    pub source: String,
    pub mapping: String,
    pub action: String,
    pub path: String,
    pub body: Vec<u8>,
    pub original: Vec<u8>,
    pub attempts: Vec<Attempt>,
}

/// An event that was refused, with the reasons as JSON.
#[derive(Debug, Clone)]
pub struct StoredReject {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub source: String,
    pub original: Vec<u8>,
    pub reasons: String,
}

pub(in super::super) fn park(
    connection: &Connection,
    job: &Job,
    attempts: &[Attempt],
    next_attempt_at: Option<DateTime<Utc>>,
) -> Result<()> {
    let next_attempt_at = next_attempt_at.map(|at| at.timestamp_millis());
    if let Place::Parked { row, .. } = job.place {
        connection
            .prepare_cached("UPDATE parked SET next_attempt_at = ?2, attempts = ?3 WHERE id = ?1")?
            .execute(params![row, next_attempt_at, to_json(attempts)])?;
        return Ok(());
    }
    let (chunk, place) = job.place.order();
    connection
        .prepare_cached(
            "INSERT INTO parked (destination, user, chunk, place, next_attempt_at, attempts, source, mapping, action, path,
             body, original, warnings, said) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
        )?
        .execute(params![
            job.destination.as_str(),
            job.user.as_str(),
            chunk,
            place,
            next_attempt_at,
            to_json(attempts),
            job.source.as_str(),
            job.mapping.as_str(),
            job.action.as_str(),
            job.path.as_str(),
            &job.body[..],
            &job.original[..],
            job.warnings.as_str(),
            fingerprint_bytes(&job.fingerprints),
        ])?;
    Ok(())
}

pub(in super::super) fn unpark(connection: &Connection, row: i64) -> Result<()> {
    connection.prepare_cached("DELETE FROM parked WHERE id = ?1")?.execute([row])?;
    Ok(())
}

/// One user's parked requests of a destination, in order.
pub(in super::super) fn parked(
    connection: &Connection,
    destination: &str,
    user: &str,
    most: usize,
) -> Result<Vec<Parked>> {
    connection
        .prepare_cached(
            "SELECT id, destination, user, chunk, place, next_attempt_at, attempts, source, mapping, action, path, body,
             original, warnings, said FROM parked WHERE destination = ?1 AND user = ?2 ORDER BY chunk, place LIMIT ?3",
        )?
        .query_map(params![destination, user, i64::try_from(most).unwrap_or(i64::MAX)], read_parked)?
        .collect()
}

/// The users with something parked, each with the time of the next attempt of its first request.
pub(in super::super) fn parked_users(
    connection: &Connection,
    destination: &str,
) -> Result<Vec<(String, Option<DateTime<Utc>>)>> {
    connection
        .prepare("SELECT user, max(next_attempt_at) FROM parked WHERE destination = ?1 GROUP BY user")?
        .query_map([destination], |row| {
            let at: Option<i64> = row.get(1)?;
            Ok((row.get(0)?, at.and_then(DateTime::from_timestamp_millis)))
        })?
        .collect()
}

fn read_parked(row: &Row<'_>) -> Result<Parked> {
    let blob = |index| row.get::<_, Vec<u8>>(index).map(Bytes::from);
    let text = |index| {
        let text: String = row.get(index)?;
        Ok::<_, rusqlite::Error>(Text::from(text))
    };
    let attempts: String = row.get(6)?;
    let next_attempt_at: Option<i64> = row.get(5)?;
    Ok(Parked {
        job: Job {
            place: Place::Parked { row: row.get(0)?, chunk: row.get(3)?, index: row.get(4)? },
            destination: text(1)?,
            user: text(2)?,
            source: text(7)?,
            mapping: text(8)?,
            action: text(9)?,
            path: text(10)?,
            body: blob(11)?,
            original: blob(12)?,
            warnings: text(13)?,
            fingerprints: read_fingerprints(&blob(14)?),
        },
        attempts: serde_json::from_str(&attempts).unwrap_or_default(),
        next_attempt_at: next_attempt_at.and_then(DateTime::from_timestamp_millis),
    })
}

pub(in super::super) fn bury(
    connection: &Connection,
    job: &Job,
    attempts: &[Attempt],
    at: DateTime<Utc>,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO dead_letters (at, destination, user, source, mapping, action, path, body, original, warnings,
             attempts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            at.timestamp_millis(),
            job.destination.as_str(),
            job.user.as_str(),
            job.source.as_str(),
            job.mapping.as_str(),
            job.action.as_str(),
            job.path.as_str(),
            &job.body[..],
            &job.original[..],
            job.warnings.as_str(),
            to_json(attempts),
        ])?;
    Ok(())
}

/// The newest dead letters first.
pub(in super::super) fn dead_letters(connection: &Connection, most: usize) -> Result<Vec<DeadLetter>> {
    connection
        .prepare_cached(
            "SELECT id, at, destination, user, source, mapping, action, path, body, original, attempts
             FROM dead_letters ORDER BY id DESC LIMIT ?1",
        )?
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            let attempts: String = row.get(10)?;
            Ok(DeadLetter {
                id: row.get(0)?,
                at: DateTime::from_timestamp_millis(row.get(1)?).unwrap_or_default(),
                destination: row.get(2)?,
                user: row.get(3)?,
                source: row.get(4)?,
                mapping: row.get(5)?,
                action: row.get(6)?,
                path: row.get(7)?,
                body: row.get(8)?,
                original: row.get(9)?,
                attempts: serde_json::from_str(&attempts).unwrap_or_default(),
            })
        })?
        .collect()
}

pub(in super::super) fn reject(
    connection: &Connection,
    source: &str,
    at: DateTime<Utc>,
    reject: &Reject,
) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO rejects (at, source, original, reasons) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![at.timestamp_millis(), source, &reject.original[..], reject.reasons])?;
    Ok(())
}

/// The newest rejects first.
pub(in super::super) fn rejects(connection: &Connection, most: usize) -> Result<Vec<StoredReject>> {
    connection
        .prepare_cached("SELECT id, at, source, original, reasons FROM rejects ORDER BY id DESC LIMIT ?1")?
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok(StoredReject {
                id: row.get(0)?,
                at: DateTime::from_timestamp_millis(row.get(1)?).unwrap_or_default(),
                source: row.get(2)?,
                original: row.get(3)?,
                reasons: row.get(4)?,
            })
        })?
        .collect()
}

/// Bytes that the rejects hold.
pub(in super::super) fn reject_bytes(connection: &Connection) -> Result<u64> {
    let sum: Option<i64> =
        connection
            .query_row("SELECT sum(length(original) + length(reasons)) FROM rejects", [], |row| row.get(0))?;
    Ok(sum.and_then(|sum| u64::try_from(sum).ok()).unwrap_or(0))
}

/// Deletes the oldest rejects, some at once; says how many bytes that freed.
pub(in super::super) fn drop_oldest_rejects(connection: &Connection) -> Result<u64> {
    let freed: Option<i64> = connection
        .prepare_cached(
            "SELECT sum(length(original) + length(reasons)) FROM (SELECT * FROM rejects ORDER BY id LIMIT 256)",
        )?
        .query_row([], |row| row.get(0))?;
    connection
        .prepare_cached("DELETE FROM rejects WHERE id IN (SELECT id FROM rejects ORDER BY id LIMIT 256)")?
        .execute([])?;
    Ok(freed.and_then(|freed| u64::try_from(freed).ok()).unwrap_or(0))
}

pub(in super::super) fn say(connection: &Connection, said: &[Fingerprint], at: DateTime<Utc>) -> Result<()> {
    for one in said {
        connection
            .prepare_cached("INSERT OR REPLACE INTO said (key, content, at) VALUES (?1, ?2, ?3)")?
            .execute(params![one.key.cast_signed(), one.content.cast_signed(), at.timestamp_millis()])?;
    }
    Ok(())
}

/// What was delivered last for each id, the oldest first, at most so many.
pub(in super::super) fn said(connection: &Connection, most: usize) -> Result<Vec<Fingerprint>> {
    let mut said: Vec<Fingerprint> = connection
        .prepare("SELECT key, content FROM said ORDER BY at DESC LIMIT ?1")?
        .query_map([i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok(Fingerprint {
                key: row.get::<_, i64>(0)?.cast_unsigned(),
                content: row.get::<_, i64>(1)?.cast_unsigned(),
            })
        })?
        .collect::<Result<_>>()?;
    said.reverse();
    Ok(said)
}

fn to_json(attempts: &[Attempt]) -> String {
    // Attempts hold nothing that JSON cannot.
    serde_json::to_string(attempts).unwrap_or_else(|_| "[]".to_owned())
}

fn fingerprint_bytes(fingerprints: &[Fingerprint]) -> Vec<u8> {
    fingerprints.iter().flat_map(|one| [one.key.to_le_bytes(), one.content.to_le_bytes()].concat()).collect()
}

fn read_fingerprints(bytes: &[u8]) -> Vec<Fingerprint> {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    bytes
        .chunks_exact(16)
        .map(|pair| {
            let (key, content) = pair.split_at(8);
            Fingerprint { key: number(key), content: number(content) }
        })
        .collect()
}
