//! Liquid expressions: operands, operators and filters, read once.
//!
//! They are read as LiquidJS reads them: operators bind to the right, `and` and `or` alike. A part that cannot be read ends the
//! expression, and after it only a filter is allowed.

use super::filters::{self, Filter};
use super::token::{is_blank, is_word};

/// How deep brackets and ranges may nest.
const MAX_DEPTH: usize = 20;

/// A value and the filters it passes through.
#[derive(Debug)]
pub(super) struct Chain {
    /// In postfix order.
    pub(super) terms: Vec<Term>,
    pub(super) filters: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Term {
    Operand(Operand),
    Operator(Operator),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Contains,
    Not,
    And,
    Or,
}

#[derive(Debug)]
pub(super) enum Operand {
    Literal(Literal),
    /// Keys that start at a value or, without one, at the variables and the event.
    Path(Option<Literal>, Vec<Operand>),
    Range(Box<Operand>, Box<Operand>),
}

#[derive(Debug, Clone)]
pub(super) enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    Nil,
    Empty,
    Blank,
}

/// A filter and its arguments, some of them named.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) filter: Filter,
    pub(super) arguments: Vec<(Option<String>, Operand)>,
}

impl Operator {
    /// Longest first, so that `>=` is not read as `>`.
    const SPELLED: [(&'static str, Operator); 10] = [
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        (">=", Operator::GreaterOrEqual),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("contains", Operator::Contains),
        ("not", Operator::Not),
        ("and", Operator::And),
        ("or", Operator::Or),
    ];

    fn precedence(self) -> u8 {
        match self {
            Operator::And | Operator::Or => 0,
            Operator::Not => 1,
            _ => 2,
        }
    }
}

/// Reads an expression from left to right.
pub(super) struct Reader<'t> {
    rest: &'t str,
    depth: usize,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { rest: text, depth: 0 }
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches(is_blank);
    }

    /// Returns the rest of the text, without blanks at its beginning.
    pub(super) fn remaining(&mut self) -> &'t str {
        self.skip_blanks();
        self.rest
    }

    /// Reads this text if it comes next.
    pub(super) fn take(&mut self, text: &str) -> bool {
        self.skip_blanks();
        self.rest.strip_prefix(text).map(|after| self.rest = after).is_some()
    }

    /// Reads a name; empty if none comes next.
    pub(super) fn name(&mut self) -> &'t str {
        self.skip_blanks();
        self.name_here()
    }

    fn name_here(&mut self) -> &'t str {
        let end = self.rest.find(|character| !is_word(character)).unwrap_or(self.rest.len());
        let (name, after) = self.rest.split_at(end);
        self.rest = after;
        name
    }

    /// Reads a whole expression with its filters, to the end of the text.
    pub(super) fn chain(mut self) -> Result<Chain, String> {
        let terms = self.terms()?;
        if terms.is_empty() {
            return Err("a value is missing".to_owned());
        }
        let mut filters = Vec::new();
        while !self.remaining().is_empty() {
            if !self.take("|") {
                return Err(format!("expected `|` or the end before `{}`", start_of(self.rest)));
            }
            let name = self.name();
            if name.is_empty() && self.remaining().is_empty() {
                break;
            }
            filters.push(self.filter(name)?);
        }
        Ok(Chain { terms, filters })
    }

    fn filter(&mut self, name: &str) -> Result<Step, String> {
        if name.is_empty() {
            return Err("a filter needs a name".to_owned());
        }
        let mut arguments = Vec::new();
        if self.take(":") {
            loop {
                arguments.extend(self.argument()?);
                match self.remaining().chars().next() {
                    Some(',') => self.rest = self.rest.get(1..).unwrap_or_default(),
                    None | Some('|') => break,
                    Some(_) => {
                        return Err(format!(
                            "unexpected `{}` after a filter's argument",
                            start_of(self.rest)
                        ));
                    }
                }
            }
        } else if !matches!(self.remaining().chars().next(), None | Some('|')) {
            return Err(format!("expected `:` after the filter `{name}`"));
        }
        Ok(Step { filter: filters::named(name)?, arguments })
    }

    fn argument(&mut self) -> Result<Option<(Option<String>, Operand)>, String> {
        let before = self.remaining();
        let Some(operand) = self.operand()? else { return Ok(None) };
        let written = before.get(..before.len() - self.rest.len()).unwrap_or_default();
        if !self.take(":") {
            return Ok(Some((None, operand)));
        }
        let value = self.operand()?.unwrap_or(Operand::Path(None, Vec::new()));
        Ok(Some((Some(written.to_owned()), value)))
    }

    /// Reads operands and operators into postfix order.
    fn terms(&mut self) -> Result<Vec<Term>, String> {
        let mut terms = Vec::new();
        let mut waiting: Vec<Operator> = Vec::new();
        loop {
            if let Some(operator) = self.operator() {
                while let Some(last) = waiting.pop_if(|last| last.precedence() > operator.precedence()) {
                    terms.push(Term::Operator(last));
                }
                waiting.push(operator);
            } else if let Some(operand) = self.operand()? {
                terms.push(Term::Operand(operand));
            } else {
                terms.extend(waiting.into_iter().rev().map(Term::Operator));
                return Ok(terms);
            }
        }
    }

    fn operator(&mut self) -> Option<Operator> {
        self.skip_blanks();
        let mut spelled = Operator::SPELLED.into_iter();
        let (after, operator) = spelled.find_map(|(text, operator)| {
            let after = self.rest.strip_prefix(text)?;
            let joined = text.starts_with(is_word) && after.starts_with(is_word);
            (!joined).then_some((after, operator))
        })?;
        self.rest = after;
        Some(operator)
    }

    /// Reads one operand; `None` if the next text cannot be one.
    pub(super) fn operand(&mut self) -> Result<Option<Operand>, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("brackets nest more than {MAX_DEPTH} deep"));
        }
        self.skip_blanks();
        let value = match self.literal() {
            Some(literal) => Some(Operand::Literal(literal)),
            None => self.range()?,
        };
        let keys = self.keys(value.is_none())?;
        self.depth -= 1;
        Ok(match value {
            value if keys.is_empty() => value,
            None => Some(Operand::Path(None, keys)),
            Some(Operand::Literal(literal)) => Some(Operand::Path(Some(literal), keys)),
            Some(_) => return Err("a range has no members".to_owned()),
        })
    }

    fn literal(&mut self) -> Option<Literal> {
        let words = [
            ("true", Literal::Bool(true)),
            ("false", Literal::Bool(false)),
            ("nil", Literal::Nil),
            ("null", Literal::Nil),
            ("empty", Literal::Empty),
            ("blank", Literal::Blank),
        ];
        for (word, literal) in words {
            if let Some(after) = self.rest.strip_prefix(word).filter(|after| !after.starts_with(is_word)) {
                self.rest = after;
                return Some(literal);
            }
        }
        self.quoted().map(Literal::Text).or_else(|| self.number().map(Literal::Number))
    }

    fn quoted(&mut self) -> Option<String> {
        let quote = self.rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
        let mut characters = self.rest.get(1..)?.chars();
        let mut text = String::new();
        while let Some(character) = characters.next().filter(|character| *character != quote) {
            text.push(if character == '\\' { unescaped(&mut characters)? } else { character });
        }
        self.rest = characters.as_str();
        Some(text)
    }

    fn number(&mut self) -> Option<f64> {
        let unsigned = self.rest.strip_prefix(['+', '-']).unwrap_or(self.rest);
        let digits =
            |text: &str| text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        let whole = digits(unsigned);
        let mut after = unsigned.get(whole..)?;
        if whole == 0 {
            return None;
        }
        // `1..3` is the beginning of a range.
        if let Some(fraction) = after.strip_prefix('.').filter(|fraction| !fraction.starts_with('.')) {
            after = fraction.get(digits(fraction)..)?;
            if after.starts_with('.') && !after.starts_with("..") {
                return None;
            }
        }
        if after.starts_with(is_word) {
            return None;
        }
        let number = self.rest.get(..self.rest.len() - after.len())?.parse().ok()?;
        self.rest = after;
        Some(number)
    }

    fn range(&mut self) -> Result<Option<Operand>, String> {
        let Some(after) = self.rest.strip_prefix('(') else { return Ok(None) };
        self.rest = after;
        let (Some(low), true) = (self.operand()?, self.take("..")) else { return Err(RANGE.to_owned()) };
        let (Some(high), true) = (self.operand()?, self.take(")")) else { return Err(RANGE.to_owned()) };
        Ok(Some(Operand::Range(Box::new(low), Box::new(high))))
    }

    /// Reads `.key`, `["key"]`, `[0]`, and a first name if the path begins here.
    fn keys(&mut self, begins: bool) -> Result<Vec<Operand>, String> {
        let mut keys = Vec::new();
        let named = |name: &str| Operand::Literal(Literal::Text(name.to_owned()));
        loop {
            if let Some(after) = self.rest.strip_prefix('[') {
                self.rest = after;
                keys.push(self.operand()?.unwrap_or_else(|| named("")));
                let end = self.rest.find(']').ok_or("`[` is not closed")?;
                self.rest = self.rest.get(end + 1..).unwrap_or_default();
                continue;
            }
            if begins && keys.is_empty() && self.rest.starts_with(is_word) {
                keys.push(named(self.name_here()));
                continue;
            }
            let Some(after) = self.rest.strip_prefix('.').filter(|after| !after.starts_with('.')) else {
                return Ok(keys);
            };
            self.rest = after;
            self.skip_blanks();
            if !self.rest.starts_with(is_word) {
                return Ok(keys);
            }
            keys.push(named(self.name_here()));
        }
    }
}

const RANGE: &str = "a range is written (1..5)";

/// Returns the beginning of a text, for messages.
fn start_of(text: &str) -> String {
    text.chars().take(20).collect()
}

/// Reads the character after a backslash in a quoted text.
fn unescaped(characters: &mut std::str::Chars<'_>) -> Option<char> {
    let escaped = match characters.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'u' => return Some(code(characters, 16, 4)),
        '0'..='7' => return None,
        other => other,
    };
    Some(escaped)
}

/// Reads a character by its number, in at most this many digits.
fn code(characters: &mut std::str::Chars<'_>, radix: u32, most: usize) -> char {
    let mut value = 0;
    for _ in 0..most {
        let Some(digit) = characters.clone().next().and_then(|character| character.to_digit(radix)) else {
            break;
        };
        characters.next();
        value = value * radix + digit;
    }
    char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER)
}
