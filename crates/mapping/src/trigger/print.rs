//! Writes a predicate as a trigger's text, in the form of Segment's editor where the editor has one.

use crate::javascript;
use std::fmt::{self, Write as _};

use super::field::Field;
use super::lexer::RESERVED;
use super::predicate::{Literal, Predicate, Test};

impl fmt::Display for Predicate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(all) => joined(formatter, all, " and "),
            Self::Any(any) => joined(formatter, any, " or "),
            Self::Not(one) => write!(formatter, "!({one})"),
            Self::Condition(field, test) => condition(formatter, field, test),
        }
    }
}

fn joined(formatter: &mut fmt::Formatter<'_>, several: &[Predicate], connective: &str) -> fmt::Result {
    for (index, one) in several.iter().enumerate() {
        if index > 0 {
            formatter.write_str(connective)?;
        }
        match one {
            Predicate::All(_) | Predicate::Any(_) => write!(formatter, "({one})")?,
            Predicate::Not(_) | Predicate::Condition(..) => write!(formatter, "{one}")?,
        }
    }
    Ok(())
}

fn condition(formatter: &mut fmt::Formatter<'_>, field: &Field, test: &Test) -> fmt::Result {
    match test {
        Test::Compare(operator, literal) => write!(formatter, "{field} {} {literal}", operator.symbol()),
        Test::Contains(part) => write!(formatter, "contains({field}, {})", Quoted(part)),
        Test::Lacks(part) => write!(formatter, "!contains({field}, {})", Quoted(part)),
        Test::Match(pattern) => write!(formatter, "match({field}, {})", Quoted(&pattern.source())),
        Test::Mismatch(pattern) => write!(formatter, "!match({field}, {})", Quoted(&pattern.source())),
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(formatter, "{}", Quoted(text)),
            Self::Number(number) if number.is_finite() => {
                formatter.write_str(&javascript::number_to_text(*number))
            }
            Self::Number(number) => write!(formatter, "\"{}\"", javascript::number_to_text(*number)),
            Self::Bool(bool) => write!(formatter, "{bool}"),
            Self::Null => formatter.write_str("null"),
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.path.iter().enumerate() {
            if index > 0 {
                formatter.write_char('.')?;
            }
            let misread = name.starts_with(|first: char| first.is_ascii_digit() || first == '-');
            if (misread || RESERVED.contains(&name.as_str())) && !(self.unreadable && index > 0) {
                formatter.write_char('\\')?;
                formatter.write_str(name.get(..1).unwrap_or_default())?;
                escaped(formatter, name.get(1..).unwrap_or_default())?;
            } else {
                escaped(formatter, name)?;
            }
        }
        Ok(())
    }
}

fn escaped(formatter: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|char| {
        if !(char.is_ascii_alphanumeric() || matches!(char, '_' | '-')) {
            formatter.write_char('\\')?;
        }
        formatter.write_char(char)
    })
}

/// Puts a text in the quotes that it does not contain. A text that contains both becomes a bare word.
struct Quoted<'t>(&'t str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            text if !text.contains('"') => write!(formatter, "\"{text}\""),
            text if !text.contains('\'') => write!(formatter, "'{text}'"),
            text => text.chars().try_for_each(|char| write!(formatter, "\\{char}")),
        }
    }
}
