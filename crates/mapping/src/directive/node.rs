//! A compiled mapping value and how each kind of it resolves: the table of the directives at run time.
//!
//! Each family of directives has a file with what it does. This file only dispatches. Never parses anything.

use std::borrow::Cow;

use super::array::ArrayPath;
use super::condition::If;
use super::flatten::Flatten;
use super::json::Json;
use super::liquid::Liquid;
use super::merge::Merge;
use super::path::{self, Path};
use super::resolved::{Budget, Resolved, View};
use super::template::{self, Template};
use super::text::{Case, Replace};
use super::transform::Transform;
use super::{ResolveError, nulls};
use crate::json::Value;

/// A mapping value, compiled.
#[derive(Debug)]
pub(super) enum Node {
    /// No directive inside.
    Literal(Value<'static>),
    /// A directive that can give nothing, such as `@if` without `then`.
    Undefined,
    /// A mapping that passes Segment's check, but fails whenever an event reaches it.
    Failure(ResolveError),
    Array(Vec<Node>),
    Object(Vec<(String, Node)>),
    Path(Path),
    /// `@path` whose text comes from a directive, with its position for messages.
    PathFrom(Box<Node>, String),
    Template(Template),
    TemplateFrom(Box<Node>, String),
    If(Box<If>),
    Case(Box<Case>),
    Replace(Box<Replace>),
    ArrayPath(Box<ArrayPath>),
    Flatten(Box<Flatten>),
    Json(Box<Json>),
    Merge(Box<Merge>),
    Transform(Box<Transform>),
    ExcludeWhenNull(Box<Node>),
    Liquid(Box<Liquid>),
}

/// The value that directives are resolved against: the event, or the root of a `@transform` or `@arrayPath`.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 'e, 'b> {
    pub(super) root: View<'s, 'e>,
    pub(super) budget: &'b Budget,
}

impl Node {
    /// Returns the JSON of a literal.
    pub(super) fn literal(&self) -> Option<&Value<'static>> {
        if let Node::Literal(value) = self { Some(value) } else { None }
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        match self {
            Node::Literal(value) => Ok(Resolved::Borrowed(value)),
            Node::Undefined => Ok(Resolved::Undefined),
            Node::Failure(error) => Err(error.clone()),
            Node::Array(items) => {
                let items: Result<_, _> = items.iter().map(|item| item.resolve(scope)).collect();
                Resolved::array(items?, scope.budget)
            }
            Node::Object(members) => {
                let members: Result<_, ResolveError> = members
                    .iter()
                    .map(|(key, member)| Ok((Cow::Borrowed(key.as_str()), member.resolve(scope)?)))
                    .collect();
                Resolved::object(members?, scope.budget)
            }
            Node::Path(path) => Ok(path.get(scope.root)),
            Node::PathFrom(operand, place) => path::resolve_from(operand, place, scope),
            Node::Template(template) => template.render(scope),
            Node::TemplateFrom(operand, place) => template::resolve_from(operand, place, scope),
            Node::If(condition) => condition.resolve(scope),
            Node::Case(case) => case.resolve(scope),
            Node::Replace(replace) => replace.resolve(scope),
            Node::ArrayPath(array) => array.resolve(scope),
            Node::Flatten(flatten) => flatten.resolve(scope),
            Node::Json(json) => json.resolve(scope),
            Node::Merge(merge) => merge.resolve(scope),
            Node::Transform(transform) => transform.resolve(scope),
            Node::ExcludeWhenNull(operand) => nulls::exclude(operand.resolve(scope)?, scope.budget),
            Node::Liquid(liquid) => liquid.render(scope),
        }
    }
}
