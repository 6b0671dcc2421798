//! Paths, keywords and bare values: names joined by dots. A `\` comes before each character that is not a letter,
//! digit, `_` or `-`. Segment's lexer misreads some of them, which this lexer records.

use super::{Fault, Kind, Lexer, TERMINATORS};
use crate::trigger::difference::Difference;

/// Names joined by dots.
#[derive(Debug, Clone, PartialEq, Default)]
pub(in crate::trigger) struct Word {
    /// Without their escapes. The list is never empty, and no name in it is.
    pub(in crate::trigger) names: Vec<String>,
    /// The name that Segment's lexer does not read as a name.
    pub(in crate::trigger) unreadable: Option<String>,
}

/// Words with a meaning of their own. An escape turns them into names.
pub(in crate::trigger) const RESERVED: [&str; 5] = ["and", "or", "null", "true", "false"];

impl Lexer<'_, '_> {
    pub(super) fn word(&mut self) -> Result<Kind<'static>, Fault> {
        let start = self.at;
        let mut word = Word::default();
        loop {
            let at = self.at;
            self.note_loss_near_end();
            let name = self.name()?;
            let source = self.text.get(at..self.at).unwrap_or_default();
            let last = self.peek() != Some('.');
            if self.is_unreadable(source, last, word.names.is_empty()) {
                word.unreadable = Some(name.clone());
            }
            word.names.push(name);
            if last {
                break;
            }
            self.advance();
        }
        if let Some(symbol @ ('<' | '>')) = self.peek() {
            let symbol = if symbol == '<' { "<" } else { ">" };
            self.note(start, Difference::MissingSpace { symbol, place: "before" });
        }
        let connective = match self.text.get(start..self.at) {
            Some("and") => Kind::And,
            Some("or") => Kind::Or,
            _ => return Ok(Kind::Word(word)),
        };
        if let Some('(' | '!') = self.peek() {
            let symbol = if connective == Kind::And { "and" } else { "or" };
            self.note(start, Difference::MissingSpace { symbol, place: "after" });
        }
        Ok(connective)
    }

    /// Segment's lexer reads a later name that begins with a digit as a number, and a last one that is a
    /// keyword as that keyword.
    fn is_unreadable(&self, source: &str, last: bool, first: bool) -> bool {
        let keyword = matches!(source, "and" | "or" | "null") && last && self.at_terminator();
        !first && (keyword || source.starts_with(|char: char| char.is_ascii_digit() || char == '-'))
    }

    /// Segment's lexer compares what follows an `a` or `n` with its keywords; where that reaches over the end of
    /// the text, Segment's lexer does not step back.
    fn note_loss_near_end(&mut self) {
        let keyword_length = match self.peek() {
            Some('a') => 3,
            Some('n') => 4,
            _ => return,
        };
        let ahead = || self.rest().chars().take(keyword_length);
        if (2..keyword_length).contains(&ahead().count()) && !ahead().any(|char| TERMINATORS.contains(&char))
        {
            self.note(self.at, Difference::LostNearEnd);
        }
    }

    /// Reads one name and removes its escapes.
    fn name(&mut self) -> Result<String, Fault> {
        let mut name = String::new();
        while self.at_name() {
            let at = self.at;
            let char = match self.advance() {
                Some('\\') => self.escaped(at)?,
                Some(char) => char,
                None => break,
            };
            name.push(char);
        }
        if name.is_empty() {
            return Err(self.fault("a name is missing after the dot"));
        }
        Ok(name)
    }

    fn escaped(&mut self, at: usize) -> Result<char, Fault> {
        let char =
            self.advance().ok_or_else(|| Fault::new(at, "a `\\` stands before the character it escapes"))?;
        if char.len_utf16() > 1 {
            self.note(at, Difference::WideCharacterInName);
        }
        Ok(char)
    }
}
