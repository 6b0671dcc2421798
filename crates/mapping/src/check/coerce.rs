//! Coerces a mapped value to its field's type as Segment's engine does (ajv's `coerceTypes: "array"`,
//! `docs/segment.md#coercion-and-formats`). A value that already has the type is returned borrowed.
//!
//! Pure; never panics, never recurses.

use std::borrow::Cow;

use super::Type;
use crate::javascript;
use crate::json::{Number, Value, write_number};

/// Returns the value as this type, or `None` if it cannot be converted.
///
/// A text or literal that is infinite in JavaScript becomes null, as it would in the JSON that Segment sends.
pub fn coerce<'e>(value: Cow<'e, Value<'e>>, kind: Type) -> Option<Cow<'e, Value<'e>>> {
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

/// Returns `x` for `[x]`, and any other value unchanged.
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

/// Returns a scalar's text in JavaScript.
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
        Value::String(text) => (!text.is_empty()).then(|| javascript::number_from_text(text))??,
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
