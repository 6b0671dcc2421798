//! The groups of dead letters and rejects: a row for each reason, changed in the commit that changes its members.

use rusqlite::{Connection, Result, Row, named_params, params};

use super::columns;
use crate::outbox::groups::GroupReason;
use crate::outbox::{Attempt, Group, Kind};

/// Adds a failure to its group. Creates the group if there is none.
pub(in crate::outbox) fn add(
    connection: &Connection,
    reason: &GroupReason<'_>,
    id: i64,
    at: i64,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO reasons (kind, reason, code, destination, source, mapping, field, text, first_at, last_at, newest,
             count) VALUES (:kind, :reason, :code, :destination, :source, :mapping, :field, :text, :at, :at, :id, 1)
             ON CONFLICT (kind, reason) DO UPDATE SET count = count + 1, source = excluded.source,
             first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at),
             newest = max(newest, excluded.newest)",
        )?
        .execute(named_params! {
            ":kind": reason.kind.table(),
            ":reason": reason.key(),
            ":code": reason.code,
            ":destination": reason.destination,
            ":source": reason.source,
            ":mapping": reason.mapping,
            ":field": reason.field,
            ":text": reason.text,
            ":at": at,
            ":id": id,
        })?;
    Ok(())
}

/// Removes failures from their group; an empty group is deleted.
pub(in crate::outbox) fn remove(connection: &Connection, kind: Kind, reason: i64, count: u64) -> Result<()> {
    let values = params![kind.table(), reason, i64::try_from(count).unwrap_or(i64::MAX)];
    connection
        .prepare_cached("UPDATE reasons SET count = count - ?3 WHERE kind = ?1 AND reason = ?2")?
        .execute(values)?;
    connection
        .prepare_cached("DELETE FROM reasons WHERE kind = ?1 AND reason = ?2 AND count <= 0")?
        .execute(params![kind.table(), reason])?;
    Ok(())
}

/// All groups, the largest first.
pub(in crate::outbox) fn groups(connection: &Connection) -> Result<Vec<Group>> {
    connection
        .prepare_cached(
            "SELECT kind, reason, code, destination, source, mapping, field, text, first_at, last_at, newest, count
             FROM reasons ORDER BY count DESC, last_at DESC",
        )?
        .query_map([], read)?
        .collect()
}

fn read(row: &Row<'_>) -> Result<Group> {
    let is_reject = columns::text(row, 0)? == Kind::Reject.table();
    let text = |index| columns::text(row, index);
    Ok(Group {
        kind: if is_reject { Kind::Reject } else { Kind::DeadLetter },
        key: columns::integer(row, 1)?.cast_unsigned(),
        code: text(2)?,
        destination: text(3)?,
        source: text(4)?,
        mapping: text(5)?,
        field: text(6)?,
        text: text(7)?,
        first: columns::time(row, 8)?,
        last: columns::time(row, 9)?,
        newest: columns::integer(row, 10)?,
        count: columns::unsigned(row, 11)?,
    })
}

/// Groups every dead letter and reject anew: after a migration or a recovery.
pub(in crate::outbox) fn regroup(connection: &Connection) -> Result<()> {
    connection.execute("DELETE FROM reasons", [])?;
    let mut rejects = connection.prepare("SELECT id, at, source, reasons FROM rejects ORDER BY id")?;
    let mut rows = rejects.query([])?;
    while let Some(row) = rows.next()? {
        let (source, reasons) = (columns::text(row, 2)?, columns::text(row, 3)?);
        let reason = GroupReason::of_reject(&source, &reasons);
        join(connection, &reason, columns::integer(row, 0)?, columns::integer(row, 1)?)?;
    }
    let mut letters = connection
        .prepare("SELECT id, at, code, destination, source, mapping, attempts FROM dead_letters")?;
    let mut rows = letters.query([])?;
    while let Some(row) = rows.next()? {
        let text = |index| columns::text(row, index);
        let attempts: Vec<Attempt> = serde_json::from_str(&text(6)?).unwrap_or_default();
        let (code, destination, source, mapping) = (text(2)?, text(3)?, text(4)?, text(5)?);
        let reason = GroupReason::of_dead_letter(&code, &destination, &source, &mapping, &attempts);
        join(connection, &reason, columns::integer(row, 0)?, columns::integer(row, 1)?)?;
    }
    Ok(())
}

fn join(connection: &Connection, reason: &GroupReason<'_>, id: i64, at: i64) -> Result<()> {
    let table = reason.kind.table();
    connection
        .prepare_cached(&format!("UPDATE {table} SET reason = ?2 WHERE id = ?1"))?
        .execute(params![id, reason.key()])?;
    add(connection, reason, id, at)
}
