//! Reads a text that names a type around the time: `ISODate("…")`, `Timestamp(seconds=…, nanoseconds=…)`,
//! `datetime.datetime(2024, 1, 15, 10, 30)`, `new Date(…)`. Programs print these where they meant to print the time.

use chrono::{DateTime, Utc};

use super::object::from_parts;
use super::read_text;

/// Python's names for the zone UTC.
const UTC: [&str; 3] = ["tzinfo=datetime.timezone.utc", "tzinfo=<UTC>", "tzinfo=tzutc()"];

pub(super) fn read(text: &str) -> Option<DateTime<Utc>> {
    let (name, inner) = text.trim().strip_suffix(')')?.split_once('(')?;
    let is_name = |char: char| char.is_ascii_alphanumeric() || "._ ".contains(char);
    if name.is_empty() || !name.chars().all(is_name) {
        return None;
    }
    let inner = inner.trim();
    if inner.contains("seconds=") {
        return of_members(inner);
    }
    if inner.contains(", ") {
        return of_parts(inner);
    }
    // One layer only: the inner text must not have a type of its own.
    if inner.contains('(') { None } else { read_text(inner) }
}

/// Reads `seconds=1705314600, nanoseconds=0`.
fn of_members(inner: &str) -> Option<DateTime<Utc>> {
    let member = |name: &str| {
        inner
            .split(',')
            .find_map(|member| member.trim().strip_prefix(name)?.strip_prefix('=')?.parse::<i64>().ok())
    };
    let nanoseconds = member("nanoseconds").or_else(|| member("nanos")).unwrap_or(0);
    DateTime::from_timestamp(member("seconds")?, u32::try_from(nanoseconds).ok()?)
}

/// Reads Python's `2024, 1, 15, 10, 30, tzinfo=datetime.timezone.utc`, with microseconds as the seventh number.
fn of_parts(inner: &str) -> Option<DateTime<Utc>> {
    let mut numbers = [0; 7];
    for (at, part) in inner.split(", ").enumerate() {
        match part.parse::<i64>() {
            Ok(number) => *numbers.get_mut(at)? = number,
            Err(_) if at >= 3 && UTC.contains(&part) => break,
            Err(_) => return None,
        }
    }
    let [year, month, day, hour, minute, second, microsecond] = numbers;
    from_parts([year, month, day, hour, minute, second, microsecond.checked_mul(1000)?])
}
