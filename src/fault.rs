//! Faults of the configuration and of mapping files: each [`Fault`] has a place, a message and advice.
//!
//! Used by `config` and `mapping`. A fault names keys and places and never shows a secret.

use std::fmt;
use std::path::PathBuf;

use toml::Spanned;
use toml::de::DeTable;

/// The most faults that are reported for one configuration. A longer list would not help the user.
pub const MAX_FAULTS: usize = 100;

/// Where a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line and a column (in characters), both from 1. The file is a path, or `preset NAME`.
    File { file: PathBuf, line: usize, column: usize },
    /// An environment variable, by name.
    Variable(String),
    /// No single place: for example a key is missing, or a flag set it.
    Unknown,
}

/// A text of the configuration with its place, so that a later stage can report what is wrong with it.
#[derive(Clone, PartialEq, Eq)]
pub struct LocatedText {
    pub text: String,
    pub place: Place,
}

/// One thing to fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    pub place: Place,
    /// What is wrong with which key.
    pub message: String,
    /// What to do. Empty if the message contains it.
    pub advice: String,
}

/// All faults that were found, at least one. The command exits with [`Faults::EXIT_CODE`].
#[derive(Debug, thiserror::Error)]
pub struct Faults(Vec<Fault>);

/// The text of a file, from which lines and columns are computed.
#[derive(Debug, Default)]
pub struct SourceText {
    pub file: PathBuf,
    pub text: String,
    /// The byte at which each line begins.
    lines: Vec<usize>,
}

impl LocatedText {
    /// A text without a place.
    pub fn unplaced(text: impl Into<String>) -> Self {
        Self { text: text.into(), place: Place::Unknown }
    }
}

impl Fault {
    /// A fault without advice.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), advice: String::new() }
    }
}

impl Faults {
    /// "Configuration error" of sysexits.h.
    pub const EXIT_CODE: u8 = 78;

    /// Keeps the first [`MAX_FAULTS`] faults in their order and removes repeats.
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

    /// The place of a byte. A text without a file has no places.
    pub fn place(&self, byte: usize) -> Place {
        if self.file.as_os_str().is_empty() {
            return Place::Unknown;
        }
        let line = self.lines.partition_point(|start| *start <= byte).max(1);
        let start = self.lines.get(line - 1).copied().unwrap_or_default();
        let before = self.text.get(start..byte).unwrap_or_default();
        Place::File { file: self.file.clone(), line, column: before.chars().count() + 1 }
    }

    /// Parses the text as TOML. Returns only the first error: the others are mostly its consequences.
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
    /// Sorts by line, then variables by name, then unknown places.
    pub(crate) fn order(&self) -> (usize, usize, &str) {
        match self {
            Self::File { line, column, .. } => (*line, *column, ""),
            Self::Variable(name) => (usize::MAX - 1, 0, name),
            Self::Unknown => (usize::MAX, 0, ""),
        }
    }
}

/// Ends with a separator, so that an unknown place prints nothing.
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

/// Prints only the text, so that two configurations can be compared without their places.
impl fmt::Debug for LocatedText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

/// One fault per line.
impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}
