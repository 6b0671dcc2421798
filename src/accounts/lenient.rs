//! Reading what other systems hold: a number that came as text is the number, anything of another kind is absent.
//!
//! One odd field never costs its account. What was read this way is only compared and shown; nothing is guessed.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::json::number_text;

/// Text that says something; a number is its digits, `456.0` those of `456`.
pub(super) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) if !text.trim().is_empty() => Some(text),
        Value::Number(number) => Some(number_text(&number)),
        _ => None,
    })
}

/// A number, or text that is one.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Number>, D::Error> {
    Ok(to_number(&Value::deserialize(deserializer)?))
}

/// The members; of anything but an object none.
pub(super) fn map<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Map<String, Value>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(map) => map,
        _ => Map::new(),
    })
}

/// What an object holds; of anything else, null included, nothing. Every field of `T` is lenient itself.
pub(super) fn object<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(if value.is_object() { T::deserialize(value).unwrap_or_default() } else { T::default() })
}

/// The items; of anything but an array none.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Array(items) => items,
        _ => Vec::new(),
    })
}

/// A number, or text that is one in JSON's own writing.
pub(super) fn to_number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => serde_json::from_str(text.trim()).ok(),
        _ => None,
    }
}
