//! The field that a condition tests: its path, and the value that an event has there.
//!
//! The relay follows a path as Segment's evaluator does, by JavaScript's rules: `list.length` and an index
//! into a list or text work, and a step below a falsy value (0, "", false, null) gives that value again.

use crate::javascript;
use crate::json::{Object, Value};

/// A path, split when the trigger is compiled.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Never empty; the first name is the event's own field.
    pub(super) path: Vec<String>,
    /// Segment's lexer misreads this path as it is written (a name that begins with a digit, or is `and`, `or` or
    /// `null`), so a condition on it never matches. Only set for a [`Kind::Nested`] field.
    pub(super) unreadable: bool,
}

/// How Segment's parser treats a field. This decides what a literal beside the field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `type`, `event`
    Label,
    /// `name`
    Name,
    /// `userId`
    UserId,
    /// A field below `properties`, `traits` or `context`.
    Nested,
    /// A field that Segment's triggers cannot test.
    Other,
}

/// The objects of the Segment spec in which triggers may test any field.
pub(super) const OBJECTS: [&str; 3] = ["properties", "traits", "context"];

impl Field {
    pub(super) fn kind(&self) -> Kind {
        match self.path.as_slice() {
            [root] => match root.as_str() {
                "type" | "event" => Kind::Label,
                "name" => Kind::Name,
                "userId" => Kind::UserId,
                _ => Kind::Other,
            },
            [root, ..] if OBJECTS.contains(&root.as_str()) => Kind::Nested,
            _ => Kind::Other,
        }
    }

    pub(super) fn is_type(&self) -> bool {
        matches!(self.path.as_slice(), [root] if root == "type")
    }

    pub(super) fn actual<'e>(&self, event: &'e Value<'e>) -> ActualValue<'e> {
        self.path.iter().fold(ActualValue::of(event), |here, name| here.step(name))
    }
}

/// The value that an event has in a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum ActualValue<'e> {
    /// Missing or null.
    Missing,
    Bool(bool),
    Number(f64),
    Text(&'e str),
    List(&'e [Value<'e>]),
    Object(&'e Object<'e>),
}

impl<'e> ActualValue<'e> {
    fn of(value: &'e Value<'e>) -> Self {
        match value {
            Value::Null => Self::Missing,
            Value::Bool(bool) => Self::Bool(*bool),
            Value::Number(number) => number.as_f64().map_or(Self::Missing, Self::Number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items),
            Value::Object(object) => Self::Object(object),
        }
    }

    fn step(self, name: &str) -> Self {
        match self {
            Self::Missing | Self::Bool(false) | Self::Number(0.0) | Self::Text("") => self,
            Self::Bool(true) | Self::Number(_) => Self::Missing,
            Self::Object(object) => object.get(name).map_or(Self::Missing, Self::of),
            Self::List(items) if name == "length" => Self::length(items.len()),
            Self::List(items) => javascript::array_index(name)
                .and_then(|index| items.get(index))
                .map_or(Self::Missing, Self::of),
            Self::Text(text) if name == "length" => Self::length(javascript::text_length(text)),
            Self::Text(text) => javascript::array_index(name)
                .and_then(|index| javascript::character_at(text, index))
                .map_or(Self::Missing, Self::Text),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "nothing in a body of some megabytes is 2^53 long")]
    fn length(length: usize) -> Self {
        Self::Number(length as f64)
    }
}
