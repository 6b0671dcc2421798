//! One condition: `field operator value`, `contains( … )` or `match( … )`.

use super::Parser;
use crate::trigger::difference::Difference;
use crate::trigger::field::Field;
use crate::trigger::lexer::{Fault, Kind, RESERVED, Word};
use crate::trigger::meaning;
use crate::trigger::pattern::Pattern;
use crate::trigger::predicate::{Literal, Predicate, Test};

pub(super) const FUNCTIONS: [&str; 2] = ["contains", "match"];

impl Parser<'_> {
    /// `field operator value`
    pub(super) fn comparison(&mut self) -> Result<Predicate, Fault> {
        let at = self.at();
        let field = self.field()?;
        let Kind::Operator(operator) = *self.peek() else {
            return Err(self.no_operator(&field));
        };
        self.next += 1;
        let literal = self.literal()?;
        meaning::note(at, &field, operator, &literal, &mut self.differences);
        Ok(meaning::compile(field, operator, literal))
    }

    /// `contains(field, text)` and `match(field, pattern)`
    pub(super) fn function(&mut self, negated: bool) -> Result<Predicate, Fault> {
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
        meaning::note_function(at, &field, &mut self.differences);
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
            literal => meaning::text(literal),
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
                let field = meaning::field(word).ok_or_else(|| {
                    self.fault("this path names nothing: write for example properties.plan")
                })?;
                if let Some(name) = word.unreadable.clone().filter(|_| field.unreadable) {
                    self.note(Difference::UnreadableName(name));
                }
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
}
