//! A trigger's text cut into tokens, each with its place.
//!
//! Reads what Segment's lexer reads and is kinder in spacing; where that makes a difference it notes one.

use super::difference::Difference;
use super::predicate::Operator;

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
    /// As it was written, for messages.
    pub(super) source: &'t str,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind<'t> {
    /// A path, a function's name or a bare value.
    Word(Word),
    /// What stood between the quotes.
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

/// Names joined by dots.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Word {
    /// Without their escapes; never empty, and none of them is.
    pub(super) names: Vec<String>,
    /// The name that Segment's lexer does not take for one.
    pub(super) unreadable: Option<String>,
}

/// Bare names that mean something by themselves; an escape makes them names.
pub(super) const RESERVED: [&str; 5] = ["and", "or", "null", "true", "false"];

/// What ends a keyword, a text or a two-character operator for Segment's lexer.
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
                "`[` stands in no trigger: write an item of a list as `list.\\0`, and instead \
                of a list of values several conditions joined by `or`",
            )),
            '.' => Err(self.fault(
                "a dot stands between two names, without spaces, or between the digits of a \
                number such as 0.5",
            )),
            _ => Err(self.fault(format!(
                "{char:?} means nothing here: put text in double quotes, and a `\\` before it in a name"
            ))),
        }
    }

    fn single(&mut self, kind: Kind<'t>) -> Kind<'t> {
        self.advance();
        kind
    }

    fn quoted(&mut self, quote: char) -> Result<Kind<'t>, Fault> {
        let open = self.at;
        self.advance();
        let rest = self.rest();
        let length = rest
            .find(quote)
            .ok_or_else(|| Fault::new(open, format!("this text is never closed: end it with {quote}")))?;
        self.at += length + quote.len_utf8();
        if quote == '\'' {
            self.note(open, Difference::SingleQuotes);
        } else if !self.at_terminator() {
            self.note(open, Difference::MissingSpace { symbol: "\"", place: "after" });
        }
        Ok(Kind::Text(rest.get(..length).unwrap_or_default()))
    }

    fn symbol(&mut self, first: char) -> Result<Kind<'t>, Fault> {
        let at = self.at;
        let length = self.rest().bytes().take_while(|byte| b"=<>&|".contains(byte)).count();
        // A `!` may begin `!=` or stand before a function; it never ends a longer symbol.
        let length = if first == '!' { 1 + usize::from(self.rest().starts_with("!=")) } else { length };
        let symbol = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        let operator = match symbol {
            "!" => {
                if !self.peek().is_some_and(|next| next.is_ascii_alphabetic() || next == '(') {
                    self.note(at, Difference::SpaceAfterNegation);
                }
                return Ok(Kind::Not);
            }
            "=" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            ">=" => Operator::GreaterOrEqual,
            _ => return Err(Fault::new(at, unknown_symbol(symbol))),
        };
        if length == 2 && !self.at_terminator() {
            self.note(at, Difference::MissingSpace { symbol: operator.symbol(), place: "after" });
        }
        Ok(Kind::Operator(operator))
    }

    fn number(&mut self) -> Result<Kind<'t>, Fault> {
        let at = self.at;
        let bytes = self.rest().as_bytes();
        let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
        let mut length = usize::from(!bytes.first().is_some_and(u8::is_ascii_digit));
        length += digits(length);
        if bytes.get(length) == Some(&b'.') {
            length += 1 + digits(length + 1);
        }
        if matches!(bytes.get(length), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
            length += 1 + sign + digits(length + 1 + sign);
            self.note(at, Difference::Exponent);
        }
        let source = self.rest().get(..length).unwrap_or_default();
        self.at += length;
        let complete = source.ends_with(|last: char| last.is_ascii_digit())
            && !self.at_name()
            && self.peek() != Some('.');
        match source.parse::<f64>() {
            Ok(number) if complete && number.is_finite() => Ok(Kind::Number(number)),
            _ => Err(Fault::new(
                at,
                "this is no number: write one like 5, -5 or 0.5, and text in double quotes",
            )),
        }
    }

    fn word(&mut self) -> Result<Kind<'t>, Fault> {
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
                self.note(at, Difference::UnreadableName(name.clone()));
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
    /// the text, it does not step back.
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

    /// One name, its escapes taken out.
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

    /// Where Segment's lexer takes a keyword or a two-character operator for ended.
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

fn unknown_symbol(symbol: &str) -> String {
    let meant = match symbol {
        "==" | "===" => "`=`",
        "<>" => "`!=`",
        "=<" => "`<=`",
        "=>" => "`>=`",
        "&&" | "&" => "`and`",
        "||" | "|" => "`or`",
        _ => "one of = != < <= > >=",
    };
    format!("`{symbol}` is no operator: write {meant}")
}
