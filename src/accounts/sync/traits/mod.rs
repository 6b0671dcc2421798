//! What an Accoil account says as Vitally traits, and which of them differ from those that are there: pure.
//!
//! Names are Accoil's own behind the prefix. Null clears a trait only if its value is one that the relay wrote; what
//! Accoil does not mention is left alone.

use serde_json::{Map, Value};

use crate::accounts::lenient;
use crate::times;

const NUMBERS: [&str; 6] = [
    "engagement_score",
    "raw_score",
    "activation_rate",
    "active_users",
    "total_people_count",
    "total_active_people_count",
];
const DATES: [&str; 2] = ["first_seen", "last_seen"];
/// A longer text is left out: nobody reads it in a trait, and Vitally's limit is not known.
const MOST_TEXT: usize = 16 * 1024;

/// What the traits should be; null: there should be none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Wanted {
    pub(super) traits: Map<String, Value>,
    pub(super) warnings: Vec<String>,
}

/// Reads the account's JSON as Accoil sent it.
pub(super) fn wanted(account: &Value, prefix: &str, insights: bool) -> Wanted {
    let mut wanted = Wanted::default();
    let metric = |name: &str| account.get("metrics").and_then(|metrics| metrics.get(name));
    for name in NUMBERS {
        wanted.put(prefix, name, metric(name), |value| lenient::to_number(value).map(Value::Number));
    }
    for name in DATES {
        let date =
            |value: &Value| value.as_str().filter(|text| times::read_text(text).is_some()).map(Value::from);
        wanted.put(prefix, name, metric(name), date);
    }
    // Then what is empty may be only missing.
    let are_missing = account.pointer("/_expansions/error").is_some_and(|error| !error.is_null());
    if are_missing {
        wanted.warnings.push("Accoil could not give what was to be expanded: it was left alone".to_owned());
        return wanted;
    }
    wanted.put(prefix, "segments", account.get("segments"), segments);
    if insights {
        wanted.put(prefix, "insights", account.get("insights"), text_of_insights);
    }
    wanted
}

impl Wanted {
    fn put(
        &mut self,
        prefix: &str,
        name: &str,
        value: Option<&Value>,
        read: impl Fn(&Value) -> Option<Value>,
    ) {
        let Some(value) = value else { return };
        let read = if value.is_null() { Some(Value::Null) } else { read(value) };
        match read {
            Some(read) => drop(self.traits.insert(format!("{prefix}{name}"), read)),
            None => {
                self.warnings
                    .push(format!("{name} is not what it should be, or too large, and was left out"));
            }
        }
    }
}

/// Their names as one text, in text order so that another order is no change; none is null.
fn segments(value: &Value) -> Option<Value> {
    let mut names = value.as_array()?.iter().map(name_of_segment).collect::<Option<Vec<_>>>()?;
    names.sort_unstable();
    text(names.join(", "))
}

/// None is null; too much is nothing that a trait can be.
fn text(text: String) -> Option<Value> {
    match text.len() {
        0 => Some(Value::Null),
        1..=MOST_TEXT => Some(Value::from(text)),
        _ => None,
    }
}

fn name_of_segment(segment: &Value) -> Option<&str> {
    segment.as_str().or_else(|| segment.get("name")?.as_str())
}

/// Text as it is; of anything else its texts, a line each.
fn text_of_insights(value: &Value) -> Option<Value> {
    let mut lines = Vec::new();
    collect(value, "", &mut lines);
    text(lines.join("\n"))
}

/// The depth is bounded by the parser's.
fn collect(value: &Value, label: &str, lines: &mut Vec<String>) {
    let mut line = |text: &str| {
        lines.push(if label.is_empty() { text.to_owned() } else { format!("{label}: {text}") });
    };
    match value {
        Value::Null => {}
        Value::String(text) => line(text),
        Value::Bool(_) | Value::Number(_) => line(&value.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect(item, label, lines)),
        Value::Object(members) => members.iter().for_each(|(key, value)| collect(value, key, lines)),
    }
}

/// What is to be written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// With null for what is to be cleared.
    pub(super) changed: Map<String, Value>,
    /// What is there now, of those.
    pub(super) before: Map<String, Value>,
    /// What is there as it should be, but is not recorded as written.
    pub(super) found: Map<String, Value>,
    pub(super) warnings: Vec<String>,
}

/// Compares with the traits that the Vitally account has. `written` are the values that the relay wrote last.
pub(super) fn difference(
    current: &Map<String, Value>,
    wanted: Wanted,
    written: &Map<String, Value>,
) -> Difference {
    let mut difference = Difference { warnings: wanted.warnings, ..Difference::default() };
    for (name, value) in wanted.traits {
        let there = current.get(&name).filter(|value| !value.is_null());
        let is_own = |there| written.get(&name).is_some_and(|own| is_same(own, there));
        match (there, value.is_null()) {
            (None, true) => continue,
            (Some(there), true) if !is_own(there) => {
                difference
                    .warnings
                    .push(format!("{name} was not cleared: the relay did not write its value"));
                continue;
            }
            (Some(there), false) if is_same(there, &value) => {
                if !is_own(there) {
                    difference.found.insert(name, value);
                }
                continue;
            }
            _ => {}
        }
        difference.before.extend(there.map(|there| (name.clone(), there.clone())));
        difference.changed.insert(name, value);
    }
    difference
}

/// Vitally may hold a number as text, and a date with a time.
fn is_same(one: &Value, other: &Value) -> bool {
    let number = |value: &Value| lenient::to_number(value).and_then(|number| number.as_f64());
    let time = |value: &Value| value.as_str().and_then(times::read_text);
    one == other
        || number(one).is_some_and(|one| Some(one) == number(other))
        || time(one).is_some_and(|one| Some(one) == time(other))
}

#[cfg(test)]
mod tests;
