//! Connectives and parentheses: `and` binds tighter than `or`, parentheses nest, and `!` negates a function or
//! a parenthesis. Segment's parser has no precedence, reads one level of parentheses, and closes it too early.

use super::Parser;
use crate::trigger::difference::Difference;
use crate::trigger::lexer::{Fault, Kind};
use crate::trigger::predicate::Predicate;

/// Deepest nesting of parentheses; the parser and everything that walks the tree recurse no deeper.
pub(super) const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Connective {
    And,
    Or,
}

/// A part of a line between connectives.
struct Operand {
    predicate: Predicate,
    /// The position of its function, if it is one.
    function: Option<usize>,
    /// If it is a parenthesis that Segment closes too early: where, and which connective joins the rest.
    cut: Option<(usize, Connective)>,
}

impl Parser<'_> {
    /// Reads conditions and parentheses joined by `and` and `or`, up to the end or a `)`. Also returns where Segment
    /// would close a parenthesis around them too early.
    pub(super) fn line(&mut self) -> Result<(Predicate, Option<(usize, Connective)>), Fault> {
        let mut operands = vec![self.operand()?];
        let mut connectives = Vec::new();
        loop {
            let connective = match self.peek() {
                Kind::And => Connective::And,
                Kind::Or => Connective::Or,
                _ => break,
            };
            if connectives.last().is_some_and(|last| *last != connective) {
                self.note(Difference::MixedConnectives);
            }
            connectives.push(connective);
            self.next += 1;
            operands.push(self.operand()?);
        }
        let cuts = operands.iter().filter_map(|operand| operand.cut);
        let misread = cuts.filter(|(_, within)| connectives.first().is_some_and(|around| around != within));
        self.differences.extend(misread.map(|(at, _)| (at, Difference::FunctionInParentheses)));
        let cut = operands
            .iter()
            .zip(&connectives)
            .find_map(|(operand, connective)| Some((operand.function?, *connective)));
        Ok((join(operands.into_iter().map(|operand| operand.predicate), &connectives), cut))
    }

    fn operand(&mut self) -> Result<Operand, Fault> {
        let at = self.at();
        let negated = self.peek() == &Kind::Not;
        self.next += usize::from(negated);
        match (self.peek(), self.peek_after()) {
            (Kind::Open, _) => self.parenthesis(at, negated),
            (Kind::Word(_), Kind::Open) => {
                let predicate = self.function(negated)?;
                Ok(Operand { predicate, function: Some(at), cut: None })
            }
            _ if negated => Err(self.fault(
                "`!` stands before contains(), match() or a parenthesis: write `!=`, or put the condition in ( )",
            )),
            _ => Ok(Operand { predicate: self.comparison()?, function: None, cut: None }),
        }
    }

    fn parenthesis(&mut self, at: usize, negated: bool) -> Result<Operand, Fault> {
        let open = self.at();
        self.next += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::new(open, format!("parentheses nest at most {MAX_DEPTH} deep: remove some")));
        }
        if self.depth > 1 {
            self.differences.push((open, Difference::NestedParentheses));
        }
        let (inner, cut) = self.line()?;
        match self.peek() {
            Kind::Close => self.next += 1,
            Kind::End => return Err(Fault::new(open, "this parenthesis is not closed: add a `)`")),
            _ => return Err(self.expected("`and`, `or` or `)`")),
        }
        self.depth -= 1;
        if !negated {
            return Ok(Operand { predicate: inner, function: None, cut });
        }
        self.differences.push((at, Difference::NegatedParenthesis));
        Ok(Operand { predicate: Predicate::Not(Box::new(inner)), function: None, cut })
    }
}

/// Joins by `and` first, then by `or`. There is one operand more than there are connectives.
fn join(operands: impl Iterator<Item = Predicate>, connectives: &[Connective]) -> Predicate {
    let mut any: Vec<Vec<Predicate>> = Vec::new();
    let before = std::iter::once(Connective::Or).chain(connectives.iter().copied());
    for (connective, operand) in before.zip(operands) {
        match any.last_mut() {
            Some(all) if connective == Connective::And => all.push(operand),
            _ => any.push(vec![operand]),
        }
    }
    one_or(any.into_iter().map(|all| one_or(all, Predicate::All)).collect(), Predicate::Any)
}

fn one_or(mut several: Vec<Predicate>, join: fn(Vec<Predicate>) -> Predicate) -> Predicate {
    match several.pop() {
        Some(last) if several.is_empty() => last,
        Some(last) => {
            several.push(last);
            join(several)
        }
        None => join(several),
    }
}
