//! A TOML or JSON text as one tree whose nodes know their places: the configuration, and mapping files.
//!
//! Environment variables may set further values. A place is looked up only when there is a fault to report.

mod place;

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use crate::fault::{Fault, Place, SourceText};
use crate::json::{MAX_DEPTH, Number, Object, Value};
use place::{Offsets, json_offsets, offset_inside, toml_offsets};

/// One step from a node to a node in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step<'d> {
    Index(usize),
    Key(&'d str),
}

/// A parsed text.
pub(crate) struct Document<'t> {
    source: &'t SourceText,
    value: Value<'t>,
    /// `None`: it is JSON.
    toml: Option<Spanned<DeValue<'t>>>,
    /// The environment variables that set a value, by the path of the value.
    variables: BTreeMap<String, String>,
}

/// A value in a document and the path to it.
#[derive(Clone)]
pub(crate) struct Node<'d> {
    document: &'d Document<'d>,
    pub(crate) value: &'d Value<'d>,
    path: Vec<Step<'d>>,
}

impl<'t> Document<'t> {
    pub(crate) fn from_toml(source: &'t SourceText) -> Result<Self, Fault> {
        let table = source.parse_toml()?;
        let span = table.span();
        let root = Spanned::new(span, DeValue::Table(table.into_inner()));
        let value = from_toml(&root, MAX_DEPTH)
            .map_err(|(offset, message)| Fault::new(source.place(offset), message))?;
        Ok(Self { source, value, toml: Some(root), variables: BTreeMap::new() })
    }

    pub(crate) fn from_json(source: &'t SourceText) -> Result<Self, Fault> {
        match Value::parse(&source.text) {
            Ok(value) => Ok(Self { source, value, toml: None, variables: BTreeMap::new() }),
            Err(error) => {
                let (file, line, column) = (source.file.clone(), error.line, error.column);
                Err(Fault::new(Place::File { file, line, column }, error.message))
            }
        }
    }

    pub(crate) fn root(&self) -> Node<'_> {
        Node { document: self, value: &self.value, path: Vec::new() }
    }

    /// The path as the configuration names it, or a preset's name.
    pub(crate) fn file(&self) -> String {
        self.source.file.display().to_string()
    }

    pub(crate) const fn is_json(&self) -> bool {
        self.toml.is_none()
    }

    /// Adds an empty object to the root if it has no such member.
    pub(crate) fn ensure_object(&mut self, key: &'t str) {
        if let Value::Object(members) = &mut self.value
            && !members.contains_key(key)
        {
            members.insert(key, Value::Object(Object::new()));
        }
    }

    /// Sets the text at a path, as the environment variable does, and adds the objects and lists above it. Returns false if
    /// that is impossible: an index leaves a gap, or a value on the path is neither an object nor a list.
    pub(crate) fn set(&mut self, path: &[Step<'_>], variable: &str, text: &str) -> bool {
        let is_set = set(&mut self.value, path, text);
        if is_set {
            self.variables.insert(dotted(path), variable.to_owned());
        }
        is_set
    }
}

impl<'d> Node<'d> {
    pub(crate) fn document(&self) -> &'d Document<'d> {
        self.document
    }

    /// The same place with another value.
    pub(crate) fn with_value<'s>(&'s self, value: &'s Value<'s>) -> Node<'s> {
        Node { document: self.document, value, path: self.path.clone() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Node<'d>> {
        let (key, value) = self.value.as_object()?.iter().find(|(name, _)| *name == key)?;
        Some(self.step(Step::Key(key), value))
    }

    /// Key and value of every member; nothing if the value is not an object.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'d str, Node<'d>)> + use<'_, 'd> {
        let members = self.value.as_object().into_iter().flat_map(Object::iter);
        members.map(|(key, value)| (key, self.step(Step::Key(key), value)))
    }

    /// Every item; nothing if the value is not a list.
    pub(crate) fn items(&self) -> impl Iterator<Item = Node<'d>> + use<'_, 'd> {
        let items = self.value.as_array().unwrap_or_default();
        items.iter().enumerate().map(|(index, value)| self.step(Step::Index(index), value))
    }

    /// The key of the value; empty for an item and for the whole document.
    pub(crate) fn key(&self) -> &'d str {
        if let Some(Step::Key(key)) = self.path.last() { key } else { "" }
    }

    /// `sources.0.write_key`; empty for the whole document.
    pub(crate) fn path(&self) -> String {
        dotted(&self.path)
    }

    fn step(&self, step: Step<'d>, value: &'d Value<'d>) -> Node<'d> {
        Node { document: self.document, value, path: [self.path.as_slice(), &[step]].concat() }
    }

    /// The deepest node that exists on a path such as `traits.name.@if.then` or `sources.0.name`.
    pub(crate) fn descend(&self, path: &str) -> Node<'d> {
        let mut node = self.clone();
        for part in path.split(['.', '[', ']']).filter(|part| !part.is_empty()) {
            let index = part.parse().unwrap_or(usize::MAX);
            let Some(next) = node.get(part).or_else(|| node.items().nth(index)) else { break };
            node = next;
        }
        node
    }

    /// The place of the value; of an object, of its key.
    pub(crate) fn place(&self) -> Place {
        if self.value.as_object().is_some() {
            self.key_place()
        } else {
            self.place_of(|offsets| offsets.value)
        }
    }

    /// The place of the key; of an item, of its value.
    pub(crate) fn key_place(&self) -> Place {
        self.place_of(|offsets| offsets.key)
    }

    fn place_of(&self, offset: impl FnOnce(&Offsets) -> usize) -> Place {
        let (path, variables) = (self.path(), &self.document.variables);
        if let Some(name) = variables.get(&path) {
            return Place::Variable(name.clone());
        }
        if let Some(offsets) = self.offsets() {
            return self.document.source.place(offset(&offsets));
        }
        // A section that exists only because a variable set a key in it.
        let within = format!("{path}.");
        let first = variables.range(within.clone()..).next().filter(|(path, _)| path.starts_with(&within));
        first.map_or(Place::Unknown, |(_, name)| Place::Variable(name.clone()))
    }

    /// A fault of the value.
    pub(crate) fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.place_of(|offsets| offsets.value), message)
    }

    /// A fault of the key.
    pub(crate) fn fault_of_key(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.key_place(), message)
    }

    /// A fault at a character of the value, a string; `column` counts from 1.
    pub(crate) fn fault_inside(&self, column: usize, message: impl Into<String>) -> Fault {
        let start = self.offsets().map_or(0, |offsets| offsets.value);
        let text = self.document.source.text.get(start..).unwrap_or_default();
        Fault::new(self.document.source.place(start + offset_inside(text, column)), message)
    }

    /// `None`: the value is not in the text.
    fn offsets(&self) -> Option<Offsets> {
        match &self.document.toml {
            Some(root) => toml_offsets(root, &self.path),
            None => json_offsets(&self.document.source.text, &self.path),
        }
    }
}

fn dotted(path: &[Step<'_>]) -> String {
    let parts = path.iter().map(|step| match step {
        Step::Key(key) => (*key).to_owned(),
        Step::Index(index) => index.to_string(),
    });
    parts.collect::<Vec<_>>().join(".")
}

fn set(value: &mut Value<'_>, path: &[Step<'_>], text: &str) -> bool {
    let empty = |rest: &[Step<'_>]| match rest {
        [] => Value::from(text.to_owned()),
        [Step::Index(_), ..] => Value::Array(Vec::new()),
        [Step::Key(_), ..] => Value::Object(Object::new()),
    };
    match (path, value) {
        ([], _) => true,
        ([Step::Key(key), rest @ ..], Value::Object(members)) => {
            if rest.is_empty() || !members.contains_key(key) {
                members.insert((*key).to_owned(), empty(rest));
            }
            members.get_mut(key).is_some_and(|member| set(member, rest, text))
        }
        ([Step::Index(index), rest @ ..], Value::Array(items)) => {
            if *index == items.len() {
                items.push(empty(rest));
            }
            items.get_mut(*index).is_some_and(|item| set(item, rest, text))
        }
        _ => false,
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
            // The parser sorts keys; requests look as they were written.
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
    if let Ok(number) = i64::from_str_radix(integer.as_str(), integer.radix()) {
        return Some(Value::Number(number.into()));
    }
    // As in JSON: digits that an integer cannot hold are lost.
    integer.as_str().parse().ok().and_then(Number::from_f64).map(Value::Number)
}
