//! The second argument of `match()`: a prefix, a suffix, or a whole glob.
//!
//! Segment's editor writes `prefix*` and `*suffix`. There every character but that one star is literal, as in Segment.
//! Anything else is a glob as FQL documents it: `*`, `?`, `[abc]`, `[a-z]`, `\x`.

/// A compiled pattern. It compares without allocating, in at most (pattern length) x (text length) steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    Prefix(String),
    Suffix(String),
    Glob { source: String, pieces: Vec<Piece> },
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// `*`: any number of characters, also zero.
    Many,
    /// `?`
    One,
    Char(char),
    /// `[a-z]`: one character of these ranges, both ends included.
    Class(Vec<(char, char)>),
}

impl Pattern {
    /// The error says what is wrong with the pattern and what to write.
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        if let Some(prefix) = source.strip_suffix('*').filter(|prefix| !prefix.contains('*')) {
            return Ok(Self::Prefix(prefix.to_owned()));
        }
        if let Some(suffix) = source.strip_prefix('*').filter(|suffix| !suffix.contains('*')) {
            return Ok(Self::Suffix(suffix.to_owned()));
        }
        Ok(Self::Glob { source: source.to_owned(), pieces: pieces(source)? })
    }

    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::Glob { pieces, .. } => glob(pieces, text),
        }
    }

    /// The pattern as it was written.
    pub(super) fn source(&self) -> String {
        match self {
            Self::Prefix(prefix) => format!("{prefix}*"),
            Self::Suffix(suffix) => format!("*{suffix}"),
            Self::Glob { source, .. } => source.clone(),
        }
    }
}

impl Piece {
    /// Whether a piece that matches one character matches this one.
    fn takes(&self, char: char) -> bool {
        match self {
            Self::Many => false,
            Self::One => true,
            Self::Char(wanted) => *wanted == char,
            Self::Class(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&char)),
        }
    }
}

fn pieces(source: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut chars = source.chars();
    while let Some(char) = chars.next() {
        pieces.push(match char {
            '*' => Piece::Many,
            '?' => Piece::One,
            '[' => Piece::Class(class(&mut chars)?),
            '\\' => Piece::Char(escaped(&mut chars)?),
            _ => Piece::Char(char),
        });
    }
    Ok(pieces)
}

/// The ranges up to the closing bracket.
fn class(chars: &mut std::str::Chars<'_>) -> Result<Vec<(char, char)>, String> {
    let unclosed = || "the pattern's `[` is never closed: write `\\[` for the character itself".to_owned();
    let mut ranges = Vec::new();
    loop {
        let first = match chars.next().ok_or_else(unclosed)? {
            ']' if ranges.is_empty() => return Err("the pattern's `[]` names no character".to_owned()),
            ']' => return Ok(ranges),
            '\\' => escaped(chars)?,
            char => char,
        };
        let mut ahead = chars.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) if last != ']' => {
                *chars = ahead;
                if last == '\\' { escaped(chars)? } else { last }
            }
            _ => first,
        };
        if last < first {
            return Err(format!("the pattern's `[{first}-{last}]` runs backwards: write `[{last}-{first}]`"));
        }
        ranges.push((first, last));
    }
}

fn escaped(chars: &mut std::str::Chars<'_>) -> Result<char, String> {
    chars
        .next()
        .ok_or_else(|| "the pattern ends in a lone `\\`: write `\\\\` for the character itself".to_owned())
}

/// Matches greedily with one place to go back to: once a later star is reached, earlier choices are final.
fn glob(pieces: &[Piece], text: &str) -> bool {
    let mut pieces = pieces;
    let mut text = text.chars();
    let mut last_star: Option<(&[Piece], std::str::Chars<'_>)> = None;
    loop {
        match pieces.split_first() {
            Some((Piece::Many, rest)) => {
                last_star = Some((rest, text.clone()));
                pieces = rest;
                continue;
            }
            Some((piece, rest)) => {
                let mut ahead = text.clone();
                if ahead.next().is_some_and(|char| piece.takes(char)) {
                    (pieces, text) = (rest, ahead);
                    continue;
                }
            }
            None if text.as_str().is_empty() => return true,
            None => {}
        }
        // No match from here: let the last star match one more character.
        let Some((rest, from)) = &mut last_star else { return false };
        if from.next().is_none() {
            return false;
        }
        (pieces, text) = (rest, from.clone());
    }
}
