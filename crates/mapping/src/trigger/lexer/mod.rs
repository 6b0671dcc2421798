//! Cuts a trigger's text into tokens, each with its position.
//!
//! Reads what Segment's lexer reads, and is more tolerant of spacing. Records each place where that makes a difference.

mod symbol;
mod word;

use super::difference::Difference;
use super::predicate::Operator;

pub(super) use self::word::{RESERVED, Word};

/// What is wrong in the text, and at which byte.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, message: message.into() }
    }
}

#[derive(Debug)]
pub(super) struct Token<'t> {
    /// Byte offset of its first character.
    pub(super) at: usize,
    pub(super) kind: Kind<'t>,
    /// The text as written, for messages.
    pub(super) source: &'t str,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'t> {
    /// A path, a function's name or a bare value.
    Word(Word),
    /// The text between the quotes.
    Text(&'t str),
    Number(f64),
    Operator(Operator),
    Not,
    And,
    Or,
    Open,
    Close,
    Comma,
    End,
}

/// The characters that end a keyword, a text or a two-character operator for Segment's lexer.
const TERMINATORS: [char; 6] = [' ', '\t', '\n', ')', ']', ','];

pub(super) struct Lexer<'t, 'd> {
    text: &'t str,
    at: usize,
    differences: &'d mut Vec<(usize, Difference)>,
}

impl<'t, 'd> Lexer<'t, 'd> {
    pub(super) fn new(text: &'t str, differences: &'d mut Vec<(usize, Difference)>) -> Self {
        Self { text, at: 0, differences }
    }

    /// All tokens; the last is [`Kind::End`].
    pub(super) fn tokens(mut self) -> Result<Vec<Token<'t>>, Fault> {
        let mut tokens = Vec::new();
        loop {
            self.skip_space();
            let at = self.at;
            let kind = self.token()?;
            let end = kind == Kind::End;
            tokens.push(Token { at, kind, source: self.text.get(at..self.at).unwrap_or_default() });
            if end {
                return Ok(tokens);
            }
        }
    }

    fn token(&mut self) -> Result<Kind<'t>, Fault> {
        let Some(char) = self.peek() else { return Ok(Kind::End) };
        match char {
            '(' => Ok(self.single(Kind::Open)),
            ')' => Ok(self.single(Kind::Close)),
            ',' => Ok(self.single(Kind::Comma)),
            '"' | '\'' => self.quoted(char),
            '=' | '!' | '<' | '>' | '&' | '|' => self.symbol(char),
            '0'..='9' | '+' | '-' => self.number(),
            'a'..='z' | 'A'..='Z' | '_' | '\\' => self.word(),
            '[' => Err(self.fault(
                "a trigger cannot contain `[`: write an item of a list as `list.\\0`, and instead \
                of a list of values several conditions joined by `or`",
            )),
            '.' => Err(self.fault(
                "a dot stands between two names, without spaces, or between the digits of a \
                number such as 0.5",
            )),
            _ => Err(self.fault(format!(
                "{char:?} is unexpected here: put text in double quotes, and a `\\` before it in a name"
            ))),
        }
    }

    fn single(&mut self, kind: Kind<'t>) -> Kind<'t> {
        self.advance();
        kind
    }

    fn skip_space(&mut self) {
        while let Some(char @ (' ' | '\t' | '\n' | '\r')) = self.peek() {
            if char == '\r' {
                self.note(self.at, Difference::CarriageReturn);
            }
            self.advance();
        }
    }

    fn at_name(&self) -> bool {
        self.peek().is_some_and(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '\\'))
    }

    /// Where Segment's lexer sees the end of a keyword or a two-character operator.
    fn at_terminator(&self) -> bool {
        self.peek().is_none_or(|char| TERMINATORS.contains(&char))
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let char = self.peek()?;
        self.at += char.len_utf8();
        Some(char)
    }

    fn note(&mut self, at: usize, difference: Difference) {
        self.differences.push((at, difference));
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.at, message)
    }
}
