//! `@path`: where in the event a value is; also the paths inside templates and `@arrayPath`.
//!
//! Split once, when the mapping is compiled; a lookup then allocates nothing. The splitting rules are those of
//! Segment's `get`: dots, brackets around quotes or digits, quotes removed (docs/segment.md#directives).

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::{Resolved, View};
use crate::javascript;
use crate::json::Value;

/// A path, split.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path(Vec<Key>);

#[derive(Debug, Clone, PartialEq)]
struct Key {
    name: Box<str>,
    /// The name as an array index, if it is one.
    index: Option<usize>,
}

impl Path {
    /// Reads a path as `@path` has it: the first `$.` is removed, wherever it is.
    pub(super) fn rooted(text: &str) -> Self {
        Self::plain(&text.replacen("$.", "", 1))
    }

    /// Reads a path as templates have it: every part is a key.
    pub(super) fn plain(text: &str) -> Self {
        let keys = parts(text).into_iter().filter(|part| !part.is_empty()).map(|part| {
            let name: Box<str> = part.replace(['\'', '"'], "").into();
            Key { index: javascript::array_index(&name), name }
        });
        Self(keys.collect())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|key| key.name.to_string()).collect()
    }

    /// Follows the path from the root. A falsy value on the way ends the search and is the result.
    pub(super) fn get<'s, 'e>(&self, root: View<'s, 'e>) -> Resolved<'s, 'e> {
        let mut at = root;
        for (walked, key) in self.0.iter().enumerate() {
            if !at.is_truthy() {
                break;
            }
            match key.step(at) {
                Ok(next) => at = next,
                Err(leaf) => {
                    let rest = self.0.get(walked + 1..).unwrap_or_default();
                    let leaf = rest.iter().try_fold(leaf, |leaf, key| key.step_into_leaf(leaf));
                    return leaf.map_or(Resolved::Undefined, Resolved::Owned);
                }
            }
        }
        at.resolved()
    }
}

/// The text between separators: `.`, a `[` before a quote or digit, brackets closing after one.
fn parts(text: &str) -> Vec<&str> {
    let marks = |character: char| matches!(character, '"' | '\'' | '0'..='9');
    let (mut parts, mut start, mut closing, mut before) = (Vec::new(), 0, false, None);
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        closing = character == ']' && (closing || before.is_some_and(marks));
        before = Some(character);
        if closing || character == '.' || (character == '[' && next.is_some_and(marks)) {
            parts.push(text.get(start..at).unwrap_or_default());
            start = at + 1;
        }
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

impl Key {
    /// Makes one step. `Err` is a length or a character, which the event does not contain as a value of its own.
    fn step<'s, 'e>(&self, at: View<'s, 'e>) -> Result<View<'s, 'e>, Value<'static>> {
        let length = |length: usize| Err(Value::Number(length.into()));
        let found = match at {
            View::Value(Value::Object(_)) | View::Sparse(Resolved::Object(_)) => {
                return Ok(at.member(&self.name));
            }
            View::Value(Value::Array(items)) if &*self.name == "length" => return length(items.len()),
            View::Value(Value::Array(items)) => {
                self.index.and_then(|index| items.get(index)).map(View::Value)
            }
            View::Value(Value::String(text)) => {
                return javascript::character(text, &self.name).map_or(Ok(View::Undefined), Err);
            }
            View::Sparse(Resolved::Array(items)) if &*self.name == "length" => return length(items.len()),
            View::Sparse(Resolved::Array(items)) => {
                self.index.and_then(|index| items.get(index)).map(Resolved::view)
            }
            _ => None,
        };
        Ok(found.unwrap_or(View::Undefined))
    }

    /// One step from a length or a character.
    fn step_into_leaf(&self, leaf: Value<'static>) -> Option<Value<'static>> {
        match leaf {
            leaf if !javascript::is_truthy(&leaf) => Some(leaf),
            Value::String(text) => javascript::character(&text, &self.name),
            _ => None,
        }
    }
}

/// Compiles the operand of `@path`: a text, or a directive that gives one.
pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
    match operand {
        Value::String(text) => Node::Path(Path::rooted(text)),
        other => Node::PathFrom(Box::new(compiler.node(other, place)), place.to_string()),
    }
}

/// Resolves a path whose text comes from the event.
pub(super) fn resolve_from<'s, 'e>(
    operand: &'e Node,
    place: &str,
    scope: Scope<'s, 'e, '_>,
) -> Result<Resolved<'s, 'e>, ResolveError> {
    let path = operand.resolve(scope)?;
    match path.view().as_str() {
        Some(text) => Ok(Path::rooted(text).get(scope.root)),
        None => Err(ResolveError::new(
            place,
            format!("the path must be a string, but it is {}", path.view().kind()),
        )),
    }
}
