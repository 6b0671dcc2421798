//! Reads JSON as JavaScript and Python write it: halves of surrogate pairs, `NaN` and the infinities, numbers too
//! large.
//!
//! Runs only on a text that the strict parser refused, so that valid JSON never pays for it. One pass over the bytes,
//! no recursion. Any other fault of the text stays, and the strict parser reports it.

use super::{ParseError, Value};
use std::fmt::Write as _;

/// The number of replacements of one text that are listed; the others are only counted.
const MAX_LISTED: usize = 20;
/// The number of nesting levels that paths can show.
const MAX_LEVELS: usize = 128;
/// Paths are cut at this length, because an object's keys may be long.
const MAX_PATH: usize = 120;

/// Words that languages print for something that is not a number, in lower case and without a sign. `undefined` is
/// what JavaScript's templates print for a missing value.
const NOT_NUMBERS: [&str; 9] =
    ["nan", "inf", "infinity", "nan(ind)", "nan(snan)", "1.#qnan", "1.#ind", "1.#inf", "undefined"];

/// A value that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The path of the value: `properties.items[2].price`.
    pub path: String,
    pub what: ReplacementKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplacementKind {
    /// Half of a surrogate pair became U+FFFD.
    HalfPair,
    /// `NaN`, an infinity or `undefined` became null.
    NotANumber,
    /// A number beyond the range of a double became null.
    TooLarge,
}

/// What was replaced in a text; usually nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replacements {
    pub listed: Vec<Replacement>,
    /// The number of replacements that are not listed.
    pub others: usize,
}

impl<'a> Value<'a> {
    /// Reads one value, nested at most `depth` deep. Replaces single values that JSON cannot express.
    pub fn parse_lenient(text: &'a str, depth: usize) -> Result<(Self, Replacements), ParseError> {
        let error = match Self::parse_within(text, depth) {
            Ok(value) => return Ok((value, Replacements::default())),
            Err(error) => error,
        };
        let (repaired, replacements) = Scanner::run(text, Words::ToNull);
        match repaired {
            Some(repaired) => Ok((Value::parse_within(&repaired, depth)?.into_owned(), replacements)),
            None => Err(error),
        }
    }
}

/// Returns a text of the same length in which every value has the same position, for callers that need positions:
/// words that are not JSON become strings. Returns `None` if there is nothing to replace.
pub fn same_length(text: &str) -> Option<String> {
    Scanner::run(text, Words::ToText).0
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    ToNull,
    /// A string of the word's length. Numbers stay.
    ToText,
}

enum Level<'t> {
    Object(&'t str),
    Array(usize),
}

struct Scanner<'t> {
    text: &'t str,
    words: Words,
    levels: Vec<Level<'t>>,
    /// The number of levels beyond those that are kept.
    deeper: usize,
    expects_key: bool,
    output: String,
    /// How much of the text has been copied to the output.
    copied: usize,
    replacements: Replacements,
}

impl<'t> Scanner<'t> {
    fn run(text: &'t str, words: Words) -> (Option<String>, Replacements) {
        let mut scanner = Self {
            text,
            words,
            levels: Vec::new(),
            deeper: 0,
            expects_key: false,
            output: String::new(),
            copied: 0,
            replacements: Replacements::default(),
        };
        scanner.scan();
        if scanner.copied == 0 {
            return (None, scanner.replacements);
        }
        scanner.output.push_str(text.get(scanner.copied..).unwrap_or_default());
        (Some(scanner.output), scanner.replacements)
    }

    fn scan(&mut self) {
        let bytes = self.text.as_bytes();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            at = match byte {
                b'"' => self.string(at),
                b'-' | b'+' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => self.word(at),
                other => {
                    self.punctuation(other);
                    at + 1
                }
            };
        }
    }

    fn punctuation(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' if self.levels.len() == MAX_LEVELS => self.deeper += 1,
            b'}' | b']' if self.deeper > 0 => self.deeper -= 1,
            b'{' => {
                self.levels.push(Level::Object(""));
                self.expects_key = true;
            }
            b'[' => {
                self.levels.push(Level::Array(0));
                self.expects_key = false;
            }
            b'}' | b']' => {
                self.levels.pop();
                self.expects_key = false;
            }
            b':' => self.expects_key = false,
            b',' if self.deeper == 0 => match self.levels.last_mut() {
                Some(Level::Array(index)) => *index += 1,
                Some(Level::Object(_)) => self.expects_key = true,
                None => {}
            },
            _ => {}
        }
    }

    /// Reads a string from its opening quote; returns its end.
    fn string(&mut self, start: usize) -> usize {
        let bytes = self.text.as_bytes();
        let mut halves = Vec::new();
        let mut at = start + 1;
        loop {
            match bytes.get(at) {
                None => break,
                Some(b'"') => {
                    at += 1;
                    break;
                }
                Some(b'\\') => match self.escaped_unit(at) {
                    Some(0xD800..=0xDBFF) if matches!(self.escaped_unit(at + 6), Some(0xDC00..=0xDFFF)) => {
                        at += 12;
                    }
                    Some(0xD800..=0xDFFF) => {
                        halves.push(at);
                        at += 6;
                    }
                    _ => at += 2,
                },
                Some(_) => at += 1,
            }
        }
        let is_key = self.expects_key && self.deeper == 0;
        if is_key && let Some(Level::Object(key)) = self.levels.last_mut() {
            *key = self.text.get(start + 1..at - 1).unwrap_or_default();
        }
        for half in halves {
            self.replace(half, half + 6, ReplacementKind::HalfPair);
        }
        at
    }

    /// Returns the code unit of an escape `\uXXXX` that begins here.
    fn escaped_unit(&self, at: usize) -> Option<u16> {
        let escape = self.text.as_bytes().get(at..at + 6)?;
        let digits = str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        u16::from_str_radix(digits, 16).ok()
    }

    /// Reads a number or word; returns its end.
    fn word(&mut self, start: usize) -> usize {
        let rest = self.text.get(start..).unwrap_or_default();
        let is_part = |char: char| char.is_ascii_alphanumeric() || "+-.#()".contains(char);
        let word = &rest[..rest.find(|char| !is_part(char)).unwrap_or(rest.len())];
        let end = start + word.len();
        let unsigned = word.strip_prefix(['-', '+']).unwrap_or(word);
        if NOT_NUMBERS.iter().any(|none| none.eq_ignore_ascii_case(unsigned)) {
            self.replace(start, end, ReplacementKind::NotANumber);
        } else if self.words == Words::ToNull
            && unsigned.starts_with(|first: char| first.is_ascii_digit())
            && word.parse::<f64>().is_ok_and(f64::is_infinite)
        {
            self.replace(start, end, ReplacementKind::TooLarge);
        }
        end
    }

    fn replace(&mut self, start: usize, end: usize, what: ReplacementKind) {
        self.output.push_str(self.text.get(self.copied..start).unwrap_or_default());
        match (what, self.words) {
            (ReplacementKind::HalfPair, _) => self.output.push_str("\\ufffd"),
            (_, Words::ToNull) => {
                self.output.push_str("null");
                // Padding, so that a fault later on the line keeps its column.
                self.output.extend(std::iter::repeat_n(' ', (end - start).saturating_sub(4)));
            }
            (_, Words::ToText) => {
                self.output.push('"');
                self.output.extend(std::iter::repeat_n('x', (end - start).saturating_sub(2)));
                self.output.push('"');
            }
        }
        self.copied = end;
        let path = self.path();
        let listed = &mut self.replacements.listed;
        let replacement = Replacement { path, what };
        if listed.last() == Some(&replacement) {
            return;
        }
        if listed.len() < MAX_LISTED {
            listed.push(replacement);
        } else {
            self.replacements.others += 1;
        }
    }

    fn path(&self) -> String {
        if self.words == Words::ToText || self.replacements.listed.len() >= MAX_LISTED {
            return String::new();
        }
        let mut path = String::new();
        for level in &self.levels {
            match level {
                Level::Object("") => {}
                Level::Object(key) => {
                    let point = if path.is_empty() { "" } else { "." };
                    path.extend([point, key]);
                }
                // Writing to a String cannot fail.
                Level::Array(index) => drop(write!(path, "[{index}]")),
            }
        }
        if let Some((cut, _)) = path.char_indices().nth(MAX_PATH) {
            path.truncate(cut);
            path.push('…');
        }
        path
    }
}
