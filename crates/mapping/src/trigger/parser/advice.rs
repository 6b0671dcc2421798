//! The error for a token that does not fit: what the parser expected there, and what the author probably meant.

use super::Parser;
use super::condition::FUNCTIONS;
use crate::nearest::nearest;
use crate::trigger::field::Field;
use crate::trigger::lexer::Fault;

/// Functions of Segment's destination filters, a larger language that is also called FQL.
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

impl Parser<'_> {
    pub(super) fn expected(&self, what: &str) -> Fault {
        let advice = match self.source() {
            "" => return self.fault(format!("the trigger ends too early: {what} is missing")),
            word if word.eq_ignore_ascii_case("and") && word != "and" => " (`and` is written in lower case)",
            word if word.eq_ignore_ascii_case("or") && word != "or" => " (`or` is written in lower case)",
            "not" | "NOT" => " (negation is written `!`, before contains(), match() or a parenthesis)",
            _ => "",
        };
        self.fault(format!("expected {what}, found `{}`{advice}", self.source()))
    }

    pub(super) fn no_operator(&self, field: &Field) -> Fault {
        match self.source() {
            "in" => self.fault("triggers have no `in`: write several conditions joined by `or`"),
            _ if field.path == ["not"] => {
                self.fault("negation is written `!`, before contains(), match() or a parenthesis")
            }
            _ => self.expected("one of = != < <= > >= after the field"),
        }
    }

    pub(super) fn unknown_function(&self, name: &str) -> Fault {
        if FILTER_FUNCTIONS.contains(&name) {
            return self.fault(format!(
                "{name}() belongs to Segment's destination filters; triggers have only contains() and match()"
            ));
        }
        let meant = nearest(name, FUNCTIONS.into_iter())
            .map_or_else(String::new, |meant| format!("; did you mean {meant}()?"));
        self.fault(format!("`{name}` is not a function; triggers have contains() and match(){meant}"))
    }
}
