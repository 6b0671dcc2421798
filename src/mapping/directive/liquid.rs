//! `@liquid`.

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::Resolved;
use crate::json::Value;

#[derive(Debug)]
pub(super) struct Liquid {}

impl Liquid {
    pub(super) fn compile(_operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        compiler.failure(place, "not yet")
    }

    pub(super) fn render<'s, 'e>(
        &'e self,
        _scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        Ok(Resolved::Undefined)
    }
}
