//! Parked calls, one row each: those that wait for their retry, and those that wait behind them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, Result, Row, named_params, params};

use super::checksum::{self, is_sound};
use super::{LANE, columns, last_delivered};
use crate::event_id::EventId;
use crate::outbox::Priority;
use crate::outbox::chunk::Job;
use crate::outbox::frame::Text;
use crate::outbox::{Amount, Attempt, Parked, Place, Position, Retry, WaitingFilter};

static SELECT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT id, destination, user, chunk, place, next_attempt_at, attempts, source, mapping, action, path, body,
         original, warnings, said, event, {}, number, lane FROM parked",
        is_sound(checksum::PARKED)
    )
});

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let columns = format!("{}, next_attempt_at, attempts, number, lane", checksum::PARKED);
    format!(
        "INSERT INTO parked ({columns}, checksum) VALUES (:{}, {})",
        columns.replace(", ", ", :"),
        checksum::of_parameters(checksum::PARKED)
    )
});

/// Parks a call in a row of its own, or updates the row in which it is parked.
pub(in crate::outbox) fn park(
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
    let Position { chunk, index, .. } = job.place.position();
    connection.prepare_cached(&INSERT)?.execute(named_params! {
        ":destination": job.destination.as_str(),
        ":user": job.user.as_str(),
        ":chunk": chunk,
        ":place": index,
        ":source": job.source.as_str(),
        ":mapping": job.mapping.as_str(),
        ":action": job.action.as_str(),
        ":path": job.path.as_str(),
        ":body": &job.body[..],
        ":original": &job.original[..],
        ":warnings": job.warnings.as_str(),
        ":said": last_delivered::to_bytes(&job.fingerprints),
        ":event": job.event.0.cast_signed(),
        ":next_attempt_at": next_attempt_at,
        ":attempts": super::to_json(attempts),
        ":number": job.request,
        ":lane": u8::from(job.priority == Priority::Background),
    })?;
    Ok(())
}

/// Removes a parked call; returns its size, or `None` if it does not exist.
pub(in crate::outbox) fn unpark(connection: &Connection, row: i64) -> Result<Option<u64>> {
    let bytes = connection
        .prepare_cached("SELECT length(body) + length(original) FROM parked WHERE id = ?1")?
        .query_row([row], |row| super::unsigned(row, 0))
        .optional()?;
    connection.prepare_cached("DELETE FROM parked WHERE id = ?1")?.execute([row])?;
    Ok(bytes)
}

/// Returns the number of parked calls and their size.
pub(in crate::outbox) fn parked_amount(connection: &Connection) -> Result<Amount> {
    super::amount(
        connection,
        "SELECT count(*), coalesce(sum(length(body) + length(original)), 0) FROM parked",
    )
}

/// Returns the oldest event with a parked call.
pub(in crate::outbox) fn oldest_parked(connection: &Connection) -> Result<Option<EventId>> {
    let oldest: Option<i64> = connection.query_row("SELECT min(event) FROM parked", [], |row| row.get(0))?;
    Ok(oldest.map(|id| EventId(id.cast_unsigned())))
}

/// Returns the number of parked calls of each destination.
pub(in crate::outbox) fn parked_destinations(connection: &Connection) -> Result<BTreeMap<String, u64>> {
    connection
        .prepare("SELECT destination, count(*) FROM parked GROUP BY destination")?
        .query_map([], |row| Ok((columns::text(row, 0)?, super::unsigned(row, 1)?)))?
        .collect()
}

/// How many calls of a destination are parked in the background.
pub(in crate::outbox) fn parked_in_background(connection: &Connection, destination: &str) -> Result<u64> {
    let query = "SELECT count(*) FROM parked WHERE destination = ?1 AND lane = 1";
    connection.query_row(query, [destination], |row| super::unsigned(row, 0))
}

/// Returns one user's first parked calls for a destination, in order: at most `most` that can be sent. Calls
/// `damaged` for the damaged ones before them.
pub(in crate::outbox) fn parked(
    connection: &Connection,
    destination: &str,
    user: &str,
    most: usize,
    mut damaged: impl FnMut(i64),
) -> Result<Vec<Parked>> {
    let mut statement = connection
        .prepare_cached(&format!("{} WHERE destination = ?1 AND user = ?2 ORDER BY chunk, place", *SELECT))?;
    let mut rows = statement.query([destination, user])?;
    let mut found = Vec::new();
    while found.len() < most
        && let Some(row) = rows.next()?
    {
        let parked = read_parked(row)?;
        if parked.is_damaged {
            damaged(columns::integer(row, 0)?);
        } else {
            found.push(parked);
        }
    }
    Ok(found)
}

/// Returns the parked calls whose bytes changed on the disk. Reads all of them.
pub(in crate::outbox) fn damaged_calls(connection: &Connection) -> Result<Vec<i64>> {
    super::damaged(connection, "parked", checksum::PARKED)
}

/// Returns the parked calls after a place, in order. The caller must check the event's name itself.
pub(in crate::outbox) fn parked_page(
    connection: &Connection,
    filter: &WaitingFilter,
    after: Position,
    most: usize,
) -> Result<Vec<Parked>> {
    let mut conditions = String::new();
    if !filter.ids.is_empty() {
        let ids: Vec<String> = filter.ids.iter().map(|id| format!("({}, {})", id.chunk, id.index)).collect();
        conditions = format!("AND (chunk, place) IN (VALUES {})", ids.join(", "));
    }
    let page = format!(
        "{} WHERE (chunk, place) > (:chunk, :place) {conditions}
         AND (:destination IS NULL OR destination = :destination) AND (:user IS NULL OR user = :user)
         ORDER BY chunk, place LIMIT :most",
        *SELECT
    );
    let values = named_params! {
        ":chunk": after.chunk, ":place": after.index, ":destination": filter.destination, ":user": filter.user,
        ":most": i64::try_from(most).unwrap_or(i64::MAX),
    };
    connection.prepare(&page)?.query_map(values, read_parked)?.collect()
}

/// Returns a user's first parked call that can be sent, and its event.
pub(in crate::outbox) fn first_parked(
    connection: &Connection,
    destination: &str,
    user: &str,
) -> Result<Option<(Position, EventId)>> {
    let first = format!(
        "SELECT chunk, place, event FROM parked WHERE destination = ?1 AND user = ?2 AND {}
         ORDER BY chunk, place LIMIT 1",
        is_sound(checksum::PARKED)
    );
    connection
        .prepare_cached(&first)?
        .query_row([destination, user], |row| {
            Ok((Position { lane: LANE, chunk: row.get(0)?, index: row.get(1)? }, columns::event(row, 2)?))
        })
        .optional()
}

/// Makes the user's next attempt due now.
pub(in crate::outbox) fn make_due(
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

/// Returns the newest chunk that a parked call of the destination came from.
pub(in crate::outbox) fn last_parked_chunk(
    connection: &Connection,
    destination: &str,
) -> Result<Option<i64>> {
    let newest = "SELECT max(chunk) FROM parked WHERE destination = ?1";
    connection.query_row(newest, [destination], |row| row.get(0))
}

/// The users with parked calls, each with the next attempt of its first call.
pub(in crate::outbox) fn parked_users(
    connection: &Connection,
    destination: &str,
) -> Result<Vec<(String, Option<Retry>)>> {
    // SQLite takes the attempts from the row that has the maximum.
    let users = "SELECT user, max(next_attempt_at),
                 CASE WHEN json_valid(attempts) THEN json_extract(attempts, '$[#-1].at') END
                 FROM parked WHERE destination = ?1 GROUP BY user";
    connection
        .prepare(users)?
        .query_map([destination], |row| {
            let at = columns::optional_integer(row, 1)?;
            let last = columns::optional_text(row, 2)?.and_then(|last| last.parse::<DateTime<Utc>>().ok());
            let retry = at.and_then(DateTime::from_timestamp_millis).map(|at| {
                let wait = last.map(|last| (at - last).to_std().unwrap_or_default());
                Retry { at, wait }
            });
            Ok((columns::text(row, 0)?, retry))
        })?
        .collect()
}

fn read_parked(row: &Row<'_>) -> Result<Parked> {
    let blob = |index| columns::bytes(row, index).map(Bytes::from);
    let text = |index| columns::text(row, index).map(Text::from);
    let next_attempt_at = columns::optional_integer(row, 5)?;
    let index = u32::try_from(columns::integer(row, 4)?).unwrap_or(0);
    let position = Position { lane: LANE, chunk: columns::integer(row, 3)?, index };
    Ok(Parked {
        job: Job {
            request: u8::try_from(columns::integer(row, 17)?).unwrap_or(u8::MAX),
            priority: if columns::integer(row, 18)? == 1 { Priority::Background } else { Priority::Live },
            place: Place::Parked { row: row.get(0)?, position },
            event: columns::event(row, 15)?,
            destination: text(1)?,
            user: text(2)?,
            source: text(7)?,
            mapping: text(8)?,
            action: text(9)?,
            path: text(10)?,
            body: blob(11)?,
            original: blob(12)?,
            warnings: text(13)?,
            fingerprints: last_delivered::from_bytes(&blob(14)?),
        },
        attempts: serde_json::from_slice(&columns::bytes(row, 6)?).unwrap_or_default(),
        next_attempt_at: next_attempt_at.and_then(DateTime::from_timestamp_millis),
        is_damaged: !columns::is_sound(row, 16)?,
    })
}
