//! Every way in which Segment's own parser reads a trigger differently from the relay (docs/segment.md#triggers), as a
//! sentence with advice for `check`. The lexer and the parser find the differences. None of them is an error.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Difference {
    MixedConnectives,
    NestedParentheses,
    NegatedParenthesis,
    FunctionInParentheses,
    UnknownField { name: String, meant: Option<&'static str> },
    PathIntoValue(String),
    WholeObject(String),
    NullLabel(String),
    UnreadableName(String),
    DotInName,
    WideCharacterInName,
    SingleQuotes,
    LostNearEnd,
    Glob,
    Exponent,
    MissingSpace { symbol: &'static str, place: &'static str },
    SpaceAfterNegation,
    CarriageReturn,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MixedConnectives => formatter.write_str(
                "`and` binds tighter than `or` here; Segment applies the last of them to the whole line: put \
                 parentheses around one kind",
            ),
            Self::NestedParentheses => {
                formatter.write_str("Segment refuses a trigger with parentheses inside parentheses")
            }
            Self::NegatedParenthesis => formatter.write_str(
                "`!( … )` negates here; Segment ignores the `!`: negate each condition instead, with `!=` or \
                 `!contains( … )`",
            ),
            Self::FunctionInParentheses => formatter.write_str(
                "Segment ends the parenthesis after this function: put the function last in the parenthesis",
            ),
            Self::UnknownField { name, meant } => {
                write!(formatter, "Segment cannot test `{name}` and ignores the condition")?;
                meant.map_or(Ok(()), |meant| write!(formatter, "; did you mean `{meant}`?"))
            }
            Self::PathIntoValue(name) => write!(
                formatter,
                "Segment tests `{name}` itself and ignores the rest of the path: test a field of `properties`, \
                 `traits` or `context`"
            ),
            Self::WholeObject(name) => write!(
                formatter,
                "`{name}` is the whole object here; Segment looks for `{name}.{name}`: name a field in it"
            ),
            Self::NullLabel(name) => write!(
                formatter,
                "this tests whether `{name}` is present; Segment compares it with the text \"null\""
            ),
            Self::UnreadableName(name) => write!(
                formatter,
                "an unescaped name `{name}` never matches in Segment, and so it never matches here: write `\\{name}`"
            ),
            Self::DotInName => formatter.write_str(
                "`\\.` is part of the name here; Segment reads it as a step into an object: a trigger at \
                 Segment cannot name a field with a dot",
            ),
            Self::WideCharacterInName => {
                formatter.write_str("Segment refuses a trigger with this character in a name")
            }
            Self::SingleQuotes => {
                formatter.write_str("Segment reads single quotes as part of the text: write double quotes")
            }
            Self::LostNearEnd => formatter.write_str(
                "Segment loses a part of the trigger's end, because it begins like a keyword: put a space after it",
            ),
            Self::Glob => formatter.write_str(
                "this pattern is a glob here; Segment reads a last `*` as \"starts with the rest\", anything \
                 else as \"ends with all but the first character\": write \"text*\" or \"*text\"",
            ),
            Self::Exponent => {
                formatter.write_str("Segment reads numbers only up to their exponent: write all the digits")
            }
            Self::MissingSpace { symbol, place } => {
                write!(formatter, "Segment needs a space {place} `{symbol}` and misreads the trigger without it")
            }
            Self::SpaceAfterNegation => formatter
                .write_str("Segment refuses a trigger with something between `!` and a function's name"),
            Self::CarriageReturn => {
                formatter.write_str("Segment refuses a trigger with a carriage return: end lines with \\n")
            }
        }
    }
}
