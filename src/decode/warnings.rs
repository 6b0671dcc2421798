//! Warnings for values that were replaced while an event was read. They name the field, never the value.

use crate::event::Violation;
use crate::json::{Object, Replacement, ReplacementKind, Replacements, Value};
use crate::reasons::Reason;

/// The largest number of fields with broken text that are listed.
const MAX_LISTED: usize = 20;

const BROKEN_TEXT: &str = "had bytes that are not UTF-8; they became U+FFFD";

/// Returns the warnings for the replacements in a text. `inside` is the path of the text in the event.
pub(super) fn of_replacements(inside: &str, replacements: &Replacements) -> Vec<Violation> {
    let mut warnings: Vec<_> =
        replacements.listed.iter().map(|replacement| of_replacement(inside, replacement)).collect();
    if replacements.others > 0 {
        let reason =
            format!("had {} more values that JSON cannot hold; they were replaced too", replacements.others);
        warnings.push(Violation::new("the event", reason).coded(Reason::ValueReplaced));
    }
    warnings
}

fn of_replacement(inside: &str, Replacement { path, what }: &Replacement) -> Violation {
    let reason = match what {
        ReplacementKind::HalfPair => {
            "had half of a surrogate pair, as when an emoji is cut in two; it became U+FFFD"
        }
        ReplacementKind::NotANumber => {
            "was NaN, an infinity or undefined, which JSON does not have; it became null"
        }
        ReplacementKind::TooLarge => "was a number beyond the range of a double; it became null",
    };
    let point = if inside.is_empty() || path.is_empty() || path.starts_with('[') { "" } else { "." };
    Violation::new(format!("{inside}{point}{path}"), reason).coded(Reason::ValueReplaced)
}

/// Adds a warning for each field that contains U+FFFD, for an event whose body was not UTF-8.
pub(super) fn of_broken_text(event: &Object<'_>, warnings: &mut Vec<Violation>) {
    of_members(event, "", warnings);
}

/// The parser limits how deep this recursion goes.
fn of_members(members: &Object<'_>, path: &str, warnings: &mut Vec<Violation>) {
    for (key, value) in members.iter() {
        let point = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{point}{key}");
        if key.contains(char::REPLACEMENT_CHARACTER) {
            warn(&path, warnings);
        }
        of_value(value, &path, warnings);
    }
}

fn of_value(value: &Value<'_>, path: &str, warnings: &mut Vec<Violation>) {
    match value {
        Value::String(text) if text.contains(char::REPLACEMENT_CHARACTER) => warn(path, warnings),
        Value::Object(members) => of_members(members, path, warnings),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                of_value(item, &format!("{path}[{index}]"), warnings);
            }
        }
        _ => {}
    }
}

fn warn(path: &str, warnings: &mut Vec<Violation>) {
    if warnings.len() < MAX_LISTED {
        warnings.push(Violation::new(path, BROKEN_TEXT).coded(Reason::ValueReplaced));
    }
}
