//! Reads a date in digits at the start of a text: calendar, week or ordinal date, basic or extended (ISO 8601), and
//! spellings with slashes and points whose order is certain.

use jiff::civil::{Date, ISOWeekDate};

/// Returns the date and the text after it.
pub(super) fn split(text: &str) -> Option<(Date, &str)> {
    // LDAP and certificates use no separator at all: `20240115103000Z`.
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some((date, rest)) = text.split_at_checked(8)
        && is_digits(date)
        && rest.get(..6).is_some_and(is_digits)
    {
        return Some((read(date)?, rest));
    }
    // The `W` of a week date belongs to it; a `T`, a space or a comma ends a date.
    let end = text.find(['T', 't', ' ', ',', '_']).unwrap_or(text.len());
    let (date, rest) = text.split_at_checked(end)?;
    Some((read(date)?, rest.trim_start_matches(['T', 't', ' ', ',', '_'])))
}

pub(super) fn read(text: &str) -> Option<Date> {
    let starts = text.starts_with(|first: char| first.is_ascii_digit());
    if !starts {
        return None;
    }
    text.parse::<Date>()
        .ok()
        .or_else(|| text.parse::<ISOWeekDate>().ok().map(ISOWeekDate::date))
        .or_else(|| ordinal(text))
        .or_else(|| in_parts(text))
}

/// Reads `2024-015` and `2024015`: the year and the day of the year.
fn ordinal(text: &str) -> Option<Date> {
    let (year, day) = match text.len() {
        7 => text.split_at_checked(4)?,
        8 => text.split_once('-').filter(|(year, _)| year.len() == 4)?,
        _ => return None,
    };
    Date::new(number(year)?, 1, 1).ok()?.with().day_of_year(number(day)?).build().ok()
}

/// Reads three numbers, or year and month, between slashes, points or hyphens.
fn in_parts(text: &str) -> Option<Date> {
    let separator = text.chars().find(|char| !char.is_ascii_digit()).filter(|char| "/.-".contains(*char))?;
    let parts: Vec<&str> = text.split(separator).collect();
    let (year, month, day) = match *parts.as_slice() {
        [year, month] if year.len() == 4 => (year, number(month)?, 1),
        [year, month, day] if year.len() == 4 => (year, number(month)?, number(day)?),
        [one, other, year] if year.len() == 4 => {
            let (one, other) = (number(one)?, number(other)?);
            // Between points, the day comes first in every country.
            let (month, day) = if separator == '.' { (other, one) } else { in_order(one, other)? };
            (year, month, day)
        }
        _ => return None,
    };
    Date::new(number(year)?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

/// Returns month and day for two numbers in an unknown order. The order is certain only if one of them cannot be a
/// month, or both are equal.
fn in_order(one: i16, other: i16) -> Option<(i16, i16)> {
    match (one, other) {
        (day, month) if day > 12 && month <= 12 => Some((month, day)),
        (month, day) if day > 12 || month == day => Some((month, day)),
        _ => None,
    }
}

/// Reads a number of digits only.
pub(super) fn number(text: &str) -> Option<i16> {
    if text.is_empty() || text.len() > 4 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
