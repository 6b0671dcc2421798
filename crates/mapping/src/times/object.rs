//! Reads times that come as objects or lists: as PHP, `MongoDB`, Firestore, Protocol Buffers, Moment and Java print
//! them.

use chrono::{DateTime, TimeDelta, Utc};
use jiff::civil;

use super::{is_printable, read, zone};
use crate::json::{Object, Value};

/// Members that contain the time itself. `$date` and `$numberLong`: `MongoDB`'s extended JSON; `iso`: Parse; `_i` and
/// `_d`: Moment; `millis` and `time`: Joda and Java's dates; `value`: `BigQuery`.
const INNER: [&str; 8] = ["$date", "$numberLong", "iso", "_i", "_d", "millis", "time", "value"];
const SECONDS: [&str; 5] = ["seconds", "_seconds", "epochSecond", "epoch_seconds", "secs_since_epoch"];
const NANOSECONDS: [&str; 5] = ["nanos", "_nanoseconds", "nanoseconds", "nano", "nanos_since_epoch"];
/// The members of Java's `LocalDateTime`.
const PARTS: [(&[&str], Option<i64>); 7] = [
    (&["year"], None),
    (&["monthValue", "month"], None),
    (&["dayOfMonth", "day"], None),
    (&["hour"], Some(0)),
    (&["minute"], Some(0)),
    (&["second"], Some(0)),
    (&["nano"], Some(0)),
];

pub(super) fn read_object(members: &Object<'_>) -> Option<DateTime<Utc>> {
    php(members)
        .or_else(|| epoch(members))
        .or_else(|| inner(members))
        .or_else(|| java(members))
        .filter(is_printable)
}

/// Reads `[2024, 1, 15, 10, 30, 0, 0]`: Java's local times as Jackson writes them. Any other list is read only if it
/// has one item.
pub(super) fn read_list(items: &[Value<'_>]) -> Option<DateTime<Utc>> {
    match items {
        [only] => {
            if only.as_array().is_none() {
                read(only)
            } else {
                None
            }
        }
        [_, _, _, ..] if items.len() <= 7 => {
            let mut numbers = [0; 7];
            for (slot, item) in numbers.iter_mut().zip(items) {
                *slot = integer(item)?;
            }
            from_parts(numbers)
        }
        _ => None,
    }
}

/// Reads `{"date": "2024-01-15 10:30:00.000000", "timezone_type": 3, "timezone": "Europe/Paris"}`.
fn php(members: &Object<'_>) -> Option<DateTime<Utc>> {
    let (date, zone) = (members.get("date")?.as_str()?, members.get("timezone")?.as_str()?);
    let local = read(&Value::from(date))?.naive_utc();
    let local: civil::DateTime = local.format("%Y-%m-%dT%H:%M:%S%.f").to_string().parse().ok()?;
    zone::to_utc(local, 0, Some(zone::named(zone)))
}

fn epoch(members: &Object<'_>) -> Option<DateTime<Utc>> {
    let member = |names: &[&str]| names.iter().find_map(|name| integer(members.get(name)?));
    let nanoseconds = u32::try_from(member(&NANOSECONDS).unwrap_or(0)).ok()?;
    // A lower number of seconds is a part of a minute.
    let seconds = member(&SECONDS).filter(|seconds| *seconds > 60)?;
    DateTime::from_timestamp(seconds, nanoseconds)
}

/// Reads an object inside, two levels deep at most: `{"$date": {"$numberLong": "1700000000000"}}`.
fn inner(members: &Object<'_>) -> Option<DateTime<Utc>> {
    let found = INNER.iter().find_map(|name| members.get(name))?;
    match found {
        Value::Object(deeper) => {
            read(INNER.iter().find_map(|name| deeper.get(name)).filter(|value| value.as_object().is_none())?)
        }
        Value::Array(_) => None,
        plain => read(plain),
    }
}

fn java(members: &Object<'_>) -> Option<DateTime<Utc>> {
    // Gson prints a time with a zone as its local time and its offset.
    let ahead = members.get("offset").and_then(|offset| integer(offset.get("totalSeconds")?));
    if let (Some(Value::Object(local)), Some(ahead)) = (members.get("dateTime"), ahead) {
        return local_java(local)?.checked_sub_signed(TimeDelta::try_seconds(ahead)?);
    }
    local_java(members)
}

fn local_java(members: &Object<'_>) -> Option<DateTime<Utc>> {
    // Gson writes date and time as one object each.
    let of = |name: &str| members.get(name).and_then(Value::as_object);
    let places = [Some(members), of("date"), of("time"), of("dateTime")];
    let mut numbers = [0; 7];
    for (slot, (names, default)) in numbers.iter_mut().zip(PARTS) {
        let found = places
            .into_iter()
            .flatten()
            .find_map(|place| names.iter().find_map(|name| integer(place.get(name)?)));
        *slot = found.or(default)?;
    }
    from_parts(numbers)
}

pub(super) fn from_parts(parts: [i64; 7]) -> Option<DateTime<Utc>> {
    let [year, month, day, hour, minute, second, nano] = parts;
    let small = |number: i64| i8::try_from(number).ok();
    let local = civil::DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        i32::try_from(nano).ok()?,
    );
    zone::to_utc(local.ok()?, 0, None)
}

/// Reads a whole number, also from text, because Protocol Buffers write 64-bit numbers as text.
fn integer(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
