//! `@flatten`: a nested value as one object, its names joined by a separator.
//!
//! Empty branches disappear. Of two equal names the later wins. The cost is linear in the result, and the budget
//! limits the result.

use std::borrow::Cow;

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::{Resolved, View};
use crate::javascript;
use crate::json::{Members, Value};

#[derive(Debug)]
pub(super) struct Flatten {
    separator: Node,
    value: Node,
    keep_arrays: bool,
    place: String,
}

impl Flatten {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        compiler.options(operand, place, |compiler, options| {
            if !options.get("separator").is_some_and(javascript::is_truthy) {
                return compiler.failure(place, "needs a `separator`, such as \".\"");
            }
            Node::Flatten(Box::new(Self {
                separator: compiler.member(options, "separator", place),
                value: compiler.member(options, "value", place),
                keep_arrays: options.get("omitArrays").is_some_and(javascript::is_truthy),
                place: place.to_string(),
            }))
        })
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let separator = self.separator.resolve(scope)?;
        let Some(separator) = separator.view().as_str() else {
            return Err(ResolveError::new(&self.place, "the separator must be a string"));
        };
        let value = self.value.resolve(scope)?;
        let mut members = Members::default();
        self.collect(value.view(), String::new(), separator, scope, &mut members)?;
        let members = members.members.into_iter();
        let members: Result<Vec<_>, ResolveError> =
            members.map(|(key, view)| Ok((key, view.resolved().detach(scope.budget)?))).collect();
        Resolved::object(members?, scope.budget)
    }

    fn collect<'v, 'e>(
        &self,
        value: View<'v, 'e>,
        prefix: String,
        separator: &str,
        scope: Scope<'_, '_, '_>,
        members: &mut Members<'e, View<'v, 'e>>,
    ) -> Result<(), ResolveError> {
        scope.budget.text(prefix.len())?;
        let name = |key: &str| {
            if prefix.is_empty() { key.to_owned() } else { format!("{prefix}{separator}{key}") }
        };
        if let Some(inner) = value.members() {
            scope.budget.values(inner.len())?;
            return inner
                .into_iter()
                .try_for_each(|(key, value)| self.collect(value, name(&key), separator, scope, members));
        }
        match value.items() {
            Some(items) if !self.keep_arrays => items.enumerate().try_for_each(|(index, item)| {
                scope.budget.values(1)?;
                self.collect(item, name(&index.to_string()), separator, scope, members)
            }),
            _ => {
                members.insert(Cow::Owned(prefix), value);
                Ok(())
            }
        }
    }
}
