//! JavaScript's rules for a JSON value: truthiness, numbers, white space, UTF-16 units, the order of an object's
//! keys.
//!
//! Segment's engine runs in JavaScript, and its rules are only here. Pure functions of values: nothing here knows a
//! directive.

use std::borrow::Cow;

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

/// True for JavaScript's white space, which includes the byte order mark but not U+0085.
pub(super) fn is_space(character: char) -> bool {
    character == '\u{feff}' || (character.is_whitespace() && character != '\u{85}')
}

/// JavaScript's `trim`.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Returns the array index that a key names (`"0"`, `"12"`, but not `"01"`), at most JavaScript's 2^32 - 2.
pub(super) fn array_index(key: &str) -> Option<usize> {
    let canonical = key == "0" || (key.len() <= 10 && !key.starts_with('0'));
    if !canonical || !key.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    key.parse().ok().filter(|index| *index < u32::MAX as usize)
}

/// Returns what a path finds inside a string: `"text".length` and `"text"[0]`.
pub(super) fn character(text: &str, key: &str) -> Option<Value<'static>> {
    if key == "length" {
        return Some(Value::Number(Number::from(text_length(text))));
    }
    character_at(text, array_index(key)?).map(|character| Value::from(character.to_owned()))
}

/// Returns the UTF-16 unit of a text at an index; U+FFFD for half of a character outside the basic plane.
pub(super) fn character_at(text: &str, index: usize) -> Option<&str> {
    let mut units = 0;
    for (start, char) in text.char_indices() {
        units += char.len_utf16();
        if units > index {
            let whole = text.get(start..start + char.len_utf8()).filter(|_| char.len_utf16() == 1);
            return Some(whole.unwrap_or("\u{fffd}"));
        }
    }
    None
}

/// Returns one UTF-16 code unit as a text. Half of a character outside the basic plane has no form in UTF-8.
pub(super) fn unit(unit: u16) -> Value<'static> {
    Value::from(String::from(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)))
}

/// Returns an object's members in JavaScript's order: array indexes ascending, then the others as they came.
pub(super) fn ordered<'o, 'e>(object: &'o Object<'e>) -> Vec<&'o (Cow<'e, str>, Value<'e>)> {
    let mut members: Vec<_> = object.members().iter().collect();
    // The sort is stable: keys that are not array indexes keep their order after those that are.
    members.sort_by_cached_key(|(key, _)| array_index(key).unwrap_or(usize::MAX));
    members
}

/// Formats a number as JavaScript prints it.
pub(super) fn number_text(number: &Number) -> String {
    let mut out = Vec::new();
    json::write_number(number, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Formats a number as JavaScript prints it.
pub(super) fn number_to_text(number: f64) -> String {
    ryu_js::Buffer::new().format(number).to_owned()
}

/// Computes `Number(text)`; returns `None` for NaN. Blank text is 0.
pub(super) fn number_from_text(text: &str) -> Option<f64> {
    let text = trim(text);
    let (radix, digits) = match text.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, text.get(2..)?),
        Some("0o") => (8, text.get(2..)?),
        Some("0b") => (2, text.get(2..)?),
        _ => return decimal(text),
    };
    if digits.is_empty() {
        return None;
    }
    digits
        .chars()
        .try_fold(0.0, |number, digit| Some(number * f64::from(radix) + f64::from(digit.to_digit(radix)?)))
}

fn decimal(text: &str) -> Option<f64> {
    match text {
        "" => Some(0.0),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust reads the same decimal forms, and also words, which are excluded here.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) => text.parse().ok(),
        _ => None,
    }
}
