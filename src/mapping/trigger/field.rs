//! The field a condition asks about: its path, and what an event has there.
//!
//! A path is walked as Segment's evaluator walks it, which is JavaScript's way: `list.length` and an index
//! into a list or text are readable, and a step below a falsy value (0, "", false, null) stays at that value.

use crate::json::{Object, Value};
use crate::mapping::javascript;

/// A path, split when the trigger was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Field {
    /// Never empty; the first name is the event's own field.
    pub(super) path: Vec<String>,
    /// Segment's lexer breaks this path as written (a name that begins with a digit, or is `and`, `or` or
    /// `null`), so that a condition on it never holds. Only of a [`Kind::Nested`] field.
    pub(super) unreadable: bool,
}

/// How Segment's parser treats a field: decides what a literal beside it means.
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
    /// One that Segment's triggers cannot ask about.
    Other,
}

/// The objects of the Segment spec below which triggers may ask for any field.
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

    pub(super) fn actual<'e>(&self, event: &'e Value<'e>) -> Actual<'e> {
        self.path.iter().fold(Actual::of(event), |here, name| here.step(name))
    }
}

/// What an event has in a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Actual<'e> {
    /// Not there, or null.
    Missing,
    Bool(bool),
    Number(f64),
    Text(&'e str),
    List(&'e [Value<'e>]),
    Object(&'e Object<'e>),
}

impl<'e> Actual<'e> {
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
