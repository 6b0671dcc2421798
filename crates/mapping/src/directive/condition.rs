//! `@if`: a choice by whether a value exists, or by whether it is blank.
//!
//! JavaScript's truthiness of the *written* options decides before anything is resolved. A falsy `else` counts as
//! absent (docs/segment.md#directives).

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::Resolved;
use crate::javascript;
use crate::json::Value;

#[derive(Debug)]
pub(super) struct If {
    question: Question,
    then: Node,
    otherwise: Node,
}

#[derive(Debug)]
enum Question {
    /// True for a value that is neither missing nor null.
    Exists(Node),
    /// The key is `blank`, but `then` applies if the value is not blank: not missing, not null, not loosely equal to "".
    Blank(Node),
}

impl If {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        compiler.options(operand, place, |compiler, options| {
            let asks = |key| options.get(key).is_some_and(javascript::is_truthy);
            if !asks("exists") && !asks("blank") {
                return compiler.failure(
                    place,
                    "needs `exists` or `blank`: a directive, or a value other than \"\", 0, false and null",
                );
            }
            let question = if options.contains_key("exists") {
                Question::Exists(compiler.member(options, "exists", place))
            } else {
                Question::Blank(compiler.member(options, "blank", place))
            };
            let then = compiler.member(options, "then", place);
            let otherwise =
                if asks("else") { compiler.member(options, "else", place) } else { Node::Undefined };
            Node::If(Box::new(Self { question, then, otherwise }))
        })
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let holds = match &self.question {
            Question::Exists(operand) => operand.resolve(scope)?.view().exists(),
            Question::Blank(operand) => {
                let value = operand.resolve(scope)?;
                value.view().exists() && !value.view().is_loosely_empty()
            }
        };
        if holds { self.then.resolve(scope) } else { self.otherwise.resolve(scope) }
    }
}
