//! Tokens into a predicate: connectives, parentheses and conditions.
//!
//! `and` binds tighter than `or`, parentheses nest up to [`MAX_DEPTH`], `!` stands before a function or a
//! parenthesis. Notes each place that Segment's own parser, which knows no precedence, reads otherwise.

use super::condition;
use super::difference::Difference;
use super::field::Field;
use super::lexer::{Fault, Kind, Lexer, RESERVED, Token, Word};
use super::pattern::Pattern;
use super::predicate::{Literal, Predicate, Test};
use crate::nearest::nearest;

/// Deepest nesting of parentheses; the parser and everything that walks the tree recurse no deeper.
const MAX_DEPTH: usize = 32;

pub(super) const FUNCTIONS: [&str; 2] = ["contains", "match"];

/// Documented for Segment's destination filters, a bigger language of the same name.
const FILTER_FUNCTIONS: [&str; 10] = [
    "length",
    "lowercase",
    "uppercase",
    "snakecase",
    "kebabcase",
    "titlecase",
    "typeof",
    "bool",
    "string",
    "number",
];

pub(super) type Parsed = (Predicate, Vec<(usize, Difference)>);

pub(super) fn parse(text: &str) -> Result<Parsed, Fault> {
    if text.len() > super::MAX_LENGTH {
        let limit = super::MAX_LENGTH;
        return Err(Fault::new(
            limit,
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
        Kind::Close => Err(parser.fault("this `)` closes nothing: take it away")),
        _ => Err(parser.expected("`and` or `or`")),
    }
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    next: usize,
    depth: usize,
    differences: Vec<(usize, Difference)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Connective {
    And,
    Or,
}

/// A part of a line between connectives.
struct Operand {
    predicate: Predicate,
    /// Where its function stands, if it is one.
    function: Option<usize>,
    /// If it is a parenthesis that Segment ends early: where, and what joins the rest.
    cut: Option<(usize, Connective)>,
}

impl<'t> Parser<'t> {
    /// Conditions and parentheses joined by `and` and `or`, up to the end or a `)`; with it, where Segment
    /// would end a parenthesis around them too early.
    fn line(&mut self) -> Result<(Predicate, Option<(usize, Connective)>), Fault> {
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
            return Err(Fault::new(
                open,
                format!("parentheses nest at most {MAX_DEPTH} deep: take some away"),
            ));
        }
        if self.depth > 1 {
            self.differences.push((open, Difference::NestedParentheses));
        }
        let (inner, cut) = self.line()?;
        match self.peek() {
            Kind::Close => self.next += 1,
            Kind::End => return Err(Fault::new(open, "this parenthesis is never closed: add a `)`")),
            _ => return Err(self.expected("`and`, `or` or `)`")),
        }
        self.depth -= 1;
        if !negated {
            return Ok(Operand { predicate: inner, function: None, cut });
        }
        self.differences.push((at, Difference::NegatedParenthesis));
        Ok(Operand { predicate: Predicate::Not(Box::new(inner)), function: None, cut })
    }

    /// `field operator value`
    fn comparison(&mut self) -> Result<Predicate, Fault> {
        let at = self.at();
        let field = self.field()?;
        let Kind::Operator(operator) = *self.peek() else {
            return Err(self.no_operator(&field));
        };
        self.next += 1;
        let literal = self.literal()?;
        condition::note(at, &field, operator, &literal, &mut self.differences);
        Ok(condition::compile(field, operator, literal))
    }

    /// `contains(field, text)` and `match(field, pattern)`
    fn function(&mut self, negated: bool) -> Result<Predicate, Fault> {
        let name = self.source();
        if !FUNCTIONS.contains(&name) {
            return Err(self.unknown_function(name));
        }
        self.next += 2;
        let at = self.at();
        if let Kind::Text(_) = self.peek() {
            return Err(self.fault(format!("the field comes first: write {name}(event, \"text\")")));
        }
        let field = self.field()?;
        condition::note_function(at, &field, &mut self.differences);
        self.expect(&Kind::Comma, "`,`")?;
        let test = if name == "contains" { self.contains(negated)? } else { self.pattern(negated)? };
        self.expect(&Kind::Close, "`)`")?;
        Ok(Predicate::Condition(field, test))
    }

    fn contains(&mut self, negated: bool) -> Result<Test, Fault> {
        let at = self.at();
        let text = match self.literal()? {
            Literal::Null => {
                return Err(Fault::new(at, "contains() looks for a text: write one in double quotes"));
            }
            literal => condition::text(literal),
        };
        Ok(if negated { Test::Lacks(text) } else { Test::Contains(text) })
    }

    fn pattern(&mut self, negated: bool) -> Result<Test, Fault> {
        let Kind::Text(source) = *self.peek() else {
            return Err(self.expected("a pattern in double quotes, such as \"Order*\""));
        };
        let pattern = Pattern::compile(source).map_err(|message| self.fault(message))?;
        if let Pattern::Glob { .. } = pattern {
            self.note(Difference::Glob);
        }
        self.next += 1;
        Ok(if negated { Test::Mismatch(pattern) } else { Test::Match(pattern) })
    }

    fn field(&mut self) -> Result<Field, Fault> {
        match self.peek() {
            Kind::Word(_) if RESERVED.contains(&self.source()) => {}
            Kind::Word(word) => {
                let field = condition::field(word).ok_or_else(|| {
                    self.fault("this path names nothing: write for example properties.plan")
                })?;
                self.next += 1;
                return Ok(field);
            }
            _ => {}
        }
        Err(self.expected("a field such as type, event or properties.plan"))
    }

    /// A value; a bare word is a text.
    fn literal(&mut self) -> Result<Literal, Fault> {
        let literal = match self.peek() {
            Kind::Text(text) => Literal::Text((*text).to_owned()),
            Kind::Number(number) => Literal::Number(*number),
            Kind::Word(word) => self.bare(word)?,
            _ => return Err(self.expected("a value: a text in double quotes, a number, true, false or null")),
        };
        self.next += 1;
        Ok(literal)
    }

    fn bare(&self, word: &Word) -> Result<Literal, Fault> {
        let [name] = word.names.as_slice() else {
            return Err(
                self.fault("a field is compared with a value, not with a field: put text in double quotes")
            );
        };
        Ok(match name.as_str() {
            "true" => Literal::Bool(true),
            "false" => Literal::Bool(false),
            "null" => Literal::Null,
            name => Literal::Text(name.to_owned()),
        })
    }

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

    fn expected(&self, what: &str) -> Fault {
        let advice = match self.source() {
            "" => return self.fault(format!("the trigger ends too early: {what} is missing")),
            word if word.eq_ignore_ascii_case("and") && word != "and" => " (`and` is written in lower case)",
            word if word.eq_ignore_ascii_case("or") && word != "or" => " (`or` is written in lower case)",
            "not" | "NOT" => " (negation is written `!`, before contains(), match() or a parenthesis)",
            _ => "",
        };
        self.fault(format!("expected {what}, found `{}`{advice}", self.source()))
    }

    fn no_operator(&self, field: &Field) -> Fault {
        match self.source() {
            "in" => self.fault("triggers know no `in`: write several conditions joined by `or`"),
            _ if field.path == ["not"] => {
                self.fault("negation is written `!`, before contains(), match() or a parenthesis")
            }
            _ => self.expected("one of = != < <= > >= after the field"),
        }
    }

    fn unknown_function(&self, name: &str) -> Fault {
        if FILTER_FUNCTIONS.contains(&name) {
            return self.fault(format!(
                "{name}() belongs to Segment's destination filters; triggers know contains() and match() alone"
            ));
        }
        let meant = nearest(name, FUNCTIONS.into_iter())
            .map_or_else(String::new, |meant| format!("; did you mean {meant}()?"));
        self.fault(format!("`{name}` is no function; triggers know contains() and match(){meant}"))
    }
}

/// `and` first, then `or`: the operands are one more than the connectives between them.
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
