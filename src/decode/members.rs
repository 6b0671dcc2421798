//! Reads the members that senders fill in differently: ids, property objects, blank values.

use std::borrow::Cow;

use crate::json::{Object, Value};

/// The longest id that is stored for de-duplication; Segment allows 100 characters (`docs/segment.md#message-ids`).
const MESSAGE_ID_BYTES: usize = 256;

/// Returns the first of these members that can be used as an id for de-duplication.
pub(super) fn message_id(event: &Object<'_>, keys: &[&str]) -> Option<String> {
    keys.iter()
        .find_map(|key| identifier(event.get(key)?))
        .filter(|id| id.len() <= MESSAGE_ID_BYTES)
        .map(Cow::into_owned)
}

/// Reads an id as text: a string that is not blank, or a number. No other value is an id.
pub(super) fn identifier<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(_) => Some(value.to_string().into()),
        _ => None,
    }
}

/// Removes and returns the first of these members that is an object; returns an empty object if there is none.
pub(super) fn take_object<'a>(event: &mut Object<'a>, keys: &[&str]) -> Object<'a> {
    let found = keys.iter().find(|key| matches!(event.get(key), Some(Value::Object(_))));
    match found.and_then(|key| event.remove(key)) {
        Some(Value::Object(object)) => object,
        _ => Object::new(),
    }
}

/// True for null and for text that is only white space: hand-made senders and templates write these for missing
/// values.
pub(super) fn is_blank(value: &Value<'_>) -> bool {
    value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty())
}
