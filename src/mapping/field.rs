//! One field of an action: what it is, and whether a mapped value may stand in it.
//!
//! Emptiness, coercion and format follow Segment's engine (`docs/segment.md#empty-and-missing-values` and
//! `docs/segment.md#coercion-and-formats`); lenient validation adds to it only where
//! `docs/mappings-reference.md#what-is-checked` says so. Messages name a value's kind, never the value.

use std::borrow::Cow;

use chrono::SecondsFormat;
use serde::{Deserialize, Deserializer};

use super::Expression;
use accoil_mapping::check::{Format, Type, coerce, is_javascript_space, is_object_text, is_placeholder};

use crate::event::Dialect;
use crate::json::Value;
use crate::times;

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
    /// An extension that every dialect has.
    #[serde(default)]
    pub extension: bool,
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
    /// A word for nothing in the place of an id; the reason.
    Placeholder(String),
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
        if strict {
            return match coerce(value, self.kind) {
                Some(value) => self.check_format(value, given),
                None => Checked::Invalid(refusal(self.kind.rule(), given)),
            };
        }
        if let Some(text) = value.as_str()
            && text.trim_matches(is_javascript_space).is_empty()
            && self.kind == Type::String
        {
            // Nothing but spaces is nothing.
            return Checked::Absent;
        }
        match self.format {
            Some(Format::DateTime) => self.check_time(value),
            Some(Format::Email) => self.check_address(value),
            None if self.is_id() => self.check_id(value),
            None if self.key == "event" && value.as_str().is_some_and(is_object_text) => {
                Checked::Invalid("must be a name, but is an object that was turned into text".to_owned())
            }
            None => self.check_plain(value),
        }
    }

    /// The keys by which Accoil tells users and accounts apart.
    fn is_id(&self) -> bool {
        matches!(&*self.key, "userId" | "groupId")
    }

    /// At Accoil all that have the same word for nothing as their id would be one user or one account.
    fn check_id<'e>(&self, value: Cow<'e, Value<'e>>) -> Checked<'e> {
        let is_no_id = match &*value {
            Value::String(id) => is_placeholder(id),
            Value::Bool(_) => true,
            _ => false,
        };
        if is_no_id {
            let given =
                if value.as_str().is_some() { "a placeholder for a missing value" } else { "a boolean" };
            return Checked::Placeholder(format!("must be an id, but is {given}; send the id, or none"));
        }
        self.check_plain(value)
    }

    fn check_plain<'e>(&self, value: Cow<'e, Value<'e>>) -> Checked<'e> {
        let given = value.kind();
        match coerce(value, self.kind) {
            None => Checked::Invalid(refusal(self.kind.rule(), given)),
            Some(value) => match &*value {
                // A lone null, or an empty text in a list, is still nothing.
                Value::String(text) if text.is_empty() => Checked::Absent,
                Value::Null => Checked::Invalid("must be a finite number, but is infinite".to_owned()),
                _ => self.check_format(value, given),
            },
        }
    }

    /// A time that Segment's engine takes stays as it is; any other that can be read is written as RFC 3339.
    fn check_time<'e>(&self, value: Cow<'e, Value<'e>>) -> Checked<'e> {
        if value.as_str().is_some_and(|text| Format::DateTime.accepts(text)) {
            return Checked::Valid(value);
        }
        match times::read(&value) {
            Some(time) => {
                let text = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
                let warning =
                    format!("was {} in another form; it is sent as RFC 3339", article(value.kind()));
                Checked::Mended(Cow::Owned(Value::from(text)), warning)
            }
            None => self.check_plain(value),
        }
    }

    /// Spaces and line ends around an address are no part of it.
    fn check_address<'e>(&self, value: Cow<'e, Value<'e>>) -> Checked<'e> {
        match value.as_str().map(|text| (text, text.trim_matches(is_javascript_space))) {
            Some((text, trimmed)) if text != trimmed && Format::Email.accepts(trimmed) => Checked::Mended(
                Cow::Owned(Value::from(trimmed.to_owned())),
                "had spaces or line ends around it; they were removed".to_owned(),
            ),
            _ => self.check_plain(value),
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
    format!("must be {rule}, but is {}", article(given))
}

/// `a string`, `an object`, `null`
fn article(kind: &str) -> Cow<'_, str> {
    match kind.as_bytes().first() {
        _ if kind == "null" => kind.into(),
        Some(b'a' | b'e' | b'o') => format!("an {kind}").into(),
        _ => format!("a {kind}").into(),
    }
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
