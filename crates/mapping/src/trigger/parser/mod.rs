//! Turns tokens into a predicate: the entry point, and the position in the tokens that all parts of the parser share.
//!
//! Records each place that Segment's own parser reads differently. Recurses no deeper than [`line::MAX_DEPTH`].

mod advice;
mod condition;
mod line;

use super::difference::Difference;
use super::lexer::{Fault, Kind, Lexer, Token};
use super::predicate::Predicate;

pub(super) type ParsedTrigger = (Predicate, Vec<(usize, Difference)>);

pub(super) fn parse(text: &str) -> Result<ParsedTrigger, Fault> {
    if text.len() > super::MAX_LENGTH {
        let limit = super::MAX_LENGTH;
        return Err(Fault::new(
            0,
            format!("a trigger has at most {limit} bytes: split it into two mappings"),
        ));
    }
    let mut differences = Vec::new();
    let tokens = Lexer::new(text, &mut differences).tokens()?;
    let mut parser = Parser { tokens, next: 0, depth: 0, differences };
    if parser.peek() == &Kind::End {
        return Err(Fault::new(0, "the trigger is empty: write for example type = \"track\""));
    }
    let (predicate, _) = parser.line()?;
    match parser.peek() {
        Kind::End => Ok((predicate, parser.differences)),
        Kind::Close => Err(parser.fault("this `)` closes nothing: remove it")),
        _ => Err(parser.expected("`and` or `or`")),
    }
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
    depth: usize,
    differences: Vec<(usize, Difference)>,
}

impl<'t> Parser<'t> {
    fn expect(&mut self, kind: &Kind<'_>, name: &str) -> Result<(), Fault> {
        if self.peek() != kind {
            return Err(self.expected(name));
        }
        self.next += 1;
        Ok(())
    }

    fn peek(&self) -> &Kind<'t> {
        self.tokens.get(self.next).map_or(&Kind::End, |token| &token.kind)
    }

    fn peek_after(&self) -> &Kind<'t> {
        self.tokens.get(self.next + 1).map_or(&Kind::End, |token| &token.kind)
    }

    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(0, |token| token.at)
    }

    fn source(&self) -> &'t str {
        self.tokens.get(self.next).map_or("", |token| token.source)
    }

    fn note(&mut self, difference: Difference) {
        self.differences.push((self.at(), difference));
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.at(), message)
    }
}
