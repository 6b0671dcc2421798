//! Reads columns of rows that may be damaged: a value of another type, or a text that is not UTF-8, is no error, so that a
//! list shows the row and the rows beside it.

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use rusqlite::{Result, Row};

use crate::event_id::EventId;

pub(super) fn text(row: &Row<'_>, index: usize) -> Result<String> {
    Ok(match row.get_ref(index)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    })
}

pub(super) fn optional_text(row: &Row<'_>, index: usize) -> Result<Option<String>> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => text(row, index).map(Some),
    }
}

pub(super) fn bytes(row: &Row<'_>, index: usize) -> Result<Vec<u8>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.to_vec(),
        _ => Vec::new(),
    })
}

pub(super) fn integer(row: &Row<'_>, index: usize) -> Result<i64> {
    Ok(optional_integer(row, index)?.unwrap_or(0))
}

pub(super) fn optional_integer(row: &Row<'_>, index: usize) -> Result<Option<i64>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Integer(number) => Some(number),
        _ => None,
    })
}

pub(super) fn unsigned(row: &Row<'_>, index: usize) -> Result<u64> {
    Ok(u64::try_from(integer(row, index)?).unwrap_or(0))
}

pub(super) fn event(row: &Row<'_>, index: usize) -> Result<EventId> {
    Ok(EventId(integer(row, index)?.cast_unsigned()))
}

pub(super) fn time(row: &Row<'_>, index: usize) -> Result<DateTime<Utc>> {
    Ok(DateTime::from_timestamp_millis(integer(row, index)?).unwrap_or_default())
}

/// Whether the row is as it was written: the value of `checksum::is_sound`.
pub(super) fn is_sound(row: &Row<'_>, index: usize) -> Result<bool> {
    Ok(integer(row, index)? == 1)
}
