//! Directives: the language in which a mapping says where an action's fields come from.
//!
//! Segment's mapping language, as its published engine runs it (docs/segment.md#directives): a value is a literal, an
//! object or array of values, or a directive, an object with one key such as `@path`. Compiled once, when the
//! configuration is loaded; then resolved against every event, without parsing and borrowing what it can.
//! Pure: no clock, no state. Depth, time and size are limited, whatever the mapping and the event.

mod array;
mod check;
mod compile;
mod condition;
mod flatten;
mod json;
mod liquid;
mod merge;
mod node;
mod nulls;
mod path;
mod resolved;
mod template;
mod text;
mod transform;

use std::borrow::Cow;

use crate::json::Value;
pub use compile::NAMES;
use compile::{Compiler, Place};
use node::{Node, Scope};
use path::Path;
use resolved::{Budget, Resolved, View};
use template::Template;

/// A compiled mapping value.
#[derive(Debug)]
pub struct Directive {
    node: Node,
    faults: Vec<CompileError>,
}

/// Why a mapping value is not one, or a part of it can never work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", located(path))]
pub struct CompileError {
    /// Where inside the value, such as `traits.name.@if.then`; empty for the value itself.
    pub path: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// Why a value could not be resolved against an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", located(path))]
pub struct ResolveError {
    /// Where inside the value, such as `traits.name.@path`; empty for the value itself.
    pub path: String,
    /// What was wrong with which kind of value; never the value.
    pub message: String,
}

impl ResolveError {
    fn new(place: &str, message: impl Into<String>) -> Self {
        Self { path: place.to_owned(), message: message.into() }
    }
}

fn located(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

impl Directive {
    /// Compiles one field's mapping value. Fails where Segment's own check of a mapping fails, and if the value nests
    /// too deeply. [`Directive::faults`] lists what Segment refuses only when an event reaches it.
    pub fn compile(value: &Value<'_>) -> Result<Self, CompileError> {
        let mut compiler = Compiler::default();
        let node = compiler.node(value, &Place::ROOT);
        if let Some(error) = compiler.too_deep {
            return Err(error);
        }
        check::check(value, &Place::ROOT)?;
        Ok(Self { node, faults: compiler.faults })
    }

    /// Compiles a whole mapping, an object of fields, and applies its root directive (`__segment_internal_directive`).
    pub fn compile_mapping(mapping: &Value<'_>) -> Result<Self, CompileError> {
        let Value::Object(fields) = mapping else {
            let message = format!("a mapping is an object, but this is {}", mapping.kind());
            return Err(CompileError { path: String::new(), message });
        };
        Self::compile(&transform::with_root_directive(fields, &Place::ROOT)?)
    }

    /// Returns the parts of the value that pass Segment's check but fail whenever an event reaches them: a bad directive in an
    /// array, an `@if` without a condition, a liquid template that cannot be read.
    pub fn faults(&self) -> &[CompileError] {
        &self.faults
    }

    /// Returns the value that every event gets, if it is the same for all.
    pub fn literal(&self) -> Option<&Value<'static>> {
        self.node.literal()
    }

    /// Returns the value for this event (an object); `None` is JavaScript's undefined: the field is absent.
    pub fn resolve<'e>(&'e self, event: &'e Value<'e>) -> Result<Option<Cow<'e, Value<'e>>>, ResolveError> {
        let budget = Budget::new();
        match self.node.resolve(Scope { root: View::Value(event), budget: &budget })? {
            Resolved::Undefined => Ok(None),
            Resolved::Borrowed(value) => Ok(Some(Cow::Borrowed(value))),
            Resolved::Owned(value) => Ok(Some(Cow::Owned(value))),
            sparse => Ok(Some(Cow::Owned(sparse.into_value(&budget)?))),
        }
    }
}

/// Returns the keys that `@path` follows for this text, from the event down.
pub fn path_names(text: &str) -> Vec<String> {
    Path::rooted(text).names()
}

/// Returns the keys that each placeholder of a `@template` follows.
pub fn template_names(text: &str) -> Vec<Vec<String>> {
    Template::parse(text).paths().map(Path::names).collect()
}

/// Returns what Segment's `transform(mapping, event)` returns, for a mapping of [`Directive::compile_mapping`]. A mapping
/// that is undefined as a whole (because its root directive gives nothing) is null.
pub fn transform<'e>(mapping: &'e Directive, event: &'e Value<'e>) -> Result<Value<'e>, ResolveError> {
    if event.as_object().is_none() {
        return Err(ResolveError::new("", format!("an event is an object, but this is {}", event.kind())));
    }
    Ok(mapping.resolve(event)?.map_or(Value::Null, Cow::into_owned))
}

#[cfg(test)]
mod tests;
