//! Rejects and dead letters in groups that have the same reason, the newest rows alone so that no statement runs long.

use rusqlite::{Connection, Result, Row, params};

use super::columns::{time, unsigned};
use super::kept::Kind;
use crate::outbox::Group;

/// Rows of each kind that are looked at.
pub(in super::super) const MOST_ROWS: u32 = 50_000;

const REJECTS: &str = "SELECT code, '', coalesce(reasons ->> '$[0].mapping', ''), coalesce(reasons ->> '$[0].field', ''),
        coalesce(reasons ->> '$[0].reason', ''), count(*), min(at), max(at), max(id), group_concat(DISTINCT source)
    FROM (SELECT id, at, code, source, reasons FROM rejects ORDER BY id DESC LIMIT ?1) WHERE json_valid(reasons)
    GROUP BY 1, 2, 3, 4, 5";

const DEAD_LETTERS: &str = "SELECT code, destination, mapping, '', coalesce(attempts ->> '$[#-1].reason', ''),
        count(*), min(at), max(at), max(id), group_concat(DISTINCT source)
    FROM (SELECT id, at, code, destination, mapping, source, attempts FROM dead_letters ORDER BY id DESC LIMIT ?1)
    WHERE json_valid(attempts) GROUP BY 1, 2, 3, 4, 5";

pub(in super::super) fn groups(connection: &Connection) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for (kind, query) in [(Kind::Reject, REJECTS), (Kind::DeadLetter, DEAD_LETTERS)] {
        let mut statement = connection.prepare_cached(query)?;
        let rows = statement.query_map(params![MOST_ROWS], |row| group(kind, row))?;
        groups.extend(rows.collect::<Result<Vec<_>>>()?);
    }
    Ok(groups)
}

fn group(kind: Kind, row: &Row<'_>) -> Result<Group> {
    let sources: String = row.get(9)?;
    Ok(Group {
        kind,
        code: row.get(0)?,
        destination: row.get(1)?,
        mapping: row.get(2)?,
        field: row.get(3)?,
        text: row.get(4)?,
        count: unsigned(row, 5)?,
        first: time(row, 6)?,
        last: time(row, 7)?,
        newest: row.get(8)?,
        sources: sources.split(',').map(ToOwned::to_owned).collect(),
    })
}
