//! Checks a mapped value against its field: its [`Type`], its [`Format`], and placeholders instead of ids.
//!
//! Runs between the directive that produced the value and the payload. Pure: never panics and never recurses.

mod coerce;
mod format;
mod placeholders;

use serde::Deserialize;

pub use coerce::coerce;
pub use format::{Format, is_javascript_space, time_of, utc};
pub use placeholders::{is_object_text, is_placeholder};

use crate::json::Value;

/// The type of a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    String,
    Number,
    Integer,
    Boolean,
    Object,
}

impl Type {
    /// True if the value has this type without conversion.
    pub fn holds(self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::String, Value::String(_))
            | (Self::Number, Value::Number(_))
            | (Self::Boolean, Value::Bool(_))
            | (Self::Object, Value::Object(_)) => true,
            (Self::Integer, Value::Number(number)) => {
                number.as_f64().is_some_and(|number| number.fract() == 0.0)
            }
            _ => false,
        }
    }

    /// Describes the rule in a few words, for messages.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::String => "a string",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::Object => "an object",
        }
    }
}
