//! `@template`: text with `{{path}}` and `{{{path}}}` in it, neither of them escaped.
//!
//! The engine replaces in two passes, triple braces first, so the second pass also sees what the first inserted.
//! Templates without triple braces (nearly all) are split once, at compile time.

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::path::Path;
use super::resolved::Resolved;
use crate::javascript;
use crate::json::Value;

/// The longest template that is read, in bytes.
const MAX_LENGTH: usize = 32 * 1024;

const DOUBLE: usize = 2;
const TRIPLE: usize = 3;

#[derive(Debug)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Whether a second pass over the result of the first is still needed.
    again: bool,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Path(Path),
}

impl Template {
    pub(super) fn parse(text: &str) -> Self {
        let pieces = split(text, TRIPLE);
        if pieces.iter().any(|piece| matches!(piece, Piece::Path(_))) {
            return Self { pieces, again: true };
        }
        Self { pieces: split(text, DOUBLE), again: false }
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.pieces.iter().filter_map(|piece| if let Piece::Path(path) = piece { Some(path) } else { None })
    }

    pub(super) fn render<'s, 'e>(&self, scope: Scope<'s, 'e, '_>) -> Result<Resolved<'s, 'e>, ResolveError> {
        let scope = Scope { root: scope.root.or_empty(), ..scope };
        if let ([Piece::Path(path)], false) = (self.pieces.as_slice(), self.again) {
            let value = path.get(scope.root);
            if value.view().as_str().is_some() {
                return Ok(value);
            }
        }
        let text = write(&self.pieces, scope)?;
        Ok(Resolved::text(if self.again { write(&split(&text, DOUBLE), scope)? } else { text }))
    }
}

fn write(pieces: &[Piece], scope: Scope<'_, '_, '_>) -> Result<String, ResolveError> {
    let mut out = String::new();
    for piece in pieces {
        let before = out.len();
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Path(path) => path.get(scope.root).view().write_text(&mut out),
        }
        scope.budget.text(out.len() - before)?;
    }
    Ok(out)
}

/// Splits at the placeholders of this many braces. Takes linear time: the first `}` after an opening decides for
/// every opening before it.
fn split(text: &str, braces: usize) -> Vec<Piece> {
    let (open, close) = ("{".repeat(braces), "}".repeat(braces));
    let mut pieces = Vec::new();
    let (mut done, mut from) = (0, 0);
    while let Some(start) = find(text, from, &open)
        && let Some(end) = find(text, start + braces, "}")
    {
        let name = text.get(start + braces..end).unwrap_or_default();
        if name.is_empty() || !text.get(end..).unwrap_or_default().starts_with(&close) {
            from = end + 1;
            continue;
        }
        pieces.push(Piece::Text(text.get(done..start).unwrap_or_default().to_owned()));
        pieces.push(Piece::Path(Path::plain(javascript::trim(name))));
        done = end + braces;
        from = done;
    }
    pieces.push(Piece::Text(text.get(done..).unwrap_or_default().to_owned()));
    pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
    pieces
}

fn find(text: &str, from: usize, what: &str) -> Option<usize> {
    text.get(from..)?.find(what).map(|at| from + at)
}

/// Compiles the operand of `@template`: a text, or a directive that gives one.
pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
    match operand {
        Value::String(text) if text.len() > MAX_LENGTH => compiler.failure(place, too_long()),
        Value::String(text) => {
            let template = Template::parse(text);
            match (template.pieces.as_slice(), template.again) {
                ([] | [Piece::Text(_)], false) => Node::Literal(Value::from(text.clone().into_owned())),
                _ => Node::Template(template),
            }
        }
        other => Node::TemplateFrom(Box::new(compiler.node(other, place)), place.to_string()),
    }
}

/// Resolves a template whose text comes from the event.
pub(super) fn resolve_from<'s, 'e>(
    operand: &'e Node,
    place: &str,
    scope: Scope<'s, 'e, '_>,
) -> Result<Resolved<'s, 'e>, ResolveError> {
    let template = operand.resolve(scope)?;
    match template.view().as_str() {
        Some(text) if text.len() > MAX_LENGTH => Err(ResolveError::new(place, too_long())),
        Some(text) => Template::parse(text).render(scope),
        None => {
            let kind = template.view().kind();
            Err(ResolveError::new(place, format!("the template must be a string, but it is {kind}")))
        }
    }
}

fn too_long() -> String {
    format!("a template has {MAX_LENGTH} bytes at most")
}
