//! The two text formats that a field may require, with exactly the rules of Segment's engine (ajv-formats 2.x,
//! `docs/segment.md#coercion-and-formats`), and the conversions that lenient validation and Accoil's v2 API add
//! (`docs/mappings-reference.md#what-is-checked`).
//!
//! Pure and linear in the length of the text; never panics.

use std::borrow::Cow;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use serde::Deserialize;

/// The format of a text field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Email,
    DateTime,
}

impl Format {
    pub fn accepts(self, text: &str) -> bool {
        match self {
            Self::Email => is_email(text),
            Self::DateTime => Moment::read(text).is_some(),
        }
    }

    /// Describes the rule in a few words, for messages.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Email => "an email address",
            Self::DateTime => "an ISO 8601 date-time such as 2023-05-12T08:00:00Z",
        }
    }
}

/// Returns a valid date-time as RFC 3339 in UTC; one without a zone is in UTC already. A canonical text is returned
/// byte for byte. Returns `None` if the text is not a date-time, or the UTC year is not in 0 to 9999.
pub fn utc(text: &str) -> Option<Cow<'_, str>> {
    let moment = Moment::read(text)?;
    if text.as_bytes().get(10) == Some(&b'T') && text.ends_with('Z') {
        return Some(Cow::Borrowed(text));
    }
    let shifted = moment.local.checked_sub_signed(moment.offset)?;
    let whole = shifted.format("%Y-%m-%dT%H:%M:%S");
    (0..=9999).contains(&shifted.year()).then(|| Cow::Owned(format!("{whole}{}Z", moment.fraction)))
}

/// Returns the time of a valid date-time. This is faster than the reader of all spellings, which checks more.
pub fn time_of(text: &str) -> Option<DateTime<Utc>> {
    let moment = Moment::read(text)?;
    Some(moment.local.checked_sub_signed(moment.offset)?.and_utc())
}

/// The parts of a date-time.
struct Moment<'a> {
    local: NaiveDateTime,
    /// With its leading point; may be empty.
    fraction: &'a str,
    offset: TimeDelta,
}

impl<'a> Moment<'a> {
    /// `YYYY-MM-DD`, `T` or one whitespace, `HH:MM:SS`, an optional fraction, an optional zone.
    fn read(text: &'a str) -> Option<Self> {
        let date = date(text.get(..10)?)?;
        let separator = text.get(10..)?.chars().next()?;
        if !matches!(separator, 'T' | 't') && !is_javascript_space(separator) {
            return None;
        }
        let time = text.get(10 + separator.len_utf8()..)?;
        let &[h1, h2, b':', m1, m2, b':', s1, s2] = time.as_bytes().get(..8)? else { return None };
        let (hour, minute, second) = (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?);
        let local = if (hour, minute, second) == (23, 59, 60) {
            date.and_hms_opt(23, 59, 59)?.checked_add_signed(TimeDelta::seconds(1))?
        } else {
            date.and_hms_opt(hour, minute, second)?
        };
        let (fraction, zone) = split_fraction(time.get(8..)?)?;
        Some(Self { local, fraction, offset: offset(zone)? })
    }
}

/// Reads exactly `YYYY-MM-DD`, a day that exists.
fn date(text: &str) -> Option<NaiveDate> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text.as_bytes() else { return None };
    let year = i32::try_from(number(&[y1, y2, y3, y4])?).ok()?;
    NaiveDate::from_ymd_opt(year, number(&[m1, m2])?, number(&[d1, d2])?)
}

/// Splits `.123Z` into `.123` and `Z`; a point without digits is refused.
fn split_fraction(text: &str) -> Option<(&str, &str)> {
    let Some(digits) = text.strip_prefix('.') else { return Some(("", text)) };
    let end = 1 + digits.bytes().take_while(u8::is_ascii_digit).count();
    (end > 1).then(|| text.split_at(end))
}

/// Reads nothing, `Z`, `±HH`, `±HHMM` or `±HH:MM`. As in ajv's rule, hours and minutes may be any two digits.
fn offset(zone: &str) -> Option<TimeDelta> {
    let (east, hours, minutes) = match *zone.as_bytes() {
        [] | [b'Z' | b'z'] => return Some(TimeDelta::zero()),
        [sign @ (b'+' | b'-'), h1, h2] => (sign == b'+', number(&[h1, h2])?, 0),
        [sign @ (b'+' | b'-'), h1, h2, m1, m2] | [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            (sign == b'+', number(&[h1, h2])?, number(&[m1, m2])?)
        }
        _ => return None,
    };
    let ahead = TimeDelta::minutes(i64::from(hours * 60 + minutes));
    Some(if east { ahead } else { -ahead })
}

fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
}

/// True for the white space of JavaScript's `\s` and `Number()`.
pub fn is_javascript_space(char: char) -> bool {
    crate::javascript::is_space(char)
}

/// True for a dotted local part of plain ASCII, `@`, and a domain of at least two labels.
fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        local.split('.').all(is_atom) && domain.contains('.') && domain.split('.').all(is_label)
    })
}

fn is_atom(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte))
}

fn is_label(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !part.starts_with('-')
        && !part.ends_with('-')
}
