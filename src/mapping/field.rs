//! One field of an action: what it is, and whether a mapped value may stand in it.
//!
//! Emptiness, coercion and format follow Segment's engine (`facts/segment.md` 4.3, 4.4); lenient validation
//! adds to it only where DESIGN 5.6 says so. Messages name a value's kind, never the value.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use super::Expression;
use super::coerce::coerce;
use super::format::{Format, mended_date_time};
use crate::event::Dialect;
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
    /// Whether the value is of this type as it stands.
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

    /// The rule in a few words, for messages.
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

/// A row of an action's table in `mappings/actions.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// The key in mappings and payloads, as Segment spells it.
    pub key: String,
    pub label: String,
    #[serde(rename = "type")]
    pub kind: Type,
    #[serde(default)]
    pub required: bool,
    /// A list of values; a single one is wrapped.
    #[serde(default)]
    pub multiple: bool,
    pub format: Option<Format>,
    pub description: String,
    /// What presets map to the field. Segment applies it to a new mapping only, never at delivery; so do we,
    /// except for an extension: a mapping pasted from Segment cannot know of it.
    #[serde(default, deserialize_with = "compiled")]
    pub(super) default: Option<Expression>,
    /// An extension that only this dialect has; `None`: a field of Segment's own destination.
    #[serde(default, deserialize_with = "dialect")]
    pub dialect: Option<Dialect>,
}

/// What became of a mapped value.
pub(super) enum Checked<'e> {
    /// Null or empty: as if it had not been mapped.
    Absent,
    Valid(Cow<'e, Value<'e>>),
    /// Refused by Segment's engine; read leniently. The warning says as what.
    Mended(Cow<'e, Value<'e>>, String),
    /// The reason.
    Invalid(String),
}

impl Field {
    /// Checks a mapped value; under `strict` as Segment's engine does, so nothing is mended.
    pub(super) fn check<'e>(&self, value: Cow<'e, Value<'e>>, strict: bool) -> Checked<'e> {
        if self.multiple {
            return self.check_list(value);
        }
        if is_empty(&value) {
            return Checked::Absent;
        }
        let given = value.kind();
        let Some(value) = coerce(value, self.kind) else {
            return Checked::Invalid(refusal(self.kind.rule(), given));
        };
        if strict {
            return self.check_format(value, given);
        }
        match &*value {
            // A lone null, or an empty text in a list, is still nothing.
            Value::String(text) if text.is_empty() => Checked::Absent,
            Value::Null => Checked::Invalid("must be a finite number, but is infinite".to_owned()),
            Value::String(text) if self.format == Some(Format::DateTime) => match mended_date_time(text) {
                Some((reading, text)) => {
                    let warning = format!("was read as {reading}; it is sent as an ISO 8601 date-time");
                    Checked::Mended(Cow::Owned(Value::from(text)), warning)
                }
                None => self.check_format(value, given),
            },
            _ => self.check_format(value, given),
        }
    }

    /// What is hardly meant by a value that every event gets.
    pub(super) fn literal_remark(&self, literal: &Value<'_>) -> Option<String> {
        let key = self.key.as_str();
        match self.check(Cow::Borrowed(literal), false) {
            Checked::Absent if self.required && key != "timestamp" => {
                Some(format!("{key} is required, but this is empty: every event is refused"))
            }
            Checked::Invalid(reason) if self.required => {
                Some(format!("{key} {reason}: every event is refused"))
            }
            Checked::Invalid(reason) => Some(format!("{key} {reason}: it is left out of every request")),
            _ if literal.as_str() == Some(key) => Some(format!(
                "{key} is sent as the text {key:?}: write {{ \"@path\" = \"$.{key}\" }} for the event's own value"
            )),
            Checked::Valid(_) if matches!(literal, Value::Bool(_)) && self.kind == Type::String => {
                Some(format!("{key} must be {}: this is sent as the text \"{literal}\"", self.kind.rule()))
            }
            _ => None,
        }
    }

    fn check_format<'e>(&self, value: Cow<'e, Value<'e>>, given: &str) -> Checked<'e> {
        match (self.format, value.as_str()) {
            (Some(format), Some(text)) if !format.accepts(text) => {
                let given = if given == "string" { "string of another form" } else { given };
                Checked::Invalid(refusal(format.rule(), given))
            }
            _ => Checked::Valid(value),
        }
    }

    /// Wraps a single value, drops empty items, coerces the others; no format is asked of list items.
    fn check_list<'e>(&self, value: Cow<'e, Value<'e>>) -> Checked<'e> {
        if value.as_array().is_some_and(|items| items.iter().all(|item| self.kind.holds(item))) {
            return Checked::Valid(value);
        }
        let items = match value.into_owned() {
            Value::Null => return Checked::Absent,
            Value::Array(items) => items,
            single if is_empty(&single) => return Checked::Absent,
            single => vec![single],
        };
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            // Empty texts stay in a list of texts, unlike nulls.
            if item.is_null() || (self.kind != Type::String && is_empty(&item)) {
                continue;
            }
            let given = item.kind();
            match coerce(Cow::Owned(item), self.kind) {
                Some(item) => kept.push(item.into_owned()),
                None => {
                    return Checked::Invalid(refusal(
                        &format!("a list, each item {}", self.kind.rule()),
                        given,
                    ));
                }
            }
        }
        Checked::Valid(Cow::Owned(Value::Array(kept)))
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// `must be a string, but is an object`: the rule and the kind of value that broke it.
pub(super) fn refusal(rule: &str, given: &str) -> String {
    let article = match given.as_bytes().first() {
        _ if given == "null" => "",
        Some(b'a' | b'e' | b'o') => "an ",
        _ => "a ",
    };
    format!("must be {rule}, but is {article}{given}")
}

fn compiled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Expression>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Expression::compile(&value)
        .map(Some)
        .map_err(|error| serde::de::Error::custom(format!("{}: {}", error.path, error.message)))
}

fn dialect<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Dialect>, D::Error> {
    let name = String::deserialize(deserializer)?;
    [Dialect::V2, Dialect::Segment]
        .into_iter()
        .find(|dialect| dialect.name() == name)
        .map(Some)
        .ok_or_else(|| serde::de::Error::custom("no such dialect"))
}
