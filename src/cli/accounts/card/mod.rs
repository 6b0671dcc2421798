//! Formats an account as a card for a terminal: known fields with a label, others under their own name.
//!
//! All data is shown without control characters.

use serde_json::{Map, Number, Value};

use crate::accounts::accoil::{Account, Metrics};
use crate::json::number_text;
use crate::plain::plain;

const WIDTH: usize = 100;
/// The minimum width of deeply nested text.
const MIN_WIDTH: usize = 40;
/// The column where values start.
const LABEL: usize = 22;
/// The most characters of a member's name.
const MAX_NAME: usize = 80;

/// The whole card, its lines ended.
pub(super) fn card(account: &Account) -> String {
    let title = account.name.as_ref().or(account.domain.as_ref()).or(account.id.as_ref());
    let mut lines = vec![plain(title.map_or("(no name)", String::as_str), WIDTH)];
    let heading = [
        ("Domain", account.domain.clone()),
        ("Accoil id", account.id.clone()),
        ("Tracking id", account.tracking_id.clone()),
        ("Owner", account.metrics.owner_name.clone()),
        ("First seen", account.metrics.first_seen.clone()),
        ("Last seen", account.metrics.last_seen.clone()),
    ];
    lines.extend(rows(heading));
    lines.extend(section("Scores", metrics(&account.metrics)));
    for (title, value) in
        [("Traits", &account.traits), ("Segments", &account.segments), ("Insights", &account.insights)]
    {
        lines.extend(section(title, value.as_ref().map(|value| block(value, WIDTH - 2)).unwrap_or_default()));
    }
    lines.extend(section("Other", members(&account.other, WIDTH - 2)));
    let complaint = account.expansions.as_ref().and_then(|found| found.error.as_ref());
    lines.extend(section("Accoil says", complaint.map(|error| block(error, WIDTH - 2)).unwrap_or_default()));
    lines.iter().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn metrics(metrics: &Metrics) -> Vec<String> {
    let count = |number: &Option<Number>| number.as_ref().map(grouped);
    let mut lines: Vec<String> = rows([
        ("Engagement score", count(&metrics.engagement_score)),
        ("Raw score", count(&metrics.raw_score)),
        ("Activation rate", metrics.activation_rate.as_ref().map(percentage)),
        ("Active users", count(&metrics.active_users)),
        ("People", count(&metrics.total_people_count)),
        ("Active people", count(&metrics.total_active_people_count)),
        ("Scored events", count(&metrics.overall_scored_events)),
        ("  recently", count(&metrics.recently_scored_events)),
        ("  scoring profile", count(&metrics.scoring_profile_events)),
    ])
    .collect();
    lines.extend(members(&metrics.other, WIDTH - 2));
    lines
}

/// One line for each that has a value.
fn rows<const N: usize>(rows: [(&'static str, Option<String>); N]) -> impl Iterator<Item = String> {
    rows.into_iter().filter_map(|(label, value)| Some(row(label, &plain(&value?, WIDTH))))
}

fn row(label: &str, text: &str) -> String {
    format!("{label:<LABEL$}{}{text}", if label.chars().count() < LABEL { "" } else { "  " })
}

/// A blank line, the title and the lines below it; nothing if there are no lines.
fn section(title: &str, lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() {
        return lines;
    }
    let head = [String::new(), title.to_owned()];
    head.into_iter().chain(lines.into_iter().map(|line| format!("  {line}"))).collect()
}

/// Formats any JSON. The reader limits its depth.
fn block(value: &Value, width: usize) -> Vec<String> {
    let width = width.max(MIN_WIDTH);
    match value {
        Value::Array(items) if !items.is_empty() => {
            items.iter().flat_map(|item| indent_after("- ", block(item, width - 2))).collect()
        }
        Value::Object(map) if !map.is_empty() => members(map, width),
        Value::String(text) => wrap(text, width),
        other => vec![short(other).unwrap_or_default()],
    }
}

fn members(map: &Map<String, Value>, width: usize) -> Vec<String> {
    map.iter().flat_map(|(name, value)| member(&plain(name, MAX_NAME), value, width)).collect()
}

/// Puts a value beside its name if it fits, or else below it.
fn member(name: &str, value: &Value, width: usize) -> Vec<String> {
    let one = short(value).map(|text| row(name, &text)).filter(|line| line.chars().count() <= width);
    one.map_or_else(
        || std::iter::once(name.to_owned()).chain(indent_after("  ", block(value, width - 2))).collect(),
        |line| vec![line],
    )
}

/// The value on one line; `None` if it needs several.
fn short(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("none".to_owned()),
        Value::Bool(true) => Some("yes".to_owned()),
        Value::Bool(false) => Some("no".to_owned()),
        Value::Number(number) => Some(number_text(number)),
        Value::String(text) if text.trim().contains('\n') => None,
        Value::String(text) => Some(plain(text, usize::MAX)),
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            if items.is_empty() {
                return Some("none".to_owned());
            }
            Some(items.iter().map(short).collect::<Option<Vec<_>>>()?.join(", "))
        }
        Value::Object(map) if map.is_empty() => Some("none".to_owned()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Puts `lead` before the first line and indents the others to its width.
fn indent_after(lead: &str, lines: Vec<String>) -> impl Iterator<Item = String> {
    let blank = " ".repeat(lead.len());
    let lead = lead.to_owned();
    lines.into_iter().enumerate().map(move |(at, line)| {
        let lead = if at == 0 { &lead } else { &blank };
        format!("{lead}{line}")
    })
}

/// Breaks words into lines of at most this many characters, unless one word is longer; lines and paragraphs stay separate.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.trim().lines() {
        let (mut line, mut length) = (String::new(), 0);
        for word in plain(paragraph, usize::MAX).split(' ') {
            let more = word.chars().count();
            if length > 0 && length + 1 + more > width {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += more;
        }
        lines.push(line);
    }
    lines
}

/// `4,520`; numbers that are not whole stay as they are.
fn grouped(number: &Number) -> String {
    let text = number_text(number);
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return text;
    }
    let mut grouped = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A fraction as a percentage with at most one decimal; any other value stays as it is.
fn percentage(rate: &Number) -> String {
    match rate.as_f64() {
        Some(rate) if (0.0..=1.0).contains(&rate) => format!("{}%", (rate * 1000.0).round() / 10.0),
        _ => number_text(rate),
    }
}

#[cfg(test)]
mod tests;
