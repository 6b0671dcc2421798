//! The labels of an event: its name, its user and its message id, read from the event as the sender wrote it.
//!
//! Lists and searches of failed and waiting events show them. They are never computed for an event that succeeds, and
//! no decision depends on them.

use std::borrow::Cow;

use super::members::identifier;
use crate::json::{Object, Value};

/// A label is cut to this many characters.
const MAX_CHARACTERS: usize = 256;
/// An event that is nested deeper has no labels.
const MAX_DEPTH: usize = 64;

/// A label is empty if the event does not have the value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels {
    /// The event's name, or its type if it has no name: `Signed Up`, `identify`.
    pub name: String,
    pub user: String,
    /// `messageId` or `insert_id`.
    pub message_id: String,
}

impl Labels {
    /// Reads an event of any form. A text that is not a JSON object has no labels.
    pub fn of(original: &[u8]) -> Self {
        let text = String::from_utf8_lossy(original);
        match Value::parse_within(&text, MAX_DEPTH) {
            Ok(Value::Object(event)) => Self::of_object(event.get("json").and_then(inner).unwrap_or(&event)),
            _ => Self::default(),
        }
    }

    fn of_object(event: &Object<'_>) -> Self {
        let first = |keys: &[&str]| {
            keys.iter()
                .find_map(|key| identifier(event.get(key)?))
                .map_or_else(String::new, |text: Cow<'_, str>| text.chars().take(MAX_CHARACTERS).collect())
        };
        let name = match event.get("type").and_then(Value::as_str) {
            Some("page" | "screen") => first(&["name", "category", "type"]),
            Some("track") | None => first(&["event", "event_type", "type"]),
            Some(_) => first(&["type"]),
        };
        Self { name, user: first(&["userId", "user_id"]), message_id: first(&["messageId", "insert_id"]) }
    }
}

/// Returns the event in an Extensible Webhook's wrapper.
fn inner<'v, 'a>(value: &'v Value<'a>) -> Option<&'v Object<'a>> {
    match value {
        Value::Object(event) => Some(event),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_every_kind_of_sender() {
        for (original, expected) in [
            (
                r#"{"type":"track","event":"Signed Up","userId":"u1","messageId":"m1"}"#,
                ("Signed Up", "u1", "m1"),
            ),
            (r#"{"event":"Signed Up","userId":7}"#, ("Signed Up", "7", "")),
            (r#"{"type":"page","name":"Home","userId":"u1"}"#, ("Home", "u1", "")),
            (r#"{"type":"screen","userId":"u1"}"#, ("screen", "u1", "")),
            (r#"{"type":"identify","event":"x","userId":"u1"}"#, ("identify", "u1", "")),
            (r#"{"json":{"type":"group","userId":"u2"}}"#, ("group", "u2", "")),
            (r#"{"event_type":"Play","user_id":"u3","insert_id":"i1"}"#, ("Play", "u3", "i1")),
            (r#"{"userId":{"no":"id"}}"#, ("", "", "")),
            (r#"["event"]"#, ("", "", "")),
            (r#"{"event":"#, ("", "", "")),
        ] {
            let labels = Labels::of(original.as_bytes());
            let found = (labels.name.as_str(), labels.user.as_str(), labels.message_id.as_str());
            assert_eq!(found, expected, "{original}");
        }
    }
}
