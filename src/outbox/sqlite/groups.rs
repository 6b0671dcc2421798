//! The groups of dead letters and rejects: a row for each reason, changed in the commit that changes its members.

use std::hash::{Hash as _, Hasher as _};

use rusqlite::{Connection, Result, Row, named_params, params};
use serde::Deserialize;
use siphasher::sip::SipHasher13;

use super::super::{Attempt, Group};
use super::columns;
use super::kept::Kind;

/// Characters of a group's text.
const MAX_TEXT: usize = 300;
/// In place of a word that differs from event to event.
const LEFT_OUT: char = '…';

/// Why an event was rejected, as its row has it: the first of the reasons.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct First {
    mapping: String,
    field: String,
    reason: String,
    code: String,
}

/// By what failures are grouped.
#[derive(Debug)]
pub(super) struct Reason<'a> {
    kind: Kind,
    pub(super) code: String,
    destination: &'a str,
    source: &'a str,
    mapping: String,
    field: String,
    text: String,
}

impl<'a> Reason<'a> {
    /// `reasons` is JSON: `[{"mapping","field","reason","code"}]`.
    pub(super) fn of_reject(source: &'a str, reasons: &str) -> Self {
        let reasons: Vec<First> = serde_json::from_str(reasons).unwrap_or_default();
        let First { mapping, field, reason, code } = reasons.into_iter().next().unwrap_or_default();
        Self {
            kind: Kind::Reject,
            code,
            destination: "",
            source,
            mapping,
            field,
            text: general(&reason, None),
        }
    }

    pub(super) fn of_dead_letter(
        code: &str,
        destination: &'a str,
        source: &'a str,
        mapping: &str,
        attempts: &[Attempt],
    ) -> Self {
        let text = attempts.last().map(|last| general(&last.reason, last.status)).unwrap_or_default();
        let (code, mapping) = (code.to_owned(), mapping.to_owned());
        Self { kind: Kind::DeadLetter, code, destination, source, mapping, field: String::new(), text }
    }

    pub(super) fn key(&self) -> i64 {
        let mut hasher = SipHasher13::new();
        let source = if self.kind == Kind::Reject { self.source } else { "" };
        for part in [&self.code, self.destination, source, &self.mapping, &self.field, &self.text] {
            part.hash(&mut hasher);
        }
        hasher.finish().cast_signed()
    }
}

/// A text without the words that have a digit in them: ids, numbers and times differ from event to event. The status of an
/// answer is the same for all members, and stays.
fn general(text: &str, status: Option<u16>) -> String {
    let status = status.map(|status| status.to_string());
    let mut general = String::new();
    let is_of_word = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_');
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|character| !is_of_word(character)).unwrap_or(rest.len()).max(first.len_utf8());
        let (word, after) = rest.split_at(end);
        if word.contains(|character: char| character.is_ascii_digit()) && Some(word) != status.as_deref() {
            general.push(LEFT_OUT);
        } else {
            general.push_str(word);
        }
        rest = after;
    }
    general.chars().take(MAX_TEXT).collect()
}

/// Adds a failure to its group. Creates the group if there is none.
pub(super) fn add(connection: &Connection, reason: &Reason<'_>, id: i64, at: i64) -> Result<()> {
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
pub(super) fn remove(connection: &Connection, kind: Kind, reason: i64, count: u64) -> Result<()> {
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
pub(in super::super) fn groups(connection: &Connection) -> Result<Vec<Group>> {
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
pub(in super::super) fn regroup(connection: &Connection) -> Result<()> {
    connection.execute("DELETE FROM reasons", [])?;
    let mut rejects = connection.prepare("SELECT id, at, source, reasons FROM rejects ORDER BY id")?;
    let mut rows = rejects.query([])?;
    while let Some(row) = rows.next()? {
        let (source, reasons) = (columns::text(row, 2)?, columns::text(row, 3)?);
        let reason = Reason::of_reject(&source, &reasons);
        join(connection, &reason, columns::integer(row, 0)?, columns::integer(row, 1)?)?;
    }
    let mut letters = connection
        .prepare("SELECT id, at, code, destination, source, mapping, attempts FROM dead_letters")?;
    let mut rows = letters.query([])?;
    while let Some(row) = rows.next()? {
        let text = |index| columns::text(row, index);
        let attempts: Vec<Attempt> = serde_json::from_str(&text(6)?).unwrap_or_default();
        let (code, destination, source, mapping) = (text(2)?, text(3)?, text(4)?, text(5)?);
        let reason = Reason::of_dead_letter(&code, &destination, &source, &mapping, &attempts);
        join(connection, &reason, columns::integer(row, 0)?, columns::integer(row, 1)?)?;
    }
    Ok(())
}

fn join(connection: &Connection, reason: &Reason<'_>, id: i64, at: i64) -> Result<()> {
    let table = reason.kind.table();
    connection
        .prepare_cached(&format!("UPDATE {table} SET reason = ?2 WHERE id = ?1"))?
        .execute(params![id, reason.key()])?;
    add(connection, reason, id, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_differ_from_event_to_event_are_left_out_of_a_groups_text() {
        for (text, status, expected) in [
            ("answered 400: no group g-17", Some(400), "answered 400: no group …"),
            ("answered 400: no group g-17", None, "answered …: no group …"),
            ("{\"error\":\"u_1 of 5f0e\"}", None, "{\"error\":\"… of …\"}"),
            ("is missing", None, "is missing"),
            ("größer als ①②", None, "größer als ①②"),
            ("", None, ""),
        ] {
            assert_eq!(general(text, status), expected);
        }
        assert_eq!(general(&"ä".repeat(1000), None).chars().count(), MAX_TEXT);
    }
}
