//! Reads the time of day at the start of a text: with or without seconds, a fraction or separators, in 12 or 24
//! hours.

use jiff::civil::Time;

/// A time of day. `days` is 1 for `24:00`, which is midnight of the next day, and for a leap second.
pub(super) struct Clock {
    pub(super) time: Time,
    pub(super) days: i64,
}

const MIDNIGHT: Clock = Clock { time: Time::midnight(), days: 0 };

/// Returns the time and the text after it: a zone or nothing. A date without a time is its midnight.
pub(super) fn split(text: &str) -> Option<(Clock, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit() && !":.,".contains(char)).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    if digits.is_empty() {
        return Some((MIDNIGHT, rest.trim_start()));
    }
    // Swift's SDK writes a colon between the fraction and the zone.
    let mut clock = read(digits.trim_end_matches([':', '.', ',']))?;
    let rest = rest.trim_start();
    let Some((is_afternoon, rest)) = meridiem(rest) else { return Some((clock, rest)) };
    let hour = match clock.time.hour() {
        12 => 0,
        hour @ 1..12 => hour,
        // Programs that print both write `13:00 PM`; the hour is clear.
        _ => return Some((clock, rest)),
    };
    clock.time = clock.time.with().hour(hour + if is_afternoon { 12 } else { 0 }).build().ok()?;
    Some((clock, rest))
}

fn read(text: &str) -> Option<Clock> {
    let (whole, fraction) = match text.find(['.', ',']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)?),
        // Logs write the milliseconds after a third colon.
        None if text.matches(':').count() == 3 => text.rsplit_once(':')?,
        None => (text, ""),
    };
    if matches!(whole, "24" | "24:00" | "2400" | "24:00:00" | "240000") {
        let is_midnight = fraction.bytes().all(|byte| byte == b'0');
        return is_midnight.then_some(Clock { days: 1, ..MIDNIGHT });
    }
    // People write a single digit for the hour.
    let padded = if whole.find(':') == Some(1) { format!("0{whole}") } else { whole.to_owned() };
    if !fraction.is_empty()
        && (whole.len() == 5 && whole.contains(':') || whole.len() == 4 && !whole.contains(':'))
    {
        return with_part_of_minute(whole, fraction);
    }
    // Digits beyond nanoseconds are dropped. The `T` means that digits without colons are a time.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let point = if fraction.is_empty() { "" } else { "." };
    Some(Clock { time: format!("T{padded}{point}{fraction}").parse().ok()?, days: 0 })
}

/// Reads ISO 8601's part of a minute: `10:30.5` is half a minute past.
fn with_part_of_minute(minutes: &str, fraction: &str) -> Option<Clock> {
    let billionths: i64 = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
    let start: Time = format!("T{minutes}").parse().ok()?;
    let time = start.checked_add(jiff::SignedDuration::from_nanos(billionths * 60)).ok()?;
    Some(Clock { time, days: 0 })
}

/// Returns whether the text begins with `AM` or `PM`, in any spelling, and the text after it.
fn meridiem(text: &str) -> Option<(bool, &str)> {
    let is_afternoon = match text.as_bytes().first()? {
        b'a' | b'A' => false,
        b'p' | b'P' => true,
        _ => return None,
    };
    let rest = text.get(1..)?;
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let rest = rest.strip_prefix(['m', 'M'])?;
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    let is_word = rest.starts_with(|next: char| next.is_alphanumeric());
    (!is_word).then(|| (is_afternoon, rest.trim_start()))
}
