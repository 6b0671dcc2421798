//! Dead letters and rejects, one row each, with everything that a replay needs.
//!
//! They are listed, replayed and purged by [`Filter`], in pages, so that no statement runs long. The oldest are
//! removed when they expire, rejects also when they exceed their size. Both kinds share one number space, which only
//! grows. Each row belongs to the group of its reason.

use std::sync::LazyLock;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Params, Result, Row, named_params, params_from_iter};

use super::checksum::{self, is_sound};
use super::columns::{self, unsigned};
use super::{groups, last_delivered};
use crate::decode::Labels;
use crate::event_id::EventId;
use crate::outbox::chunk::Job;
use crate::outbox::clock::Now;
use crate::outbox::groups::GroupReason;
use crate::outbox::{Amount, Attempt, DeadLetter, Filter, Kind, PageFrom, Reject, Retention, StoredReject};
use crate::reasons::Reason;

/// The rows that are deleted at a time.
const BATCH: usize = 256;
/// The rows that are deleted at a time to make room: few, so that no more are deleted than necessary.
const FEW: usize = 16;

impl Kind {
    pub(in crate::outbox) const fn table(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letters",
            Self::Reject => "rejects",
        }
    }

    /// Returns the columns that the checksum of a row covers.
    const fn checked(self) -> &'static str {
        match self {
            Self::DeadLetter => checksum::DEAD_LETTER,
            Self::Reject => checksum::REJECT,
        }
    }

    /// Returns the columns to select. The last one is 1 if the checksum of the row is right.
    fn columns(self) -> String {
        let columns = match self {
            Self::DeadLetter => DEAD_LETTER,
            Self::Reject => REJECT,
        };
        format!("{columns}, {}", is_sound(self.checked()))
    }

    /// Returns the filter's conditions for one kind only.
    const fn conditions(self) -> &'static str {
        match self {
            Self::DeadLetter => {
                "(:destination IS NULL OR destination = :destination)
                 AND (:reason IS NULL OR instr(lower(attempts), lower(:reason)) > 0)"
            }
            Self::Reject => {
                ":destination IS NULL AND (:reason IS NULL OR instr(lower(reasons), lower(:reason)) > 0)"
            }
        }
    }

    /// Returns the expression for a row's size.
    const fn size(self) -> &'static str {
        match self {
            Self::DeadLetter => "octet_length(body) + octet_length(original) + octet_length(attempts)",
            Self::Reject => "octet_length(original) + octet_length(reasons)",
        }
    }
}

/// `said` has the fingerprints of a derived call; `number` is the number of the request within its event.
const DEAD_LETTER: &str =
    "id, at, destination, user, source, mapping, action, path, body, original, warnings, attempts, said, event, name,
     message_id, code, number";
const REJECT: &str = "id, at, source, form, original, reasons, event, name, user, message_id, code, envelope";

/// The number after the highest that either kind ever had.
const NEXT_ID: &str =
    "(SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name IN ('dead_letters', 'rejects'))";

pub(in crate::outbox) fn dead_letters(
    connection: &Connection,
    filter: &Filter,
    from: PageFrom,
    most: usize,
) -> Result<Vec<DeadLetter>> {
    let kind = Kind::DeadLetter;
    page(connection, kind, &kind.columns(), filter, from, most, read_dead_letter)
}

/// Returns the ids (the numbers that people see) and nothing else.
pub(in crate::outbox) fn numbers(
    connection: &Connection,
    kind: Kind,
    filter: &Filter,
    from: PageFrom,
    most: usize,
) -> Result<Vec<i64>> {
    page(connection, kind, "id", filter, from, most, |row| row.get(0))
}

/// Returns the highest number that either kind ever had.
pub(in crate::outbox) fn newest_number(connection: &Connection) -> Result<i64> {
    connection.query_row(&format!("SELECT {NEXT_ID} - 1"), [], |row| row.get(0))
}

pub(in crate::outbox) fn rejects(
    connection: &Connection,
    filter: &Filter,
    from: PageFrom,
    most: usize,
) -> Result<Vec<StoredReject>> {
    let kind = Kind::Reject;
    page(connection, kind, &kind.columns(), filter, from, most, read_reject)
}

fn page<T>(
    connection: &Connection,
    kind: Kind,
    columns: &str,
    filter: &Filter,
    from: PageFrom,
    most: usize,
    read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let (order, start) = match from {
        PageFrom::After(id) => ("id > :start AND", id),
        PageFrom::Before(id) => ("id < :start AND", id),
    };
    let direction = if matches!(from, PageFrom::After(_)) { "ASC" } else { "DESC" };
    // These two conditions are written only if they are set, so that SQLite uses an index for them. With the form of the
    // others (`:x IS NULL OR …`) it would read every row.
    let ids = if filter.ids.is_empty() {
        String::new()
    } else {
        let ids: Vec<String> = filter.ids.iter().map(i64::to_string).collect();
        format!("id IN ({}) AND", ids.join(","))
    };
    let group = filter.group.map(|group| format!("reason = {} AND", group.cast_signed())).unwrap_or_default();
    let (table, conditions) = (kind.table(), kind.conditions());
    let mut statement = connection.prepare(&format!(
        "SELECT {columns} FROM {table} WHERE {order} {ids} {group} {conditions}
         AND (:source IS NULL OR source = :source) AND (:code IS NULL OR code = :code)
         AND (:text IS NULL OR instr(lower(CAST(original AS TEXT)), lower(:text)) > 0)
         AND (:user IS NULL OR user = :user) AND (:message_id IS NULL OR message_id = :message_id)
         AND (:event IS NULL OR name = :event OR event = :event_id)
         AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until) ORDER BY id {direction} LIMIT :most"
    ))?;
    let millis = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_millis());
    let values = named_params! {
        ":start": start, ":destination": filter.destination, ":user": filter.user, ":reason": filter.reason,
        ":event": filter.event, ":event_id": event_id(filter.event.as_deref()), ":message_id": filter.message_id,
        ":source": filter.source, ":code": filter.code, ":text": filter.text,
        ":since": millis(filter.since), ":until": millis(filter.until),
        ":most": i64::try_from(most).unwrap_or(i64::MAX),
    };
    statement.query_map(values, read)?.collect()
}

/// Reads an event id that a person may have written.
pub(in crate::outbox) fn event_id(event: Option<&str>) -> Option<i64> {
    Some(event?.parse::<EventId>().ok()?.0.cast_signed())
}

fn read_dead_letter(row: &Row<'_>) -> Result<DeadLetter> {
    let text = |index| columns::text(row, index);
    Ok(DeadLetter {
        id: row.get(0)?,
        at: columns::time(row, 1)?,
        destination: text(2)?,
        user: text(3)?,
        source: text(4)?,
        mapping: text(5)?,
        action: text(6)?,
        path: text(7)?,
        body: columns::bytes(row, 8)?,
        original: columns::bytes(row, 9)?,
        warnings: text(10)?,
        attempts: serde_json::from_slice(&columns::bytes(row, 11)?).unwrap_or_default(),
        fingerprints: last_delivered::from_bytes(&columns::bytes(row, 12)?),
        event: columns::event(row, 13)?,
        name: text(14)?,
        message_id: text(15)?,
        code: text(16)?,
        number: u8::try_from(columns::integer(row, 17)?).unwrap_or(u8::MAX),
        is_damaged: !columns::is_sound(row, 18)?,
    })
}

fn read_reject(row: &Row<'_>) -> Result<StoredReject> {
    let text = |index| columns::text(row, index);
    Ok(StoredReject {
        id: row.get(0)?,
        at: columns::time(row, 1)?,
        source: text(2)?,
        form: text(3)?,
        original: columns::bytes(row, 4)?,
        reasons: text(5)?,
        event: columns::event(row, 6)?,
        name: text(7)?,
        user: text(8)?,
        message_id: text(9)?,
        code: text(10)?,
        envelope: columns::optional_text(row, 11)?,
        is_damaged: !columns::is_sound(row, 12)?,
    })
}

/// Returns the rows of a kind whose bytes changed on the disk. Reads the whole table.
pub(in crate::outbox) fn damaged(connection: &Connection, kind: Kind) -> Result<Vec<i64>> {
    super::damaged(connection, kind.table(), kind.checked())
}

/// Returns one dead letter, if it still exists.
pub(in crate::outbox) fn dead_letter(connection: &Connection, id: i64) -> Result<Option<DeadLetter>> {
    connection
        .prepare_cached(&format!("SELECT {} FROM dead_letters WHERE id = ?1", Kind::DeadLetter.columns()))?
        .query_row([id], read_dead_letter)
        .optional()
}

pub(super) static INSERT_DEAD_LETTER: LazyLock<String> =
    LazyLock::new(|| insert(Kind::DeadLetter, "name, message_id, code, kept_at, number, reason"));
pub(super) static INSERT_REJECT: LazyLock<String> =
    LazyLock::new(|| insert(Kind::Reject, "name, user, message_id, code, kept_at, reason"));

/// Returns the statement that inserts a row of a kind: the columns that its checksum covers, and these others.
fn insert(kind: Kind, others: &str) -> String {
    let columns = format!("{}, {others}", kind.checked());
    format!(
        "INSERT INTO {} (id, {columns}, checksum) VALUES ({NEXT_ID}, :{}, {})",
        kind.table(),
        columns.replace(", ", ", :"),
        checksum::of_parameters(kind.checked())
    )
}

/// Turns a request into a dead letter; returns its number and its size.
pub(in crate::outbox) fn insert_dead_letter(
    connection: &Connection,
    job: &Job,
    attempts: &[Attempt],
    reason: Reason,
    now: Now,
) -> Result<(i64, u64)> {
    let group = GroupReason::of_dead_letter(
        reason.code(),
        job.destination.as_str(),
        job.source.as_str(),
        job.mapping.as_str(),
        attempts,
    );
    let attempts = super::to_json(attempts);
    let labels = Labels::of(&job.original);
    let at = now.wall.timestamp_millis();
    connection.prepare_cached(&INSERT_DEAD_LETTER)?.execute(named_params! {
        ":at": at,
        ":destination": job.destination.as_str(),
        ":user": job.user.as_str(),
        ":source": job.source.as_str(),
        ":mapping": job.mapping.as_str(),
        ":action": job.action.as_str(),
        ":path": job.path.as_str(),
        ":body": &job.body[..],
        ":original": &job.original[..],
        ":warnings": job.warnings.as_str(),
        ":attempts": attempts,
        ":said": last_delivered::to_bytes(&job.fingerprints),
        ":event": job.event.0.cast_signed(),
        ":name": labels.name,
        ":message_id": labels.message_id,
        ":code": reason.code(),
        ":kept_at": now.running.timestamp_millis(),
        ":number": job.request,
        ":reason": group.key(),
    })?;
    let id = connection.last_insert_rowid();
    groups::add(connection, &group, id, at)?;
    let bytes = job.body.len() + job.original.len() + attempts.len();
    Ok((id, bytes as u64))
}

/// Stores a reject; returns its size.
pub(in crate::outbox) fn insert_reject(
    connection: &Connection,
    source: &str,
    form: &str,
    at: DateTime<Utc>,
    reject: &Reject,
    now: Now,
) -> Result<u64> {
    let original: &Bytes = &reject.original;
    let labels = Labels::of(original);
    let group = GroupReason::of_reject(source, &reject.reasons);
    let at = at.timestamp_millis();
    connection.prepare_cached(&INSERT_REJECT)?.execute(named_params! {
        ":at": at,
        ":source": source,
        ":form": form,
        ":original": &original[..],
        ":reasons": reject.reasons,
        ":event": reject.event.0.cast_signed(),
        ":name": labels.name,
        ":user": labels.user,
        ":message_id": labels.message_id,
        ":code": group.code,
        ":envelope": reject.envelope.as_deref(),
        ":kept_at": now.running.timestamp_millis(),
        ":reason": group.key(),
    })?;
    groups::add(connection, &group, connection.last_insert_rowid(), at)?;
    Ok((original.len() + reject.reasons.len()) as u64)
}

/// Returns the number of rows of a kind and their size.
pub(in crate::outbox) fn letters_amount(connection: &Connection, kind: Kind) -> Result<Amount> {
    let (table, size) = (kind.table(), kind.size());
    super::amount(connection, &format!("SELECT count(*), coalesce(sum({size}), 0) FROM {table}"))
}

/// Deletes the rows with these ids; returns how many existed, and their size.
pub(in crate::outbox) fn remove(connection: &Connection, kind: Kind, ids: &[i64]) -> Result<Amount> {
    let mut removed = Amount::default();
    for ids in ids.chunks(BATCH) {
        let marks = vec!["?"; ids.len()].join(",");
        let these = ids.iter().map(|id| Value::Integer(*id));
        let batch = delete(connection, kind, &format!("id IN ({marks})"), params_from_iter(these))?;
        removed.add(batch);
    }
    Ok(removed)
}

/// Deletes some of the oldest rows, whatever their age.
pub(in crate::outbox) fn remove_oldest(connection: &Connection, kind: Kind) -> Result<Amount> {
    let oldest = format!("id IN (SELECT id FROM {} ORDER BY id LIMIT {FEW})", kind.table());
    delete(connection, kind, &oldest, [])
}

/// Deletes some expired rows; returns whether more may be left. Reads only the oldest rows, so that it costs little
/// if none has expired.
pub(in crate::outbox) fn remove_old(
    connection: &Connection,
    kind: Kind,
    retention: &Retention,
    now: Now,
) -> Result<(Amount, bool)> {
    let age = i64::try_from(retention.age.as_millis()).unwrap_or(i64::MAX);
    let oldest = format!("SELECT id, kept_at FROM {} ORDER BY id LIMIT {BATCH}", kind.table());
    let old = format!("id IN (SELECT id FROM ({oldest}) WHERE kept_at < ?1)");
    let removed = delete(connection, kind, &old, [now.running.timestamp_millis().saturating_sub(age)])?;
    Ok((removed, removed.rows == BATCH as u64))
}

fn delete(connection: &Connection, kind: Kind, which: &str, values: impl Params + Clone) -> Result<Amount> {
    let (table, size) = (kind.table(), kind.size());
    let by_reason: Vec<(i64, u64, u64)> = connection
        .prepare_cached(&format!(
            "SELECT reason, count(*), coalesce(sum({size}), 0) FROM {table} WHERE {which} GROUP BY reason"
        ))?
        .query_map(values.clone(), |row| Ok((row.get(0)?, unsigned(row, 1)?, unsigned(row, 2)?)))?
        .collect::<Result<_>>()?;
    let rows = connection.prepare_cached(&format!("DELETE FROM {table} WHERE {which}"))?.execute(values)?;
    let mut bytes = 0;
    for (reason, count, size) in by_reason {
        groups::remove(connection, kind, reason, count)?;
        bytes += size;
    }
    Ok(Amount { rows: rows as u64, bytes })
}
