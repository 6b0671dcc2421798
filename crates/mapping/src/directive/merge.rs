//! `@merge`: several objects as one, shallowly; `right`: a later member wins, `left`: an earlier one.
//!
//! Works as JavaScript's `Object.assign`: an undefined member overwrites too, arrays and texts give their indexes
//! as keys, and everything else that is not an object is skipped.

use std::borrow::Cow;

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::{Resolved, View};
use crate::javascript;
use crate::json::{Members, Value};

#[derive(Debug)]
pub(super) struct Merge {
    direction: Node,
    objects: Vec<Node>,
}

impl Merge {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        compiler.options(operand, place, |compiler, options| {
            if !options.get("direction").is_some_and(javascript::is_truthy) {
                return compiler.failure(place, "needs a `direction`: \"left\" or \"right\"");
            }
            let Some(objects) = options.get("objects").and_then(Value::as_array) else {
                return compiler.failure(place, "needs `objects`: an array");
            };
            let direction = compiler.member(options, "direction", place);
            let place = place.key("objects");
            let objects = objects.iter().enumerate();
            let objects = objects
                .map(|(index, object)| compiler.node(object, &place.key(&index.to_string())))
                .collect();
            Node::Merge(Box::new(Self { direction, objects }))
        })
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let leftward = self.direction.resolve(scope)?.view().as_str() == Some("left");
        let objects: Result<Vec<_>, _> = self.objects.iter().map(|object| object.resolve(scope)).collect();
        let mut objects = objects?;
        if leftward {
            objects.reverse();
        }
        let mut members = Members::default();
        for object in &objects {
            assign(object.view(), scope, &mut members)?;
        }
        let members: Result<Vec<_>, ResolveError> = members
            .members
            .into_iter()
            .map(|(key, member)| Ok((key, member.detach(scope.budget)?)))
            .collect();
        Resolved::object(members?, scope.budget)
    }
}

fn assign<'v, 'e>(
    from: View<'v, 'e>,
    scope: Scope<'_, '_, '_>,
    members: &mut Members<'e, Resolved<'v, 'e>>,
) -> Result<(), ResolveError> {
    if let Some(inner) = from.members() {
        scope.budget.values(inner.len())?;
        for (key, view) in inner {
            members.insert(key, view.resolved());
        }
    } else if let Some(items) = from.items() {
        for (index, item) in items.enumerate() {
            scope.budget.values(1)?;
            members.insert(Cow::Owned(index.to_string()), item.resolved());
        }
    } else if let Some(text) = from.as_str() {
        for (index, unit) in text.encode_utf16().enumerate() {
            scope.budget.values(1)?;
            members.insert(Cow::Owned(index.to_string()), Resolved::Owned(javascript::unit(unit)));
        }
    }
    Ok(())
}
