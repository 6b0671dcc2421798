//! The `date` filter and similar ones: read and print a time, in UTC unless an offset is given.
//!
//! `now` and `today` are refused: mapping is pure, and a replayed event must map as it did before.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Timelike};

use super::{Data, Filter, fault};
use crate::directive::ResolveError;
use crate::directive::resolved::Budget;

const DEFAULT_FORMAT: &str = "%A, %B %-e, %Y at %-l:%M %P %z";

/// The widest padding that a format may ask for.
const MAX_WIDTH: usize = 100;

pub(super) fn named(name: &str) -> Option<Filter> {
    let filter: Filter = match name {
        "date" => date,
        "date_to_xmlschema" => |value, _, budget| print(value, "%Y-%m-%dT%H:%M:%S%:z", None, budget),
        "date_to_rfc822" => |value, _, budget| print(value, "%a, %d %b %Y %H:%M:%S %z", None, budget),
        _ => return None,
    };
    Some(filter)
}

fn date<'v>(value: &Data<'v>, arguments: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    let format = arguments.first().filter(|format| !format.is_nil());
    let format = format.map_or(DEFAULT_FORMAT.into(), Data::printed);
    let offset = match arguments.get(1) {
        None | Some(Data::Undefined | Data::Null) => None,
        Some(Data::Number(minutes)) if minutes.abs() < 24.0 * 60.0 => Some(whole(*minutes)),
        Some(_) => {
            return Err(fault("the liquid filter `date` takes an offset in minutes, not the name of a zone"));
        }
    };
    print(value, &format, offset, budget)
}

/// Prints the time in the zone that is this many minutes behind UTC. A value that is not a date stays as it is.
fn print<'v>(
    value: &Data<'v>,
    format: &str,
    behind: Option<i64>,
    budget: &Budget,
) -> Result<Data<'v>, ResolveError> {
    let time = match value {
        Data::Text(text) if text == "now" || text == "today" => {
            return Err(fault(
                "the liquid filter `date` has no clock here; use a time of the event, such as timestamp",
            ));
        }
        Data::Text(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            of_seconds(value.number())
        }
        Data::Text(text) => parse(text),
        Data::Number(seconds) => of_seconds(*seconds),
        Data::Bool(bool) => of_seconds(f64::from(u8::from(*bool)) / 1000.0),
        _ => None,
    };
    let Some(time) = time.and_then(|time| time.checked_sub_signed(TimeDelta::minutes(behind.unwrap_or(0))))
    else {
        return Ok(value.clone());
    };
    let text = formatted(time, behind, format)?;
    budget.text(text.len())?;
    Ok(Data::text(text))
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and the result is checked")]
fn whole(number: f64) -> i64 {
    number as i64
}

fn of_seconds(seconds: f64) -> Option<NaiveDateTime> {
    let milliseconds = seconds * 1000.0;
    // The range of JavaScript's dates.
    if milliseconds.abs() > 8.64e15 || milliseconds.is_nan() {
        return None;
    }
    DateTime::from_timestamp_millis(whole(milliseconds)).map(|time| time.naive_utc())
}

/// ISO 8601 as JavaScript reads it (a date alone, or with a time, with or without a zone), and RFC 2822.
fn parse(text: &str) -> Option<NaiveDateTime> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return milliseconds(time.naive_utc());
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return milliseconds(time);
        }
    }
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return day.and_hms_opt(0, 0, 0);
    }
    DateTime::parse_from_rfc2822(text).ok().map(|time| time.naive_utc())
}

/// JavaScript keeps milliseconds.
fn milliseconds(time: NaiveDateTime) -> Option<NaiveDateTime> {
    time.with_nanosecond(time.nanosecond() / 1_000_000 * 1_000_000)
}

/// Handles `%`, flags, width, modifier and conversion. Text that is not a conversion stays as it is.
fn formatted(time: NaiveDateTime, behind: Option<i64>, format: &str) -> Result<String, ResolveError> {
    let mut out = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let flags_end = after.find(|flag| !"-_0^#:".contains(flag)).unwrap_or(after.len());
        let (flags, after_flags) = after.split_at(flags_end);
        let width_end = after_flags.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(after_flags.len());
        let (width, after_width) = after_flags.split_at(width_end);
        let conversions =
            after_width.strip_prefix(['E', 'O']).filter(|after| !after.is_empty()).unwrap_or(after_width);
        let Some(conversion) = conversions.chars().next() else {
            out.push('%');
            rest = after;
            continue;
        };
        rest = conversions.get(conversion.len_utf8()..).unwrap_or_default();
        let width: usize = if width.is_empty() { 0 } else { width.parse().unwrap_or(usize::MAX) };
        if width > MAX_WIDTH {
            return Err(fault(format!("a date format pads to {MAX_WIDTH} characters at most")));
        }
        match converted(time, behind, conversion, flags, width)? {
            Some(text) => out.push_str(&padded(text, conversion, flags, width)),
            None => out.push_str(
                format.get(out_start(format, after)..format.len() - rest.len()).unwrap_or_default(),
            ),
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Returns the place of the conversion whose `%` is before `after`.
fn out_start(format: &str, after: &str) -> usize {
    format.len() - after.len() - 1
}

fn padded(text: String, conversion: char, flags: &str, width: usize) -> String {
    let text = if flags.contains('^') {
        text.to_uppercase()
    } else if flags.contains('#') {
        let upper = text.chars().any(char::is_lowercase);
        if upper { text.to_uppercase() } else { text.to_lowercase() }
    } else {
        text
    };
    let own = match conversion {
        'j' | 'L' => 3,
        'd' | 'e' | 'H' | 'I' | 'k' | 'l' | 'm' | 'M' | 'S' | 'U' | 'W' => 2,
        _ => 0,
    };
    let width = if flags.contains('-') {
        0
    } else if width > 0 {
        width
    } else {
        own
    };
    let blank = flags.contains('_') || ("aAbBceklpP".contains(conversion) && !flags.contains('0'));
    let missing = width.saturating_sub(text.chars().count());
    format!("{}{text}", if blank { " " } else { "0" }.repeat(missing))
}

/// Returns a conversion's text before padding; `None` if there is no such conversion.
fn converted(
    time: NaiveDateTime,
    behind: Option<i64>,
    conversion: char,
    flags: &str,
    width: usize,
) -> Result<Option<String>, ResolveError> {
    let hour12 = if time.hour().is_multiple_of(12) { 12 } else { time.hour() % 12 };
    let weekday = time.weekday().num_days_from_sunday();
    let week = |first: u32| {
        let january =
            NaiveDate::from_ymd_opt(time.year(), 1, 1).map_or(0, |day| day.weekday().num_days_from_sunday());
        let now = i64::from(time.ordinal()) + i64::from(first) - i64::from(weekday);
        let then = 7 - i64::from(january) + i64::from(first);
        (now - then).div_euclid(7) + 1
    };
    let year = time.year().to_string();
    let milliseconds = time.and_utc().timestamp_subsec_millis();
    Ok(Some(match conversion {
        'a' => time.format("%a").to_string(),
        'A' => time.format("%A").to_string(),
        'b' | 'h' => time.format("%b").to_string(),
        'B' => time.format("%B").to_string(),
        'C' => year.chars().take(2).collect(),
        'd' | 'e' => time.day().to_string(),
        'H' | 'k' => time.hour().to_string(),
        'I' | 'l' => hour12.to_string(),
        'j' => time.ordinal().to_string(),
        'L' => milliseconds.to_string(),
        'm' => time.month().to_string(),
        'M' => time.minute().to_string(),
        'N' => {
            let width = if width == 0 { 9 } else { width };
            let digits = format!("{milliseconds:03}");
            format!("{:0<width$}", digits.get(..width.min(3)).unwrap_or(&digits))
        }
        'p' => if time.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'P' => if time.hour() < 12 { "am" } else { "pm" }.to_owned(),
        'q' => ordinal(time.day()).to_owned(),
        // Printed as a wall clock counts them, as LiquidJS does.
        's' => (time.and_utc().timestamp() + i64::from(milliseconds >= 500)).to_string(),
        'S' => time.second().to_string(),
        'u' => if weekday == 0 { 7 } else { weekday }.to_string(),
        'U' => week(0).to_string(),
        'w' => weekday.to_string(),
        'W' => week(1).to_string(),
        'y' => year.chars().skip(2).take(2).collect(),
        'Y' => year,
        'Z' if behind.is_none() => "UTC".to_owned(),
        'z' | 'Z' => zone(behind.unwrap_or(0), flags.contains(':')),
        't' => "\t".to_owned(),
        'n' => "\n".to_owned(),
        '%' => "%".to_owned(),
        'c' | 'x' | 'X' => {
            return Err(fault("the date formats %c, %x and %X depend on a language; write the fields out"));
        }
        _ => return Ok(None),
    }))
}

fn ordinal(day: u32) -> &'static str {
    match (day, day % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    }
}

fn zone(behind: i64, colon: bool) -> String {
    let (sign, minutes) = (if behind > 0 { '-' } else { '+' }, behind.abs());
    format!("{sign}{:02}{}{:02}", minutes / 60, if colon { ":" } else { "" }, minutes % 60)
}
