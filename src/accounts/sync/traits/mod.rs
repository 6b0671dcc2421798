//! Turns an Accoil account into Vitally traits and finds those that differ from the current ones. Pure.
//!
//! A trait's name is the prefix and Accoil's own name. Null clears a trait only if the relay wrote its value. Traits that
//! Accoil does not mention are left alone.

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
/// A longer text is left out: nobody reads it in a trait, and Vitally does not document a limit.
const MAX_TEXT_BYTES: usize = 16 * 1024;

/// The traits as they should be. Null: the trait should not exist.
#[derive(Debug, Default, PartialEq)]
pub(super) struct WantedTraits {
    pub(super) traits: Map<String, Value>,
    pub(super) warnings: Vec<String>,
}

/// Reads the account's JSON as Accoil sent it.
pub(super) fn wanted(account: &Value, prefix: &str, insights: bool) -> WantedTraits {
    let mut wanted = WantedTraits::default();
    let metric = |name: &str| account.get("metrics").and_then(|metrics| metrics.get(name));
    for name in NUMBERS {
        wanted.put(prefix, name, metric(name), |value| lenient::to_number(value).map(Value::Number));
    }
    for name in DATES {
        let date =
            |value: &Value| value.as_str().filter(|text| times::read_text(text).is_some()).map(Value::from);
        wanted.put(prefix, name, metric(name), date);
    }
    // After a failed expansion an empty block may only be missing: clear nothing.
    let are_missing = account.pointer("/_expansions/error").is_some_and(|error| !error.is_null());
    if are_missing {
        wanted.warnings.push(
            "Accoil could not return the requested segments or insights: these traits were not changed"
                .to_owned(),
        );
        return wanted;
    }
    wanted.put(prefix, "segments", account.get("segments"), segments);
    if insights {
        wanted.put(prefix, "insights", account.get("insights"), text_of_insights);
    }
    wanted
}

impl WantedTraits {
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
                    .push(format!("{name} has an unexpected type or is too large, and was left out"));
            }
        }
    }
}

/// The segments' names as one sorted text, so that a different order is no change. Null if there are none.
fn segments(value: &Value) -> Option<Value> {
    let mut names = value.as_array()?.iter().map(name_of_segment).collect::<Option<Vec<_>>>()?;
    names.sort_unstable();
    text(names.join(", "))
}

/// Null if the text is empty, `None` if it is too long for a trait.
fn text(text: String) -> Option<Value> {
    match text.len() {
        0 => Some(Value::Null),
        1..=MAX_TEXT_BYTES => Some(Value::from(text)),
        _ => None,
    }
}

fn name_of_segment(segment: &Value) -> Option<&str> {
    segment.as_str().or_else(|| segment.get("name")?.as_str())
}

/// Text as it is; for other values all texts in them, one per line.
fn text_of_insights(value: &Value) -> Option<Value> {
    let mut lines = Vec::new();
    collect(value, "", &mut lines);
    text(lines.join("\n"))
}

/// The parser limits the depth.
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

/// The traits to write.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Difference {
    /// Null clears the trait.
    pub(super) changed: Map<String, Value>,
    /// The current values of the changed traits.
    pub(super) before: Map<String, Value>,
    /// Traits that are correct already, but not recorded as written.
    pub(super) found: Map<String, Value>,
    pub(super) warnings: Vec<String>,
}

/// Compares the wanted traits with those of the Vitally account. `written` holds the values that the relay wrote last.
pub(super) fn difference(
    current: &Map<String, Value>,
    wanted: WantedTraits,
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

/// Vitally may hold a number as text, or a date with a time.
fn is_same(one: &Value, other: &Value) -> bool {
    let number = |value: &Value| lenient::to_number(value).and_then(|number| number.as_f64());
    let time = |value: &Value| value.as_str().and_then(times::read_text);
    one == other
        || number(one).is_some_and(|one| Some(one) == number(other))
        || time(one).is_some_and(|one| Some(one) == time(other))
}

#[cfg(test)]
mod tests;
