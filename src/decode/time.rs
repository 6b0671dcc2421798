//! Times as senders write them, the clock-skew rule, and the one form in which they leave: RFC 3339, UTC,
//! milliseconds, `Z` (DESIGN 5.5). Pure; never reads a clock, and no input overflows.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat, TimeDelta, Utc};

use crate::json::Value;

/// Numbers below this are Unix seconds, others milliseconds: as seconds it is the year 5138, as
/// milliseconds March 1973.
const MILLISECONDS_FROM: f64 = 1e11;

/// The time that a value tells: text with or without a zone (without: UTC), or Unix time as number or digits.
pub(super) fn read(value: &Value<'_>) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => from_text(text.trim()),
        Value::Number(number) => from_number(number.as_f64()?),
        _ => None,
    }
}

/// RFC 3339, UTC, milliseconds.
pub(super) fn write(time: DateTime<Utc>) -> Value<'static> {
    Value::from(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Segment's rule: `received - (sent - original)` (`facts/segment.md` 2.4). None if that cannot be: before
/// 1970 or more than a day after the receipt, so `sent` must be wrong and the client's own time is better.
pub(super) fn corrected(
    original: DateTime<Utc>,
    sent: DateTime<Utc>,
    received: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let corrected = received.checked_sub_signed(sent.signed_duration_since(original))?;
    let latest = received.checked_add_signed(TimeDelta::days(1))?;
    (DateTime::UNIX_EPOCH..=latest).contains(&corrected).then_some(corrected)
}

/// Whether the sender's clock is off by a minute or more: only then does Amplitude correct its times
/// (`facts/amplitude.md` 2.1).
pub(super) fn differ(sent: DateTime<Utc>, received: DateTime<Utc>) -> bool {
    received.signed_duration_since(sent).abs() >= TimeDelta::minutes(1)
}

fn from_text(text: &str) -> Option<DateTime<Utc>> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return from_number(text.parse().ok()?);
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .ok()
        .or_else(|| without_zone(text))
        .or_else(|| with_short_zone(text))
        .filter(is_printable)
}

/// Amplitude's exports: a space or `T`, any number of fraction digits, no zone. A date alone is its midnight.
fn without_zone(text: &str) -> Option<DateTime<Utc>> {
    ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(|| text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0))
        .map(|time| time.and_utc())
}

/// ISO 8601's `+0000` and `+00`, which RFC 3339 has not.
fn with_short_zone(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z").map(|time| time.to_utc()).ok()
}

fn from_number(number: f64) -> Option<DateTime<Utc>> {
    let milliseconds = if number < MILLISECONDS_FROM { number * 1000.0 } else { number };
    if !(1.0..1e15).contains(&milliseconds) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "between 1 and 1e15; a fraction of a millisecond is dropped"
    )]
    DateTime::from_timestamp_millis(milliseconds as i64).filter(is_printable)
}

/// RFC 3339 has years of four digits.
fn is_printable(time: &DateTime<Utc>) -> bool {
    use chrono::Datelike as _;
    (0..=9999).contains(&time.year())
}
