//! Reads Unix time in seconds, milliseconds, microseconds or nanoseconds, distinguished by size.
//!
//! A number of fewer than nine digits is a year, a count or a placeholder, not a time: as seconds it would be before
//! March 1973.

use chrono::{DateTime, NaiveDateTime, Utc};

const SECONDS: f64 = 1e8;
const MILLISECONDS: f64 = 1e11;
const MICROSECONDS: f64 = 1e14;
const NANOSECONDS: f64 = 1e17;
const TOO_LARGE: f64 = 1e20;

/// Dates without separators, by their number of digits. As Unix time each would be after the year 2500 or, the
/// shortest, before 1973.
const COMPACT: [(usize, &str); 4] =
    [(8, "%Y%m%d%H%M%S"), (14, "%Y%m%d%H%M%S"), (17, "%Y%m%d%H%M%S%3f"), (20, "%Y%m%d%H%M%S%6f")];

/// Returns `None` if the text is not a number, and `Some(None)` if it is a number that is not a time.
#[expect(clippy::option_option, reason = "a number that is no time must not be read as a date in words")]
pub(super) fn from_text(text: &str) -> Option<Option<DateTime<Utc>>> {
    let is_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let starts_like_one =
        text.trim_start_matches(['+', '-']).starts_with(|first: char| first.is_ascii_digit());
    if !starts_like_one || !text.bytes().all(is_number) {
        return None;
    }
    if let Some(compact) = compact(text) {
        return Some(Some(compact));
    }
    text.parse().ok().map(from_number)
}

pub(super) fn from_number(number: f64) -> Option<DateTime<Utc>> {
    let micros = match number {
        _ if (SECONDS..MILLISECONDS).contains(&number) => number * 1e6,
        _ if (MILLISECONDS..MICROSECONDS).contains(&number) => number * 1e3,
        _ if (MICROSECONDS..NANOSECONDS).contains(&number) => number,
        _ if (NANOSECONDS..TOO_LARGE).contains(&number) => number / 1e3,
        _ => return None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "below 1e17; a part of a microsecond is dropped")]
    DateTime::from_timestamp_micros(micros.round() as i64)
}

/// Reads `20240115`, `20240115103000` and the same with a fraction, in a plausible year.
fn compact(text: &str) -> Option<DateTime<Utc>> {
    let (_, format) = COMPACT.into_iter().find(|(digits, _)| *digits == text.len())?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(text.get(..2), Some("19" | "20")) {
        return None;
    }
    let midnight = if text.len() == 8 { "000000" } else { "" };
    NaiveDateTime::parse_from_str(&format!("{text}{midnight}"), format).ok().map(|time| time.and_utc())
}
