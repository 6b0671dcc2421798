//! Reads the zone of a time: an offset in any spelling, `Z` and `UTC`, a name of the tz database, an unambiguous
//! abbreviation.
//!
//! An abbreviation that several zones share (`IST`, `CST` outside RFC 2822) is not read unless an offset stands
//! beside it.

use chrono::{DateTime, Utc};
use jiff::civil;
use jiff::tz::TimeZone;

pub(super) enum Zone {
    /// Seconds ahead of UTC.
    Offset(i64),
    Named(TimeZone),
    /// The text names an unknown zone.
    Unknown,
}

/// Unambiguous abbreviations and their hours ahead of UTC: those of RFC 2822, and those that only one zone has. The
/// tz database has some more as names (`CET`, `EET`, `HST`).
const ABBREVIATIONS: [(&str, i64); 24] = [
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("AKST", -9),
    ("AKDT", -8),
    ("BRT", -3),
    ("WET", 0),
    ("WEST", 1),
    ("CET", 1),
    ("CEST", 2),
    ("EET", 2),
    ("EEST", 3),
    ("MSK", 3),
    ("SGT", 8),
    ("JST", 9),
    ("KST", 9),
    ("AEST", 10),
    ("AEDT", 11),
    ("NZST", 12),
];

/// The largest number of hours in an offset.
const MAX_HOURS: i64 = 26;

/// Removes the zone's name in brackets, which Java and RFC 9557 put after the time: `[Europe/Paris]`.
pub(super) fn take_annotation(text: &str) -> (&str, Option<Zone>) {
    let Some((time, annotations)) = text.strip_suffix(']').and_then(|text| text.split_once('[')) else {
        return (text, None);
    };
    let name = annotations.split("][").find(|name| !name.contains('='));
    (time.trim_end(), name.map(|name| named(name.trim_start_matches('!'))))
}

/// Reads the zone in the text; returns `Some(None)` for an empty text, and `None` for a text that is not a zone.
#[expect(clippy::option_option, reason = "no zone, and something that is no zone, are two things")]
pub(super) fn read(text: &str) -> Option<Option<Zone>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    // Go and others print the zone's abbreviation after the offset.
    let (first, others) = text.split_once(' ').unwrap_or((text, ""));
    let plain = ["UTC", "GMT", "UT", "Z"].iter().find_map(|name| strip_prefix(first, name)).unwrap_or(first);
    if plain.is_empty() {
        return match others.trim() {
            "" => Some(Some(Zone::Offset(0))),
            others => read(others).filter(|zone| matches!(zone, Some(Zone::Offset(_)))),
        };
    }
    // A form turns a plus sign into a space, which leaves only the number.
    if plain.starts_with(['+', '-']) || plain.starts_with(|first: char| first.is_ascii_digit()) {
        return offset(plain).map(|seconds| Some(Zone::Offset(seconds)));
    }
    match named(text) {
        Zone::Unknown => None,
        zone => Some(Some(zone)),
    }
}

/// Reads a name of the tz database, an abbreviation, or an offset.
pub(super) fn named(name: &str) -> Zone {
    let is_same = |(abbreviation, _): &&(&str, i64)| abbreviation.eq_ignore_ascii_case(name);
    if let Some((_, hours)) = ABBREVIATIONS.iter().find(is_same) {
        return Zone::Offset(hours * 3600);
    }
    if ["Z", "UTC", "GMT", "UT"].iter().any(|utc| utc.eq_ignore_ascii_case(name)) {
        return Zone::Offset(0);
    }
    match offset(name) {
        Some(seconds) => Zone::Offset(seconds),
        None => TimeZone::get(name).map_or(Zone::Unknown, Zone::Named),
    }
}

/// Converts the time to UTC; without a zone it is in UTC already.
pub(super) fn to_utc(local: civil::DateTime, days: i64, zone: Option<Zone>) -> Option<DateTime<Utc>> {
    let (zone, ahead) = match zone {
        None => (TimeZone::UTC, 0),
        Some(Zone::Offset(seconds)) => (TimeZone::UTC, seconds),
        Some(Zone::Named(zone)) => (zone, 0),
        Some(Zone::Unknown) => return None,
    };
    let time = zone.to_timestamp(local).ok()?;
    let seconds = time.as_second() - ahead + days * 86_400;
    // Before 1970, jiff counts the part of a second backwards.
    let nanoseconds = time.subsec_nanosecond();
    let (seconds, nanoseconds) =
        if nanoseconds < 0 { (seconds - 1, nanoseconds + 1_000_000_000) } else { (seconds, nanoseconds) };
    DateTime::from_timestamp(seconds, u32::try_from(nanoseconds).ok()?)
}

/// Reads `±H`, `±HH`, `±HHMM`, `±HH:MM`, `±HHMMSS`, `±HH:MM:SS`, and seconds, which some faulty SDKs write:
/// `-18000:00`.
fn offset(text: &str) -> Option<i64> {
    let text = text.trim_end_matches(['Z', 'z']);
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let parts: Vec<&str> = digits.split(':').collect();
    let seconds = match *parts.as_slice() {
        [hours, minutes] if hours.len() <= 2 => 3600 * number(hours)? + 60 * number(minutes)?,
        [hours, minutes, seconds] => 3600 * number(hours)? + 60 * number(minutes)? + number(seconds)?,
        [seconds, _] => number(seconds)?,
        [digits] => match digits.len() {
            1 | 2 => 3600 * number(digits)?,
            3 | 4 => 3600 * (number(digits)? / 100) + 60 * (number(digits)? % 100),
            6 => {
                3600 * (number(digits)? / 10_000) + 60 * (number(digits)? / 100 % 100) + number(digits)? % 100
            }
            _ => number(digits)?,
        },
        _ => return None,
    };
    (seconds <= MAX_HOURS * 3600).then_some(sign * seconds)
}

fn number(text: &str) -> Option<i64> {
    let is_number = (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    let is_whole = !rest.starts_with(|next: char| next.is_ascii_alphabetic() || next == '/');
    (start.eq_ignore_ascii_case(prefix) && is_whole).then_some(rest)
}
