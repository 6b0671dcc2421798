//! Parked requests, a row each: what waits for its retry, and what waits behind it.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Result, Row, named_params, params};

use super::super::Lane;
use super::super::chunk::Job;
use super::super::frame::Text;
use super::super::waiting::{CallId, WaitingFilter};
use super::super::{Amount, Attempt, Place};
use super::said;
use crate::event_id::EventId;

/// A request that waits in a row of its own.
#[derive(Debug, Clone)]
pub struct Parked {
    pub job: Job,
    pub attempts: Vec<Attempt>,
    /// None: it waits behind an earlier call of its user.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

const PARKED: &str = "SELECT id, destination, user, chunk, place, next_attempt_at, attempts, source, mapping, action, \
                      path, body, original, warnings, said, event FROM parked";

/// Parks a request in a row of its own, or changes the row in which it is parked.
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
            .execute(params![row, next_attempt_at, super::to_json(attempts)])?;
        return Ok(());
    }
    let (chunk, place) = job.place.order();
    connection
        .prepare_cached(
            "INSERT INTO parked (destination, user, chunk, place, next_attempt_at, attempts, source, mapping, action, path,
             body, original, warnings, said, event)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        )?
        .execute(params![
            job.destination.as_str(),
            job.user.as_str(),
            chunk,
            place,
            next_attempt_at,
            super::to_json(attempts),
            job.source.as_str(),
            job.mapping.as_str(),
            job.action.as_str(),
            job.path.as_str(),
            &job.body[..],
            &job.original[..],
            job.warnings.as_str(),
            said::to_bytes(&job.fingerprints),
            job.event.0.cast_signed(),
        ])?;
    Ok(())
}

/// Removes a parked request; returns its bytes, or none if it was not there.
pub(in super::super) fn unpark(connection: &Connection, row: i64) -> Result<Option<u64>> {
    let bytes = connection
        .prepare_cached("SELECT length(body) + length(original) FROM parked WHERE id = ?1")?
        .query_row([row], |row| super::unsigned(row, 0))
        .optional()?;
    connection.prepare_cached("DELETE FROM parked WHERE id = ?1")?.execute([row])?;
    Ok(bytes)
}

/// How many requests are parked, and their bytes.
pub(in super::super) fn parked_amount(connection: &Connection) -> Result<Amount> {
    super::amount(
        connection,
        "SELECT count(*), coalesce(sum(length(body) + length(original)), 0) FROM parked",
    )
}

/// The oldest event of which a request is parked.
pub(in super::super) fn oldest_parked(connection: &Connection) -> Result<Option<EventId>> {
    let oldest: Option<i64> = connection.query_row("SELECT min(event) FROM parked", [], |row| row.get(0))?;
    Ok(oldest.map(|id| EventId(id.cast_unsigned())))
}

/// How many requests each destination has parked.
pub(in super::super) fn parked_destinations(connection: &Connection) -> Result<BTreeMap<String, u64>> {
    connection
        .prepare("SELECT destination, count(*) FROM parked GROUP BY destination")?
        .query_map([], |row| Ok((row.get(0)?, super::unsigned(row, 1)?)))?
        .collect()
}

/// One user's parked requests of a destination, in order.
pub(in super::super) fn parked(
    connection: &Connection,
    destination: &str,
    user: &str,
    most: usize,
) -> Result<Vec<Parked>> {
    let page = format!("{PARKED} WHERE destination = ?1 AND user = ?2 ORDER BY chunk, place LIMIT ?3");
    connection
        .prepare_cached(&page)?
        .query_map(params![destination, user, i64::try_from(most).unwrap_or(i64::MAX)], read_parked)?
        .collect()
}

/// Parked requests after a place, in order. The event's name is for the caller to look at.
pub(in super::super) fn parked_page(
    connection: &Connection,
    filter: &WaitingFilter,
    after: CallId,
    most: usize,
) -> Result<Vec<Parked>> {
    let mut conditions = String::new();
    if !filter.ids.is_empty() {
        let ids: Vec<String> = filter.ids.iter().map(|id| format!("({}, {})", id.chunk, id.index)).collect();
        conditions = format!("AND (chunk, place) IN (VALUES {})", ids.join(", "));
    }
    let page = format!(
        "{PARKED} WHERE (chunk, place) > (:chunk, :place) {conditions}
         AND (:destination IS NULL OR destination = :destination) AND (:user IS NULL OR user = :user)
         ORDER BY chunk, place LIMIT :most"
    );
    let values = named_params! {
        ":chunk": after.chunk, ":place": after.index, ":destination": filter.destination, ":user": filter.user,
        ":most": i64::try_from(most).unwrap_or(i64::MAX),
    };
    connection.prepare(&page)?.query_map(values, read_parked)?.collect()
}

/// A user's first parked request and its event.
pub(in super::super) fn first_parked(
    connection: &Connection,
    destination: &str,
    user: &str,
) -> Result<Option<(CallId, EventId)>> {
    let first = "SELECT chunk, place, event FROM parked WHERE destination = ?1 AND user = ?2
                 ORDER BY chunk, place LIMIT 1";
    connection
        .prepare_cached(first)?
        .query_row([destination, user], |row| {
            Ok((CallId { chunk: row.get(0)?, index: row.get(1)? }, super::event(row, 2)?))
        })
        .optional()
}

/// The user's next attempt is due now.
pub(in super::super) fn make_due(
    connection: &Connection,
    destination: &str,
    user: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    connection
        .prepare_cached(
            "UPDATE parked SET next_attempt_at = ?3 WHERE destination = ?1 AND user = ?2 AND next_attempt_at > ?3",
        )?
        .execute(params![destination, user, now.timestamp_millis()])?;
    Ok(())
}

/// The newest chunk that a parked request of the destination came from.
pub(in super::super) fn last_parked_chunk(connection: &Connection, destination: &str) -> Result<Option<i64>> {
    let newest = "SELECT max(chunk) FROM parked WHERE destination = ?1";
    connection.query_row(newest, [destination], |row| row.get(0))
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
            request: u8::MAX,
            lane: Lane::Live,
            place: Place::Parked { row: row.get(0)?, chunk: row.get(3)?, index: row.get(4)? },
            event: super::event(row, 15)?,
            destination: text(1)?,
            user: text(2)?,
            source: text(7)?,
            mapping: text(8)?,
            action: text(9)?,
            path: text(10)?,
            body: blob(11)?,
            original: blob(12)?,
            warnings: text(13)?,
            fingerprints: said::from_bytes(&blob(14)?),
        },
        attempts: serde_json::from_str(&attempts).unwrap_or_default(),
        next_attempt_at: next_attempt_at.and_then(DateTime::from_timestamp_millis),
    })
}
