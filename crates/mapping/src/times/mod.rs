//! The one reader of times, for every stage: what SDKs, languages, databases and people write becomes a UTC time.
//!
//! Public door: [`read`] and [`read_text`]; [`write()`] prints the one form that leaves the relay: RFC 3339, UTC,
//! milliseconds. Pure: never reads a clock, and no input panics or overflows. Never guesses: a date whose day and
//! month could change places (`03/04/2024`) is not read.
//!
//! A text goes through [`clean`] and is then Unix time ([`unix`]) or a [`date`], a [`clock`] time and a [`zone`].
//! A value that is no text or number may be an object that a database or language prints ([`object`]).

mod clean;
mod clock;
mod date;
mod object;
mod skew;
#[cfg(test)]
mod tests;
mod unix;
mod words;
mod wrapped;
mod zone;

use std::borrow::Cow;

use chrono::{DateTime, Datelike as _, SecondsFormat, TimeDelta, Utc};

use crate::json::Value;

pub use skew::{corrected, differ};

/// The longest text that is read as a time. The longest known form, Java's with its zone's name, has fewer than 80
/// bytes.
const MAX_LENGTH: usize = 160;

/// Reads the time from a value: text, Unix time, or one of the objects that databases and languages print. Without a
/// zone it is in UTC.
pub fn read(value: &Value<'_>) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => read_text(text),
        Value::Number(number) => unix::from_number(number.as_f64()?),
        Value::Object(members) => object::read_object(members),
        Value::Array(items) => object::read_list(items),
        Value::Null | Value::Bool(_) => None,
    }
}

/// Reads the time from a text in any spelling; without a zone it is in UTC.
pub fn read_text(text: &str) -> Option<DateTime<Utc>> {
    // The fast path, for the format that nearly every sender writes.
    let time = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Some(time.to_utc()),
        Err(_) if text.len() > MAX_LENGTH => None,
        Err(_) => read_any(&clean::clean(text)).or_else(|| wrapped::read(text)),
    };
    time.and_then(without_leap_second).filter(is_printable)
}

fn read_any(text: &str) -> Option<DateTime<Utc>> {
    if let Some(number) = unix::from_text(text) {
        return number;
    }
    let (text, named) = zone::take_annotation(text);
    let in_digits = || date::split(text).map(|(date, rest)| (date, Cow::Borrowed(rest)));
    let (date, rest) = words::split(text).map(|(date, rest)| (date, Cow::Owned(rest))).or_else(in_digits)?;
    let (clock, rest) = clock::split(&rest)?;
    let zone = zone::read(rest)?.or(named);
    zone::to_utc(date.to_datetime(clock.time), clock.days, zone)
}

/// Writes RFC 3339 in UTC with milliseconds.
pub fn write(time: DateTime<Utc>) -> Value<'static> {
    Value::from(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// True if an event can have happened at this time: not before 1970, and not more than a day after its receipt. A
/// day, because the clocks of devices are wrong at times, and because a time without a zone is read as UTC.
pub fn is_plausible(time: DateTime<Utc>, received_at: DateTime<Utc>) -> bool {
    let latest = received_at.checked_add_signed(TimeDelta::days(1)).unwrap_or(received_at);
    (DateTime::UNIX_EPOCH..=latest).contains(&time)
}

/// Reads second 60 as the first second of the next minute, because most programs have no leap seconds.
fn without_leap_second(time: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match time.timestamp_subsec_nanos().checked_sub(1_000_000_000) {
        Some(nanoseconds) => DateTime::from_timestamp(time.timestamp() + 1, nanoseconds),
        None => Some(time),
    }
}

/// RFC 3339 has years of four digits.
fn is_printable(time: &DateTime<Utc>) -> bool {
    (0..=9999).contains(&time.year())
}
