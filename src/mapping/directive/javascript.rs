//! What JavaScript makes of a JSON value: truthiness, text, property access, the order of an object's keys.
//!
//! The directives are defined by Segment's engine, which is JavaScript; its rules live here, once.
//! Pure functions of values; nothing here knows a directive.

use std::borrow::Cow;

use super::resolved::View;
use crate::json::{self, Number, Object, Value};

/// `Boolean(value)`: false for null, false, 0 and "".
pub(super) fn is_truthy(value: &Value<'_>) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(bool) => *bool,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// The length of a string as JavaScript counts it: in UTF-16 code units.
pub(super) fn text_length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// White space to JavaScript: also the byte order mark, but not U+0085.
pub(super) fn is_space(character: char) -> bool {
    character == '\u{feff}' || (character.is_whitespace() && character != '\u{85}')
}

/// JavaScript's `trim`.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// The array index that a key names (`"0"`, `"12"`, but not `"01"`), at most the 2^32 - 2 of JavaScript.
pub(super) fn array_index(key: &str) -> Option<usize> {
    let canonical = key == "0" || (key.len() <= 10 && !key.starts_with('0'));
    if !canonical || !key.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    key.parse().ok().filter(|index| *index < u32::MAX as usize)
}

/// `"text".length` and `"text"[0]`: what a path finds inside a string.
pub(super) fn character(text: &str, key: &str) -> Option<Value<'static>> {
    if key == "length" {
        return Some(Value::Number(Number::from(text_length(text))));
    }
    text.encode_utf16().nth(array_index(key)?).map(unit)
}

/// One UTF-16 code unit as a text. Half of a character outside the basic plane cannot be said in UTF-8.
pub(super) fn unit(unit: u16) -> Value<'static> {
    Value::from(String::from(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)))
}

/// An object's members in JavaScript's order: array indexes ascending, then the others as they came.
pub(super) fn ordered<'o, 'e>(object: &'o Object<'e>) -> Vec<&'o (Cow<'e, str>, Value<'e>)> {
    let mut members: Vec<_> = object.members().iter().collect();
    // Stable: what is no array index keeps its place after those that are.
    members.sort_by_cached_key(|(key, _)| array_index(key).unwrap_or(usize::MAX));
    members
}

/// `String(value)`, appended: arrays join their items with commas, objects are `[object Object]`.
pub(super) fn write_text(view: View<'_, '_>, out: &mut String) {
    match view {
        View::Undefined | View::Value(Value::Null) => {}
        View::Value(Value::Bool(bool)) => out.push_str(if *bool { "true" } else { "false" }),
        View::Value(Value::Number(number)) => out.push_str(&number_text(number)),
        View::Value(Value::String(text)) => out.push_str(text),
        _ => match view.items() {
            None => out.push_str("[object Object]"),
            Some(items) => {
                for (index, item) in items.enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(item, out);
                }
            }
        },
    }
}

/// A number as JavaScript prints it.
pub(super) fn number_text(number: &Number) -> String {
    let mut out = Vec::new();
    json::write_number(number, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// `value == ''`, the loose comparison: true for "", 0, false, and arrays whose text is empty.
pub(super) fn loosely_empty(view: View<'_, '_>) -> bool {
    match view {
        View::Undefined | View::Value(Value::Null) => false,
        View::Value(scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => !is_truthy(scalar),
        _ => view.items().is_some_and(|mut items| {
            // An array of two has a comma in its text; an array of one has the text of its item.
            match (items.next(), items.next()) {
                (None, _) => true,
                (Some(item), None) => item.is_textless(),
                _ => false,
            }
        }),
    }
}
