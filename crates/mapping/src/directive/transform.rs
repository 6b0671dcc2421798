//! `@transform`: `apply` builds a new root from the event, `mapping` is resolved against that alone.
//! Also the root directive, by which a whole mapping becomes the `mapping` of one directive.
//!
//! A transform cannot be cyclic, only deep, and the compiler limits the depth.

use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::Resolved;
use super::{CompileError, ResolveError, check};
use crate::javascript;
use crate::json::{Object, Value};

/// The key of a mapping that holds its root directive.
const ROOT_DIRECTIVE: &str = "__segment_internal_directive";

#[derive(Debug)]
pub(super) struct Transform {
    apply: Node,
    mapping: Node,
    place: String,
}

impl Transform {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        compiler.options(operand, place, |compiler, options| {
            if !options.get("mapping").is_some_and(javascript::is_truthy) {
                return compiler.failure(place, "needs a `mapping`");
            }
            let Some(apply) = options.get("apply").and_then(Value::as_object) else {
                return compiler.failure(place, "needs `apply`: an object");
            };
            let apply_place = place.key("apply");
            // The engine treats `apply` as a mapping of its own, root directive and check included.
            let apply = match with_root_directive(apply, &apply_place)
                .and_then(|apply| check::check(&apply, &apply_place).map(|()| apply))
            {
                Ok(apply) => compiler.node(&apply, &apply_place),
                Err(error) => return compiler.failure(&apply_place, error.message),
            };
            let mapping = compiler.member(options, "mapping", place);
            Node::Transform(Box::new(Self { apply, mapping, place: place.to_string() }))
        })
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let root = scope.root.or_empty();
        if !root.is_object() {
            let message = format!("applies to an object, but here it meets {}", root.kind());
            return Err(ResolveError::new(&self.place, message));
        }
        let root = self.apply.resolve(Scope { root, ..scope })?.without_undefined_members(scope.budget)?;
        self.mapping.resolve(Scope { root: root.view(), ..scope })?.detach(scope.budget)
    }
}

/// Returns the mapping that the engine runs: this one, or its root directive with the other members as `mapping`.
pub(super) fn with_root_directive<'a>(
    mapping: &Object<'a>,
    place: &Place<'_>,
) -> Result<Value<'a>, CompileError> {
    let Some(root) = mapping.get(ROOT_DIRECTIVE) else {
        return Ok(Value::Object(mapping.clone()));
    };
    let place = place.key(ROOT_DIRECTIVE);
    let error = |message: &str| CompileError { path: place.to_string(), message: message.to_owned() };
    let Some([(name, operand)]) = root.as_object().map(Object::members) else {
        return Err(error("must be an object with one directive"));
    };
    let operand = match operand {
        Value::Object(options) => {
            let mut options = options.clone();
            let others = mapping.members().iter().filter(|(key, _)| key != ROOT_DIRECTIVE).cloned();
            options.insert("mapping", Value::Object(others.collect()));
            Value::Object(options)
        }
        Value::Array(_) => operand.clone(),
        _ => return Err(error("the root directive takes an object")),
    };
    Ok(Value::Object(Object::from_distinct(vec![(name.clone(), operand)])))
}
