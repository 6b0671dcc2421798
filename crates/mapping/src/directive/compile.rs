//! Compiles a mapping value as the user wrote it into a [`Node`]: the table of the directives at load time.
//!
//! Fails only for depth. What Segment refuses only when an event reaches it becomes a [`Node::Failure`], and is also
//! kept as a fault, so that `check` can report it before an event is lost. What Segment refuses at once is checked in
//! `check.rs`.

use std::fmt;

use super::array::ArrayPath;
use super::condition::If;
use super::flatten::Flatten;
use super::json::Json;
use super::liquid::Liquid;
use super::merge::Merge;
use super::node::Node;
use super::text::{Case, Replace};
use super::transform::Transform;
use super::{CompileError, ResolveError, path, template};
use crate::json::{Object, Value};
use crate::nearest::nearest;

/// How deep directives, objects and arrays of a mapping may nest.
const MAX_DEPTH: usize = 32;

/// Every directive.
pub const NAMES: [&str; 13] = [
    "@path",
    "@template",
    "@literal",
    "@if",
    "@case",
    "@replace",
    "@arrayPath",
    "@flatten",
    "@json",
    "@merge",
    "@transform",
    "@excludeWhenNull",
    "@liquid",
];

/// The position in a mapping value, such as `traits.name.@if.then`. Written out only when there is a fault to report.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    outer: Option<&'p Place<'p>>,
    key: &'p str,
}

impl<'p> Place<'p> {
    pub(super) const ROOT: Place<'static> = Place { outer: None, key: "" };

    pub(super) fn key(&'p self, key: &'p str) -> Place<'p> {
        Place { outer: Some(self), key }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(outer) = self.outer else { return Ok(()) };
        if outer.outer.is_some() {
            write!(formatter, "{outer}.")?;
        }
        formatter.write_str(self.key)
    }
}

/// `@pth is not a directive; did you mean @path?`
pub(super) fn unknown(name: &str) -> String {
    match nearest(name, NAMES.into_iter()) {
        Some(known) => format!("{name} is not a directive; did you mean {known}?"),
        None => format!("{name} is not a directive; the directives are {}", NAMES.join(", ")),
    }
}

/// Whether the engine runs this object as a directive: an `@` key, and none but such keys and `_metadata`.
/// Returns the key and its operand. Of several such keys the first counts.
fn as_directive<'v, 'a>(object: &'v Object<'a>) -> Option<(&'v str, &'v Value<'a>)> {
    let only = object.iter().all(|(key, _)| key.starts_with('@') || key == "_metadata");
    object.iter().find(|(key, _)| only && key.starts_with('@'))
}

/// Compiles one mapping value and collects its faults on the way.
#[derive(Default)]
pub(super) struct Compiler {
    depth: usize,
    /// The parts that fail whenever an event reaches them.
    pub(super) faults: Vec<CompileError>,
    pub(super) too_deep: Option<CompileError>,
}

impl Compiler {
    pub(super) fn node(&mut self, value: &Value<'_>, place: &Place<'_>) -> Node {
        if self.depth == MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep; split the mapping");
            self.too_deep.get_or_insert_with(|| CompileError { path: place.to_string(), message });
            return Node::Undefined;
        }
        self.depth += 1;
        let node = match value {
            Value::Array(items) => self.array(items, place),
            Value::Object(object) => match as_directive(object) {
                Some((name, operand)) => self.directive(name, operand, &place.key(name)),
                None => self.object(object, place),
            },
            scalar => Node::Literal(scalar.clone().into_owned()),
        };
        self.depth -= 1;
        node
    }

    /// Returns the operand's member of this name; undefined if there is none.
    pub(super) fn member(&mut self, object: &Object<'_>, key: &str, place: &Place<'_>) -> Node {
        object.get(key).map_or(Node::Undefined, |value| self.node(value, &place.key(key)))
    }

    /// A node that fails whenever it is reached.
    pub(super) fn failure(&mut self, place: &Place<'_>, message: impl Into<String>) -> Node {
        let message = message.into();
        self.fault(place, message.clone());
        Node::Failure(ResolveError { path: place.to_string(), message })
    }

    /// Records a part that would fail if an event reached it.
    pub(super) fn fault(&mut self, place: &Place<'_>, message: impl Into<String>) {
        self.faults.push(CompileError { path: place.to_string(), message: message.into() });
    }

    /// Returns the operand as the object that most directives take.
    pub(super) fn options(
        &mut self,
        operand: &Value<'_>,
        place: &Place<'_>,
        compile: impl FnOnce(&mut Self, &Object<'_>) -> Node,
    ) -> Node {
        match operand {
            Value::Object(options) => compile(self, options),
            other => self.failure(place, format!("takes an object, but it is {}", other.kind())),
        }
    }

    fn array(&mut self, items: &[Value<'_>], place: &Place<'_>) -> Node {
        let nodes = items.iter().enumerate();
        let nodes: Vec<Node> =
            nodes.map(|(index, item)| self.node(item, &place.key(&index.to_string()))).collect();
        let literals = nodes.iter().map(|node| node.literal().cloned()).collect();
        match literals {
            Some(values) => Node::Literal(Value::Array(values)),
            None => Node::Array(nodes),
        }
    }

    fn object(&mut self, object: &Object<'_>, place: &Place<'_>) -> Node {
        let members: Vec<(String, Node)> =
            object.iter().map(|(key, value)| (key.to_owned(), self.node(value, &place.key(key)))).collect();
        let literals: Option<Vec<_>> =
            members.iter().map(|(key, node)| Some((key.clone().into(), node.literal()?.clone()))).collect();
        match literals {
            Some(values) => Node::Literal(Value::Object(Object::from_distinct(values))),
            None => Node::Object(members),
        }
    }

    fn directive(&mut self, name: &str, operand: &Value<'_>, place: &Place<'_>) -> Node {
        match name {
            "@path" => path::compile(operand, self, place),
            "@template" => template::compile(operand, self, place),
            "@literal" => self.node(operand, place),
            "@if" => If::compile(operand, self, place),
            "@case" => Case::compile(operand, self, place),
            "@replace" => Replace::compile(operand, self, place),
            "@arrayPath" => ArrayPath::compile(operand, self, place),
            "@flatten" => Flatten::compile(operand, self, place),
            "@json" => Json::compile(operand, self, place),
            "@merge" => Merge::compile(operand, self, place),
            "@transform" => Transform::compile(operand, self, place),
            "@excludeWhenNull" => Node::ExcludeWhenNull(Box::new(self.node(operand, place))),
            "@liquid" => Liquid::compile(operand, self, place),
            other => self.failure(place, unknown(other)),
        }
    }
}
