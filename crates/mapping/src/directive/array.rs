//! `@arrayPath`: gives each item of a list a new shape. The item is the root of the shape.

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::path::Path;
use super::resolved::{Resolved, View};
use crate::json::Value;

#[derive(Debug)]
pub(super) struct ArrayPath {
    list: Node,
    /// `None` returns the list unchanged.
    shape: Option<Node>,
}

impl ArrayPath {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        let Value::Array(operands) = operand else {
            return compiler
                .failure(place, format!("takes an array [path, shape], but it is {}", operand.kind()));
        };
        let list = match operands.first() {
            None => Node::Undefined,
            Some(Value::String(path)) => Node::Path(Path::rooted(path)),
            Some(other) => compiler.node(other, &place.key("0")),
        };
        let shape =
            operands.get(1).filter(|shape| shape.as_object().is_some_and(|object| !object.is_empty()));
        let shape = shape.map(|shape| compiler.node(shape, &place.key("1")));
        Node::ArrayPath(Box::new(Self { list, shape }))
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let list = self.list.resolve(scope)?;
        let Some(shape) = &self.shape else { return Ok(list) };
        let view = list.view();
        let items: Vec<View<'_, 'e>> = match view.items() {
            Some(items) => items.collect(),
            None if view.is_object() => vec![view],
            None => return Ok(list),
        };
        let shaped = items.into_iter().map(|root| {
            scope.budget.values(1)?;
            shape.resolve(Scope { root, ..scope })?.detach(scope.budget)
        });
        let shaped: Result<Vec<_>, _> = shaped.collect();
        Resolved::array(shaped?, scope.budget)
    }
}
