//! How pages write numbers, times and states.

use std::borrow::Borrow;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

use crate::admin::api::events::EventLine;

/// `48,210`
#[expect(clippy::cast_precision_loss, reason = "a number for a person")]
pub(super) fn count(number: impl Borrow<u64>) -> String {
    self::number(*number.borrow() as f64)
}

/// `10.6 %`; empty where nothing is the whole.
#[expect(clippy::cast_precision_loss, reason = "a number for a person")]
pub(super) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { String::new() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// `1 call`, `2 calls`
pub(super) fn many(number: impl Borrow<usize>, word: &str) -> String {
    let number = *number.borrow();
    format!("{} {word}{}", size(number), if number == 1 { "" } else { "s" })
}

/// A number with separators: `1,250`; a fraction only below ten.
pub(super) fn number(value: f64) -> String {
    if value < 10.0 && value.fract() > 0.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The same, for sizes in memory.
pub(super) fn size(number: impl Borrow<usize>) -> String {
    count(*number.borrow() as u64)
}

/// `3.1 MB`
pub(super) fn bytes(number: impl Borrow<u64>) -> String {
    indicatif::DecimalBytes(*number.borrow()).to_string()
}

/// For `<time datetime>`: scripts show it in local time.
pub(super) fn exact(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// For readers without scripts.
pub(super) fn utc(at: &DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `3 d 4 h`: the two largest units.
pub(super) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(number, _)| *number > 0).unwrap_or(parts.len() - 1);
    let shown: Vec<String> = parts
        .iter()
        .skip(first)
        .take(2)
        .filter(|(number, _)| *number > 0 || first == parts.len() - 1)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    shown.join(" ")
}

/// What a list calls an event without a name.
pub(super) fn title(line: &EventLine) -> &str {
    match (line.name.as_str(), line.kind.as_str()) {
        ("", "") => "unreadable",
        ("", kind) => kind,
        (name, _) => name,
    }
}

/// A sentence for a narrow column, without the marks of code.
pub(super) fn plain(text: &str) -> String {
    text.replace('`', "")
}

/// With a capital letter.
pub(super) fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}

/// The colour of an event's status, of a call's outcome, or of a destination's state.
pub(super) fn tone(state: &str) -> &'static str {
    match state {
        "ok" | "delivered" | "accepted" | "received" | "read" | "sent" | "done" | "fixed" => "ok",
        "waiting" | "retrying" | "interrupted" | "paused" | "failing" | "partly" | "warning" | "running"
        | "different" => "wait",
        "skipped" | "duplicate" | "held" | "unchanged" | "disabled" | "cancelled" | "not recorded" => "skip",
        _ => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h"), (273_660, "3 d 4 h")]
        {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
