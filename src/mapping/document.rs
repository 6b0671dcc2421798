//! A mapping file's text as one tree of nodes, for TOML and for JSON. Every node knows its place.
//!
//! A place is computed only when there is a fault to report.

use std::borrow::Cow;

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::place::{Offsets, Step, json_offsets, offset_inside, toml_offsets};
use crate::fault::{Fault, Place, SourceText};
use crate::json::{MAX_DEPTH, Number, Object, Value};

/// A parsed file.
pub(super) struct Document<'t> {
    source: &'t SourceText,
    value: Value<'t>,
    /// `None` for JSON.
    toml: Option<Spanned<DeValue<'t>>>,
}

/// A value in a document, and the path to it.
#[derive(Clone)]
pub(super) struct Node<'d> {
    document: &'d Document<'d>,
    pub value: &'d Value<'d>,
    path: Vec<Step<'d>>,
}

impl<'t> Document<'t> {
    pub(super) fn from_toml(source: &'t SourceText) -> Result<Self, Fault> {
        let table = source.parse_toml()?;
        let span = table.span();
        let root = Spanned::new(span, DeValue::Table(table.into_inner()));
        let value = from_toml(&root, MAX_DEPTH)
            .map_err(|(offset, message)| Fault::new(source.place(offset), message))?;
        Ok(Self { source, value, toml: Some(root) })
    }

    pub(super) fn from_json(source: &'t SourceText) -> Result<Self, Fault> {
        match Value::parse(&source.text) {
            Ok(value) => Ok(Self { source, value, toml: None }),
            Err(error) => {
                let (file, line, column) = (source.file.clone(), error.line, error.column);
                Err(Fault::new(Place::File { file, line, column }, error.message))
            }
        }
    }

    pub(super) fn root(&self) -> Node<'_> {
        Node { document: self, value: &self.value, path: Vec::new() }
    }

    /// Returns the path as the configuration names it, or a preset's name.
    pub(super) fn file(&self) -> String {
        self.source.file.display().to_string()
    }

    pub(super) const fn is_json(&self) -> bool {
        self.toml.is_none()
    }
}

impl<'d> Node<'d> {
    pub(super) fn document(&self) -> &'d Document<'d> {
        self.document
    }

    pub(super) fn get(&self, key: &str) -> Option<Node<'d>> {
        self.members().find(|(name, _)| *name == key).map(|(_, node)| node)
    }

    /// Returns the key and value of every member; nothing if this is not an object.
    pub(super) fn members(&self) -> impl Iterator<Item = (&'d str, Node<'d>)> {
        let members = self.value.as_object().into_iter().flat_map(Object::iter);
        members.map(|(key, value)| (key, self.step(Step::Key(key), value)))
    }

    /// Returns every item; nothing if this is not a list.
    pub(super) fn items(&self) -> impl Iterator<Item = Node<'d>> {
        let items = self.value.as_array().unwrap_or_default();
        items.iter().enumerate().map(|(index, value)| self.step(Step::Index(index), value))
    }

    /// Returns the key of the value; empty for an item and for the whole document.
    pub(super) fn key(&self) -> &'d str {
        if let Some(Step::Key(key)) = self.path.last() { key } else { "" }
    }

    fn step(&self, step: Step<'d>, value: &'d Value<'d>) -> Node<'d> {
        Node { document: self.document, value, path: [self.path.as_slice(), &[step]].concat() }
    }

    /// Follows a directive's path such as `traits.name.@if.then`. Returns the deepest node on it that the file has.
    pub(super) fn descend(&self, path: &str) -> Node<'d> {
        let mut node = self.clone();
        for part in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            let index = part.parse().unwrap_or(usize::MAX);
            let Some(next) = node.get(part).or_else(|| node.items().nth(index)) else { break };
            node = next;
        }
        node
    }

    /// Returns a fault of the value.
    pub(super) fn fault(&self, message: impl Into<String>) -> Fault {
        self.fault_at(self.offsets().value, message)
    }

    /// Returns a fault of the value's key.
    pub(super) fn fault_of_key(&self, message: impl Into<String>) -> Fault {
        self.fault_at(self.offsets().key, message)
    }

    /// Returns a fault at a character of the value, which is a string; `column` counts from 1.
    pub(super) fn fault_inside(&self, column: usize, message: impl Into<String>) -> Fault {
        let start = self.offsets().value;
        let text = self.document.source.text.get(start..).unwrap_or_default();
        self.fault_at(start + offset_inside(text, column), message)
    }

    fn fault_at(&self, offset: usize, message: impl Into<String>) -> Fault {
        Fault::new(self.document.source.place(offset), message)
    }

    fn offsets(&self) -> Offsets {
        match &self.document.toml {
            Some(root) => toml_offsets(root, &self.path),
            None => {
                json_offsets(&self.document.source.text, &self.path).unwrap_or(Offsets { key: 0, value: 0 })
            }
        }
    }
}

fn from_toml<'t>(value: &Spanned<DeValue<'t>>, depth: usize) -> Result<Value<'t>, (usize, &'static str)> {
    let here = value.span().start;
    let Some(depth) = depth.checked_sub(1) else { return Err((here, "nested too deeply")) };
    Ok(match value.get_ref() {
        DeValue::String(text) => Value::String(text.clone()),
        DeValue::Integer(integer) => integer_value(integer).ok_or((here, "number out of range"))?,
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(number.ok_or((here, "number out of range"))?)
        }
        DeValue::Boolean(bool) => Value::Bool(*bool),
        DeValue::Datetime(datetime) => Value::from(datetime.to_string()),
        DeValue::Array(items) => {
            Value::Array(items.iter().map(|item| from_toml(item, depth)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => {
            // The parser sorts keys. The order of the file is restored, so that requests keep it.
            let mut members: Vec<_> = table.iter().collect();
            members.sort_by_key(|(key, _)| key.span().start);
            Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| Ok((Cow::clone(key.get_ref()), from_toml(value, depth)?)))
                    .collect::<Result<_, _>>()?,
            )
        }
    })
}

fn integer_value(integer: &DeInteger<'_>) -> Option<Value<'static>> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| Value::Number(number.into()))
}
