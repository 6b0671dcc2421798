//! `@liquid`: a text with LiquidJS templates in it, within Segment's limits and without the tags and filters that
//! Segment disables.
//!
//! The relay has its own interpreter for two reasons. It gives what LiquidJS gives (missing variables, printing of
//! values, unknown filters), and it cannot stall: the tags that loop are those that Segment disables, so a template of
//! 1,000 characters runs at most 1,000 steps, and whatever a step builds is charged to the budget.

mod data;
mod expression;
mod filters;
mod parse;
mod render;
mod token;

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::Resolved;
use crate::javascript;
use crate::json::Value;

/// The longest template, in UTF-16 code units.
const MAX_LENGTH: usize = 1000;

#[derive(Debug)]
pub(super) struct Liquid {
    pieces: Vec<parse::Piece>,
    place: String,
}

impl Liquid {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        let Some(template) = operand.as_str() else {
            return compiler
                .failure(place, format!("a liquid template is a string, but this is {}", operand.kind()));
        };
        if javascript::text_length(template) > MAX_LENGTH {
            return compiler.failure(place, format!("a liquid template has {MAX_LENGTH} characters at most"));
        }
        match parse::parse(template) {
            Ok(pieces) => Node::Liquid(Box::new(Self { pieces, place: place.to_string() })),
            Err(message) => {
                compiler.failure(place, format!("this liquid template cannot be read: {message}"))
            }
        }
    }

    pub(super) fn render<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let text = render::render(&self.pieces, scope.root, scope.budget).map_err(|mut error| {
            if error.path.is_empty() {
                error.path.clone_from(&self.place);
            }
            error
        })?;
        Ok(Resolved::text(text))
    }
}
