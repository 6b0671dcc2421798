//! Coercion of a mapped value to its field's type, as Segment's engine coerces (ajv's `coerceTypes: "array"`,
//! `facts/segment.md` 4.4). A value that already has the type passes borrowed.
//!
//! Pure; never panics, never recurses.

use std::borrow::Cow;

use super::field::Type;
use super::format::is_javascript_space;
use crate::json::{Number, Value, write_number};

/// The value as this type; `None` when it cannot be read so.
///
/// A text or literal that is infinite in JavaScript becomes null, as it would in the JSON that Segment sends.
pub(super) fn coerce<'e>(value: Cow<'e, Value<'e>>, kind: Type) -> Option<Cow<'e, Value<'e>>> {
    if kind.holds(&value) {
        return Some(value);
    }
    if kind == Type::Object {
        return None;
    }
    let value = lone_item(value);
    if kind.holds(&value) {
        return Some(value);
    }
    let coerced = match kind {
        Type::String => text(&value)?,
        Type::Number => number(&value)?,
        Type::Integer => number(&value).filter(|number| number.is_null() || Type::Integer.holds(number))?,
        Type::Boolean => Value::Bool(boolean(&value)?),
        Type::Object => return None,
    };
    Some(Cow::Owned(coerced))
}

/// `[x]` is read as `x`; anything else stays.
fn lone_item<'e>(value: Cow<'e, Value<'e>>) -> Cow<'e, Value<'e>> {
    match value {
        Cow::Borrowed(Value::Array(items)) => match items.as_slice() {
            [item] => Cow::Borrowed(item),
            _ => value,
        },
        Cow::Owned(Value::Array(mut items)) if items.len() == 1 => {
            items.pop().map_or_else(Cow::default, Cow::Owned)
        }
        other => other,
    }
}

/// A scalar's text in JavaScript.
fn text(value: &Value<'_>) -> Option<Value<'static>> {
    match value {
        Value::Null => Some(Value::from("")),
        Value::Bool(bool) => Some(Value::from(if *bool { "true" } else { "false" })),
        Value::Number(number) => {
            let mut text = Vec::new();
            write_number(number, &mut text);
            String::from_utf8(text).ok().map(Value::from)
        }
        _ => None,
    }
}

fn number(value: &Value<'_>) -> Option<Value<'static>> {
    let number = match value {
        Value::Null => 0.0,
        Value::Bool(bool) => f64::from(u8::from(*bool)),
        Value::String(text) => javascript_number(text)?,
        _ => return None,
    };
    Some(Number::from_f64(number).map_or(Value::Null, Value::Number))
}

fn boolean(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Null => Some(false),
        Value::String(text) => text.parse().ok(),
        Value::Number(_) => match text(value)?.as_str()? {
            "0" => Some(false),
            "1" => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// What JavaScript's `Number()` makes of a text; `None` for the empty text and where it says `NaN`.
fn javascript_number(text: &str) -> Option<f64> {
    if text.is_empty() {
        return None;
    }
    let text = text.trim_matches(is_javascript_space);
    let radix = match text.as_bytes() {
        [] => return Some(0.0),
        [b'0', b'x' | b'X', ..] => 16,
        [b'0', b'o' | b'O', ..] => 8,
        [b'0', b'b' | b'B', ..] => 2,
        _ => return decimal(text),
    };
    let digits = text.get(2..).filter(|digits| !digits.is_empty())?;
    digits
        .chars()
        .try_fold(0.0, |sum, digit| Some(sum * f64::from(radix) + f64::from(digit.to_digit(radix)?)))
}

/// A decimal literal or `Infinity`, signed or not. Rust's parser reads more words (`inf`, `nan`): hence the check.
fn decimal(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let numeric = unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    if numeric || unsigned == "Infinity" { text.parse().ok() } else { None }
}
