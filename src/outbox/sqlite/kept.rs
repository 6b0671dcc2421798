//! What could not be delivered, a row each: dead letters and rejects, with everything that a replay needs.
//!
//! They are listed, replayed and purged by [`Filter`], in pages, so that no statement runs long; the oldest leave when
//! they are over their age, rejects also when they are over their size. Both kinds share one number space, which only grows.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::types::Value;
use rusqlite::{
    Connection, OptionalExtension as _, Params, Result, Row, named_params, params, params_from_iter,
};
use serde::{Deserialize, Serialize};

use super::super::chunk::Job;
use super::super::clock::Now;
use super::super::{Amount, Attempt, Reject, Retention};
use super::said;
use crate::accoil::Fingerprint;
use crate::decode::Labels;
use crate::event_id::EventId;
use crate::reasons::Reason;

/// Rows deleted at a time.
const BATCH: usize = 256;
/// Rows deleted at a time to make room: few, so that no more leave than must.
const FEW: usize = 16;

/// A call that can never be delivered as it is.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub event: EventId,
    /// The event's name; empty if it has none.
    pub name: String,
    /// The event's `messageId` or `insert_id`; empty if it has none.
    pub message_id: String,
    /// The reason's code; empty in rows of earlier versions.
    pub code: String,
    pub destination: String,
    pub user: String,
    pub source: String,
    pub mapping: String,
    pub action: String,
    pub path: String,
    pub body: Vec<u8>,
    pub original: Vec<u8>,
    pub warnings: String,
    pub attempts: Vec<Attempt>,
    pub fingerprints: Vec<Fingerprint>,
}

/// An event that was refused, with the reasons as JSON: `[{"mapping","field","reason"}]`.
#[derive(Debug, Clone)]
pub struct StoredReject {
    pub id: i64,
    /// When it was received.
    pub at: DateTime<Utc>,
    pub event: EventId,
    /// As in [`DeadLetter`], like the next three.
    pub name: String,
    pub user: String,
    pub message_id: String,
    pub code: String,
    pub source: String,
    /// The form it came in, by name; see `decode::Form`.
    pub form: String,
    pub original: Vec<u8>,
    pub reasons: String,
    /// What its batch said about all its events, as JSON.
    pub envelope: Option<String>,
}

/// The two tables of what could not be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    DeadLetter,
    Reject,
}

impl Kind {
    const fn table(self) -> &'static str {
        match self {
            Self::DeadLetter => "dead_letters",
            Self::Reject => "rejects",
        }
    }

    /// What a filter means for one kind only.
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

    pub const ALL: [Self; 2] = [Self::DeadLetter, Self::Reject];

    /// What a row counts for.
    const fn size(self) -> &'static str {
        match self {
            Self::DeadLetter => "octet_length(body) + octet_length(original) + octet_length(attempts)",
            Self::Reject => "octet_length(original) + octet_length(reasons)",
        }
    }
}

/// Which of them are meant; all that is given must hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    pub ids: Vec<i64>,
    /// Dead letters only; no reject has one.
    pub destination: Option<String>,
    /// The user of a dead letter's call; of a reject, its `userId` or `user_id`.
    pub user: Option<String>,
    /// The event's name, or its id.
    pub event: Option<String>,
    /// The event's `messageId` or `insert_id`.
    pub message_id: Option<String>,
    /// Part of the text of an attempt's or a reject's reason, in any case of letters.
    pub reason: Option<String>,
    pub since: Option<DateTime<Utc>>,
    /// Up to, not including.
    pub until: Option<DateTime<Utc>>,
}

/// In which order a page is read, and from where.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum From {
    /// The oldest first, after this id.
    After(i64),
    /// The newest first, before this id.
    Before(i64),
}

const DEAD_LETTER: &str =
    "id, at, destination, user, source, mapping, action, path, body, original, warnings, attempts, said, event, name,
     message_id, code";
const REJECT: &str = "id, at, source, form, original, reasons, event, name, user, message_id, code, envelope";

/// The number after all that were ever given to either kind.
const NEXT_ID: &str =
    "(SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name IN ('dead_letters', 'rejects'))";

pub(in super::super) fn dead_letters(
    connection: &Connection,
    filter: &Filter,
    from: From,
    most: usize,
) -> Result<Vec<DeadLetter>> {
    page(
        connection,
        Kind::DeadLetter,
        DEAD_LETTER,
        Kind::DeadLetter.conditions(),
        filter,
        from,
        most,
        read_dead_letter,
    )
}

/// The numbers alone.
pub(in super::super) fn numbers(
    connection: &Connection,
    kind: Kind,
    filter: &Filter,
    from: From,
    most: usize,
) -> Result<Vec<i64>> {
    page(connection, kind, "id", kind.conditions(), filter, from, most, |row| row.get(0))
}

/// The highest number that either kind ever had.
pub(in super::super) fn newest_number(connection: &Connection) -> Result<i64> {
    connection.query_row(&format!("SELECT {NEXT_ID} - 1"), [], |row| row.get(0))
}

pub(in super::super) fn rejects(
    connection: &Connection,
    filter: &Filter,
    from: From,
    most: usize,
) -> Result<Vec<StoredReject>> {
    page(connection, Kind::Reject, REJECT, Kind::Reject.conditions(), filter, from, most, |row| {
        Ok(StoredReject {
            id: row.get(0)?,
            at: time(row.get(1)?),
            source: row.get(2)?,
            form: row.get(3)?,
            original: row.get(4)?,
            reasons: row.get(5)?,
            event: super::event(row, 6)?,
            name: row.get(7)?,
            user: row.get(8)?,
            message_id: row.get(9)?,
            code: row.get(10)?,
            envelope: row.get(11)?,
        })
    })
}

#[expect(clippy::too_many_arguments, reason = "private: the two functions above, spelled once")]
fn page<T>(
    connection: &Connection,
    kind: Kind,
    columns: &str,
    conditions: &str,
    filter: &Filter,
    from: From,
    most: usize,
    read: impl FnMut(&Row<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let (order, start) = match from {
        From::After(id) => ("id > :start AND", id),
        From::Before(id) => ("id < :start AND", id),
    };
    let direction = if matches!(from, From::After(_)) { "ASC" } else { "DESC" };
    let ids = if filter.ids.is_empty() {
        String::new()
    } else {
        let ids: Vec<String> = filter.ids.iter().map(i64::to_string).collect();
        format!("id IN ({}) AND", ids.join(","))
    };
    let table = kind.table();
    let mut statement = connection.prepare(&format!(
        "SELECT {columns} FROM {table} WHERE {order} {ids} {conditions}
         AND (:user IS NULL OR user = :user) AND (:message_id IS NULL OR message_id = :message_id)
         AND (:event IS NULL OR name = :event OR event = :event_id)
         AND (:since IS NULL OR at >= :since) AND (:until IS NULL OR at < :until) ORDER BY id {direction} LIMIT :most"
    ))?;
    let millis = |at: Option<DateTime<Utc>>| at.map(|at| at.timestamp_millis());
    let values = named_params! {
        ":start": start, ":destination": filter.destination, ":user": filter.user, ":reason": filter.reason,
        ":event": filter.event, ":event_id": event_id(filter.event.as_deref()), ":message_id": filter.message_id,
        ":since": millis(filter.since), ":until": millis(filter.until),
        ":most": i64::try_from(most).unwrap_or(i64::MAX),
    };
    statement.query_map(values, read)?.collect()
}

/// The event id that a person may have meant.
pub(super) fn event_id(event: Option<&str>) -> Option<i64> {
    Some(event?.parse::<EventId>().ok()?.0.cast_signed())
}

fn read_dead_letter(row: &Row<'_>) -> Result<DeadLetter> {
    let attempts: String = row.get(11)?;
    Ok(DeadLetter {
        id: row.get(0)?,
        at: time(row.get(1)?),
        destination: row.get(2)?,
        user: row.get(3)?,
        source: row.get(4)?,
        mapping: row.get(5)?,
        action: row.get(6)?,
        path: row.get(7)?,
        body: row.get(8)?,
        original: row.get(9)?,
        warnings: row.get(10)?,
        attempts: serde_json::from_str(&attempts).unwrap_or_default(),
        fingerprints: said::from_bytes(&row.get::<_, Vec<u8>>(12)?),
        event: super::event(row, 13)?,
        name: row.get(14)?,
        message_id: row.get(15)?,
        code: row.get(16)?,
    })
}

/// One dead letter, if it is still there.
pub(in super::super) fn dead_letter(connection: &Connection, id: i64) -> Result<Option<DeadLetter>> {
    connection
        .prepare_cached(&format!("SELECT {DEAD_LETTER} FROM dead_letters WHERE id = ?1"))?
        .query_row([id], read_dead_letter)
        .optional()
}

/// Makes a dead letter of a request; returns its number, and the bytes that it counts for.
pub(in super::super) fn bury(
    connection: &Connection,
    job: &Job,
    attempts: &[Attempt],
    reason: Reason,
    now: Now,
) -> Result<(i64, u64)> {
    let attempts = super::to_json(attempts);
    let labels = Labels::of(&job.original);
    connection
        .prepare_cached(&format!(
            "INSERT INTO dead_letters (id, at, destination, user, source, mapping, action, path, body, original, warnings,
             attempts, said, event, name, message_id, code, kept_at)
             VALUES ({NEXT_ID}, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)"
        ))?
        .execute(params![
            now.wall.timestamp_millis(),
            job.destination.as_str(),
            job.user.as_str(),
            job.source.as_str(),
            job.mapping.as_str(),
            job.action.as_str(),
            job.path.as_str(),
            &job.body[..],
            &job.original[..],
            job.warnings.as_str(),
            attempts,
            said::to_bytes(&job.fingerprints),
            job.event.0.cast_signed(),
            labels.name,
            labels.message_id,
            reason.code(),
            now.running.timestamp_millis(),
        ])?;
    let bytes = job.body.len() + job.original.len() + attempts.len();
    Ok((connection.last_insert_rowid(), bytes as u64))
}

/// Keeps a reject; returns the bytes that it counts for.
pub(in super::super) fn reject(
    connection: &Connection,
    source: &str,
    form: &str,
    at: DateTime<Utc>,
    reject: &Reject,
    now: Now,
) -> Result<u64> {
    let original: &Bytes = &reject.original;
    let labels = Labels::of(original);
    connection
        .prepare_cached(&format!(
            "INSERT INTO rejects (id, at, source, form, original, reasons, event, name, user, message_id, code, envelope,
             kept_at) VALUES ({NEXT_ID}, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
        ))?
        .execute(params![
            at.timestamp_millis(),
            source,
            form,
            &original[..],
            reject.reasons,
            reject.event.0.cast_signed(),
            labels.name,
            labels.user,
            labels.message_id,
            first_code(&reject.reasons),
            reject.envelope.as_deref(),
            now.running.timestamp_millis(),
        ])?;
    Ok((original.len() + reject.reasons.len()) as u64)
}

/// The code of the first reason.
fn first_code(reasons: &str) -> String {
    #[derive(Default, Deserialize)]
    struct Coded {
        #[serde(default)]
        code: String,
    }
    let mut reasons: Vec<Coded> = serde_json::from_str(reasons).unwrap_or_default();
    reasons.first_mut().map(|reason| std::mem::take(&mut reason.code)).unwrap_or_default()
}

/// How many there are of a kind, and the bytes that they count for.
pub(in super::super) fn kept_amount(connection: &Connection, kind: Kind) -> Result<Amount> {
    let (table, size) = (kind.table(), kind.size());
    super::amount(connection, &format!("SELECT count(*), coalesce(sum({size}), 0) FROM {table}"))
}

/// Deletes those of these ids that are there.
pub(in super::super) fn remove(connection: &Connection, kind: Kind, ids: &[i64]) -> Result<Amount> {
    let mut removed = Amount::default();
    for ids in ids.chunks(BATCH) {
        let marks = vec!["?"; ids.len()].join(",");
        let these = ids.iter().map(|id| Value::Integer(*id));
        let batch = delete(connection, kind, &format!("id IN ({marks})"), params_from_iter(these))?;
        removed.add(batch);
    }
    Ok(removed)
}

/// Deletes some of the oldest, whatever their age.
pub(in super::super) fn remove_oldest(connection: &Connection, kind: Kind) -> Result<Amount> {
    let oldest = format!("id IN (SELECT id FROM {} ORDER BY id LIMIT {FEW})", kind.table());
    delete(connection, kind, &oldest, [])
}

/// Deletes some of what is over its age; returns whether more may be left. Looks at the oldest rows only, so that it costs
/// little when none is.
pub(in super::super) fn remove_old(
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
    let bytes = connection
        .prepare_cached(&format!("SELECT coalesce(sum({size}), 0) FROM {table} WHERE {which}"))?
        .query_row(values.clone(), |row| unsigned(row, 0))?;
    let rows = connection.prepare_cached(&format!("DELETE FROM {table} WHERE {which}"))?.execute(values)?;
    Ok(Amount { rows: rows as u64, bytes })
}

pub(super) fn unsigned(row: &Row<'_>, index: usize) -> Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(0))
}

pub(super) fn time(milliseconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(milliseconds).unwrap_or_default()
}
