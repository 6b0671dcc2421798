//! What is wrong with the configuration or with a mapping file: each [`Fault`] says where, what, and what to do.
//!
//! Shared by `config` and `mapping`. A fault names keys and places. It never shows a secret.

use std::fmt;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeTable;

/// The most faults that are reported of one configuration: a longer list helps nobody.
pub const MAX_FAULTS: usize = 100;

/// Where a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line and a column (in characters), both from 1. The file is a path, or `preset NAME`.
    File { file: PathBuf, line: usize, column: usize },
    /// An environment variable, by name.
    Variable(String),
    /// No single place: something is missing, or a flag set it.
    Unknown,
}

/// A text of the configuration and where it is written, for those who find out later what is wrong with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Located {
    pub text: String,
    pub place: Place,
}

/// One thing to fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    pub place: Place,
    /// What is wrong with which key.
    pub message: String,
    /// What to do; empty when the message says it.
    pub advice: String,
}

/// Every fault that was found; at least one. `main` turns it into the exit code [`Faults::EXIT_CODE`].
#[derive(Debug, thiserror::Error)]
pub struct Faults(Vec<Fault>);

/// The text of a file, to tell lines and columns from.
#[derive(Debug, Default)]
pub struct SourceText {
    pub file: PathBuf,
    pub text: String,
    /// The byte at which each line begins.
    lines: Vec<usize>,
}

impl Located {
    /// A text that is written nowhere in particular.
    pub fn unplaced(text: impl Into<String>) -> Self {
        Self { text: text.into(), place: Place::Unknown }
    }
}

impl Fault {
    /// A fault whose message says everything.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), advice: String::new() }
    }
}

impl Faults {
    /// "Configuration error" of sysexits.h.
    pub const EXIT_CODE: u8 = 78;

    /// The first [`MAX_FAULTS`], each once, in the order given.
    pub fn new(mut faults: Vec<Fault>) -> Self {
        let mut seen = Vec::new();
        faults.retain(|fault| {
            let is_new = seen.len() < MAX_FAULTS && !seen.contains(fault);
            if is_new {
                seen.push(fault.clone());
            }
            is_new
        });
        Self(faults)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }
}

impl SourceText {
    pub fn new(file: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let text = text.into();
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { file: file.into(), text, lines }
    }

    /// The place of a byte.
    pub fn place(&self, byte: usize) -> Place {
        let line = self.lines.partition_point(|start| *start <= byte).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..byte).unwrap_or_default();
        Place::File { file: self.file.clone(), line, column: before.chars().count() + 1 }
    }

    /// The text as TOML, or its first error: the errors after it are mostly consequences of the first.
    pub fn parse_toml(&self) -> Result<Spanned<DeTable<'_>>, Fault> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        let first = errors.iter().min_by_key(|error| error.span().map_or(0, |span| span.start));
        first.map_or(Ok(table), |error| Err(self.toml_fault(error)))
    }

    /// The error's own text is not used: it quotes the line, which may hold a secret.
    fn toml_fault(&self, error: &toml::de::Error) -> Fault {
        let what = error.message().lines().next().unwrap_or_default().trim_end_matches(", expected nothing");
        Fault {
            place: self.place(error.span().map_or(0, |span| span.start)),
            message: format!("this is not TOML ({what})"),
            advice: "fix this line first; text goes in double quotes, a section's name in [brackets]"
                .to_owned(),
        }
    }
}

impl Place {
    /// Places of one file in the order of its lines, then variables, then what has no place.
    pub(crate) fn order(&self) -> (usize, usize, &str) {
        match self {
            Self::File { line, column, .. } => (*line, *column, ""),
            Self::Variable(name) => (usize::MAX - 1, 0, name),
            Self::Unknown => (usize::MAX, 0, ""),
        }
    }
}

/// With what separates it from a message, so that an unknown place prints nothing.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(formatter, "{}:{line}:{column}: ", file.display()),
            Self::Variable(name) => write!(formatter, "environment variable {name}: "),
            Self::Unknown => Ok(()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if self.advice.is_empty() { "" } else { ": " };
        write!(formatter, "{}{}{separator}{}", self.place, self.message, self.advice)
    }
}

/// The text alone: where it is written says nothing of what it is.
impl fmt::Debug for Located {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

/// One fault a line.
impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}
