//! One field of an action, and the check of a mapped value for it.
//!
//! Emptiness, coercion and format follow Segment's engine (`docs/segment.md#empty-and-missing-values` and
//! `docs/segment.md#coercion-and-formats`). Lenient validation goes beyond it only where
//! `docs/mappings-reference.md#what-is-checked` says so. Messages name the kind of a value, never the value.

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
    /// The key in mappings and payloads, in Segment's spelling.
    pub key: String,
    pub label: String,
    #[serde(rename = "type")]
    pub kind: Type,
    #[serde(default)]
    pub required: bool,
    /// True for a list of values; a single value is wrapped.
    #[serde(default)]
    pub multiple: bool,
    pub format: Option<Format>,
    pub description: String,
    /// The value that presets map to the field. Segment applies it only to a new mapping, never at delivery. The
    /// relay does the same, except for an extension: a mapping pasted from Segment cannot name it.
    #[serde(default, deserialize_with = "compiled")]
    pub(super) default: Option<Expression>,
    /// Set for an extension that only this dialect has.
    #[serde(default, deserialize_with = "dialect")]
    pub dialect: Option<Dialect>,
    /// True for an extension that every dialect has.
    #[serde(default)]
    pub extension: bool,
}

/// The result of checking a mapped value.
pub(super) enum CheckResult<'e> {
    /// Null or empty: counts as not mapped.
    Absent,
    Valid(Cow<'e, Value<'e>>),
    /// Converted leniently; Segment's engine would have refused it. The warning describes the conversion.
    Converted(Cow<'e, Value<'e>>, String),
    /// Invalid, with the reason.
    Invalid(String),
    /// A placeholder instead of an id, with the reason.
    Placeholder(String),
}

impl Field {
    /// Checks a mapped value. With `strict` the rules are exactly those of Segment's engine, without lenient
    /// conversions.
    pub(super) fn check<'e>(&self, value: Cow<'e, Value<'e>>, strict: bool) -> CheckResult<'e> {
        if self.multiple {
            return self.check_list(value);
        }
        if is_empty(&value) {
            return CheckResult::Absent;
        }
        let given = value.kind();
        if strict {
            return match coerce(value, self.kind) {
                Some(value) => self.check_format(value, given),
                None => CheckResult::Invalid(refusal(self.kind.rule(), given)),
            };
        }
        if let Some(text) = value.as_str()
            && text.trim_matches(is_javascript_space).is_empty()
            && self.kind == Type::String
        {
            // Text of spaces only counts as missing.
            return CheckResult::Absent;
        }
        match self.format {
            Some(Format::DateTime) => self.check_time(value),
            Some(Format::Email) => self.check_address(value),
            None if self.is_id() => self.check_id(value),
            None if self.key == "event" && value.as_str().is_some_and(is_object_text) => {
                CheckResult::Invalid("must be a name, but is an object that was turned into text".to_owned())
            }
            None => self.check_plain(value),
        }
    }

    /// True for the keys by which Accoil identifies users and accounts.
    fn is_id(&self) -> bool {
        matches!(&*self.key, "userId" | "groupId")
    }

    /// Accoil would merge all users or accounts with the same placeholder as their id into one.
    fn check_id<'e>(&self, value: Cow<'e, Value<'e>>) -> CheckResult<'e> {
        let is_placeholder_id = match &*value {
            Value::String(id) => is_placeholder(id),
            Value::Bool(_) => true,
            _ => false,
        };
        if is_placeholder_id {
            let given =
                if value.as_str().is_some() { "a placeholder for a missing value" } else { "a boolean" };
            return CheckResult::Placeholder(format!("must be an id, but is {given}; send the id, or none"));
        }
        self.check_plain(value)
    }

    fn check_plain<'e>(&self, value: Cow<'e, Value<'e>>) -> CheckResult<'e> {
        let given = value.kind();
        match coerce(value, self.kind) {
            None => CheckResult::Invalid(refusal(self.kind.rule(), given)),
            Some(value) => match &*value {
                // A single null, or an empty text in a list, still counts as missing.
                Value::String(text) if text.is_empty() => CheckResult::Absent,
                Value::Null => CheckResult::Invalid("must be a finite number, but is infinite".to_owned()),
                _ => self.check_format(value, given),
            },
        }
    }

    /// A time that Segment's engine accepts stays unchanged. Any other readable time is written as RFC 3339.
    fn check_time<'e>(&self, value: Cow<'e, Value<'e>>) -> CheckResult<'e> {
        if value.as_str().is_some_and(|text| Format::DateTime.accepts(text)) {
            return CheckResult::Valid(value);
        }
        match times::read(&value) {
            Some(time) => {
                let text = time.to_rfc3339_opts(SecondsFormat::AutoSi, true);
                let warning =
                    format!("was {} in another form; it is sent as RFC 3339", article(value.kind()));
                CheckResult::Converted(Cow::Owned(Value::from(text)), warning)
            }
            None => self.check_plain(value),
        }
    }

    /// Spaces and line ends around an address do not belong to it.
    fn check_address<'e>(&self, value: Cow<'e, Value<'e>>) -> CheckResult<'e> {
        match value.as_str().map(|text| (text, text.trim_matches(is_javascript_space))) {
            Some((text, trimmed)) if text != trimmed && Format::Email.accepts(trimmed) => {
                CheckResult::Converted(
                    Cow::Owned(Value::from(trimmed.to_owned())),
                    "had spaces or line ends around it; they were removed".to_owned(),
                )
            }
            _ => self.check_plain(value),
        }
    }

    /// Returns a warning for a literal that is probably a mistake. Every event gets the same value.
    pub(super) fn literal_warning(&self, literal: &Value<'_>) -> Option<String> {
        let key = self.key.as_str();
        match self.check(Cow::Borrowed(literal), false) {
            CheckResult::Absent if self.required && key != "timestamp" => {
                Some(format!("{key} is required, but this is empty: every event is refused"))
            }
            CheckResult::Invalid(reason) if self.required => {
                Some(format!("{key} {reason}: every event is refused"))
            }
            CheckResult::Invalid(reason) => Some(format!("{key} {reason}: it is left out of every request")),
            _ if literal.as_str() == Some(key) => Some(format!(
                "{key} is sent as the text {key:?}: write {{ \"@path\" = \"$.{key}\" }} for the event's own value"
            )),
            CheckResult::Valid(_) if matches!(literal, Value::Bool(_)) && self.kind == Type::String => {
                Some(format!("{key} must be {}: this is sent as the text \"{literal}\"", self.kind.rule()))
            }
            _ => None,
        }
    }

    fn check_format<'e>(&self, value: Cow<'e, Value<'e>>, given: &str) -> CheckResult<'e> {
        match (self.format, value.as_str()) {
            (Some(format), Some(text)) if !format.accepts(text) => {
                let given = if given == "string" { "string of another form" } else { given };
                CheckResult::Invalid(refusal(format.rule(), given))
            }
            _ => CheckResult::Valid(value),
        }
    }

    /// Wraps a single value, drops empty items and coerces the others. List items have no format.
    fn check_list<'e>(&self, value: Cow<'e, Value<'e>>) -> CheckResult<'e> {
        if value.as_array().is_some_and(|items| items.iter().all(|item| self.kind.holds(item))) {
            return CheckResult::Valid(value);
        }
        let items = match value.into_owned() {
            Value::Null => return CheckResult::Absent,
            Value::Array(items) => items,
            single if is_empty(&single) => return CheckResult::Absent,
            single => vec![single],
        };
        let mut kept = Vec::with_capacity(items.len());
        for item in items {
            // Unlike nulls, empty texts stay in a list of texts.
            if item.is_null() || (self.kind != Type::String && is_empty(&item)) {
                continue;
            }
            let given = item.kind();
            match coerce(Cow::Owned(item), self.kind) {
                Some(item) => kept.push(item.into_owned()),
                None => {
                    return CheckResult::Invalid(refusal(
                        &format!("a list, each item {}", self.kind.rule()),
                        given,
                    ));
                }
            }
        }
        CheckResult::Valid(Cow::Owned(Value::Array(kept)))
    }
}

fn is_empty(value: &Value<'_>) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// Returns a message such as `must be a string, but is an object`: the rule, and the kind of value that violates it.
pub(super) fn refusal(rule: &str, given: &str) -> String {
    format!("must be {rule}, but is {}", article(given))
}

/// Returns `a string`, `an object` or `null`, for example.
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
