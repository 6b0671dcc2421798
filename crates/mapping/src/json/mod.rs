//! A JSON value borrowed from the bytes it was read from: the shape in which an event passes through the stages.
//!
//! Why not `serde_json::Value`: object members keep the order in which they came (a request must look as
//! Segment's own would), strings are borrowed, depth is capped while parsing, and numbers print as
//! JavaScript prints them. `serde_json` still does the parsing.
//! Never panics on any input; never recurses deeper than the cap it was given.

mod edit;
mod lenient;
mod read;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::DeserializeSeed as _;
use serde::{Serialize, Serializer};
pub use serde_json::Number;

pub use lenient::{Replacement, ReplacementKind, Replacements, same_length};
use read::Depth;

/// The default limit on nesting: Amplitude allows 40, Segment states no limit
/// (`docs/segment.md#limits-of-the-tracking-api`).
pub const MAX_DEPTH: usize = 64;

/// From this number of members on, a duplicate key is found by hash instead of by a scan.
const HASHED_FROM: usize = 64;

/// One JSON value. `'a` is the text it was parsed from.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Object<'a>),
}

/// Members in the order in which they came. A repeated key keeps its first place and takes its last value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// Why a text could not be read as a JSON value.
#[derive(Debug, thiserror::Error)]
#[error("{message} at line {line}, column {column}")]
pub struct ParseError {
    pub message: String,
    pub line: usize,
    pub column: usize,
}

impl From<serde_json::Error> for ParseError {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or_default().to_owned();
        Self { message, line: error.line(), column: error.column() }
    }
}

impl<'a> Value<'a> {
    /// Reads one value, nested at most [`MAX_DEPTH`] deep.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        Self::parse_within(text, MAX_DEPTH)
    }

    /// Reads one value, nested at most `depth` deep.
    pub fn parse_within(text: &'a str, depth: usize) -> Result<Self, ParseError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        // Our own limit replaces serde_json's fixed one of 128.
        let value = Depth(depth.min(120)).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// Returns a member of an object; `None` if it is missing or this is not an object.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.as_object().and_then(|object| object.get(key))
    }

    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    pub fn as_object(&self) -> Option<&Object<'a>> {
        if let Value::Object(object) = self { Some(object) } else { None }
    }

    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        if let Value::Array(items) = self { Some(items) } else { None }
    }

    pub fn as_f64(&self) -> Option<f64> {
        if let Value::Number(number) = self { number.as_f64() } else { None }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Returns the kind of value, for messages, which never contain the value itself: it may be personal.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::String(text) if text.is_empty() => "empty string",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
    }

    /// Returns the same value with its own strings.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(bool) => Value::Bool(bool),
            Value::Number(number) => Value::Number(number),
            Value::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Value::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Value::Object(object) => Value::Object(object.into_owned()),
        }
    }

    /// Appends the value as compact JSON, as `JSON.stringify` would write it (except that integers keep all digits).
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Number(number) => write_number(number, out),
            Value::String(text) => write_string(text, out),
            Value::Array(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Object(object) => object.write(out),
        }
    }
}

impl<'a> Object<'a> {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value<'a>> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Sets a member; an existing key keeps its place.
    pub fn insert(&mut self, key: impl Into<Cow<'a, str>>, value: Value<'a>) {
        let key = key.into();
        match self.get_mut(&key) {
            Some(slot) => *slot = value,
            None => self.0.push((key, value)),
        }
    }

    /// Removes a member and returns it; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value<'a>> {
        let index = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(index).1)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value<'a>)> + DoubleEndedIterator {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// The values in the order of their members, to be changed in place.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value<'a>> {
        self.0.iter_mut().map(|(_, value)| value)
    }

    /// Returns the members in their order. Keys are borrowed from the text or owned.
    pub fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        &self.0
    }

    /// Makes an object from members whose keys are known to differ.
    pub(crate) fn from_distinct(members: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        Self(members)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_owned(self) -> Object<'static> {
        Object(
            self.0
                .into_iter()
                .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                .collect(),
        )
    }

    /// Appends the object as compact JSON, members in their order.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (key, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_string(key, out);
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }
}

impl<'a> IntoIterator for Object<'a> {
    type Item = (Cow<'a, str>, Value<'a>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K: Into<Cow<'a, str>>> FromIterator<(K, Value<'a>)> for Object<'a> {
    fn from_iter<I: IntoIterator<Item = (K, Value<'a>)>>(members: I) -> Self {
        let mut builder = Members::default();
        for (key, value) in members {
            builder.insert(key.into(), value);
        }
        Self(builder.members)
    }
}

/// Collects members: while there are few, a repeated key is found by a scan, and by a hash from then on. `V` is a
/// [`Value`], or a directive's intermediate form of one.
pub(crate) struct Members<'a, V> {
    pub(crate) members: Vec<(Cow<'a, str>, V)>,
    places: Option<HashMap<Cow<'a, str>, usize>>,
}

impl<V> Default for Members<'_, V> {
    fn default() -> Self {
        Self { members: Vec::with_capacity(8), places: None }
    }
}

impl<'a, V> Members<'a, V> {
    /// Sets a member; an existing key keeps its place.
    pub(crate) fn insert(&mut self, key: Cow<'a, str>, value: V) {
        if self.places.is_none() && self.members.len() >= HASHED_FROM {
            self.places =
                Some(self.members.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect());
        }
        let place = match &self.places {
            Some(places) => places.get(&key).copied(),
            None => self.members.iter().position(|(name, _)| *name == key),
        };
        if let Some(member) = place.and_then(|place| self.members.get_mut(place)) {
            member.1 = value;
            return;
        }
        if let Some(places) = &mut self.places {
            places.insert(key.clone(), self.members.len());
        }
        self.members.push((key, value));
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::String(Cow::Borrowed(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::String(Cow::Owned(text))
    }
}

/// Writes compact JSON text.
impl fmt::Display for Value<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.write(&mut out);
        formatter.write_str(&String::from_utf8_lossy(&out))
    }
}

/// Appends a number as JavaScript prints it: `1.0` is `1`, `1e21` is `1e+21`. Integers keep every digit.
pub fn write_number(number: &Number, out: &mut Vec<u8>) {
    use std::io::Write as _;
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            out.extend_from_slice(ryu_js::Buffer::new().format_finite(float).as_bytes());
        }
        // Writing to a Vec cannot fail.
        _ => drop(write!(out, "{number}")),
    }
}

/// Returns a number as text, as [`write_number`] prints it.
pub fn number_text(number: &Number) -> String {
    let mut text = Vec::new();
    write_number(number, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// Appends a JSON string, quoted and escaped.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing a str to a Vec cannot fail.
    drop(serde_json::to_writer(&mut *out, text));
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(bool) => serializer.serialize_bool(*bool),
            Value::Number(number) => number.serialize(serializer),
            Value::String(text) => serializer.serialize_str(text),
            Value::Array(items) => serializer.collect_seq(items),
            Value::Object(object) => object.serialize(serializer),
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests;
