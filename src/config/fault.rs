//! What is wrong with a configuration: each fault says where, what, and what to do about it.
//!
//! A fault names keys and places; it never shows a value, because any value may be a secret.

use std::fmt;
use std::path::PathBuf;

/// Beyond this many faults a file is not a configuration, and a longer list helps nobody.
pub(super) const MOST_FAULTS: usize = 100;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line and a column (in characters), both from 1.
    File { file: PathBuf, line: usize, column: usize },
    /// An environment variable, by name.
    Variable(String),
    /// No single place: something is missing, or a flag set it.
    Nowhere,
}

/// One thing to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{message}: {advice}")]
pub struct Fault {
    pub place: Place,
    /// What is wrong with which key of which section.
    pub message: String,
    /// What to do.
    pub advice: String,
}

/// Every fault of a configuration, in the order of their places; at least one. `main` turns it into
/// exit code [`Faults::EXIT_CODE`].
#[derive(Debug, thiserror::Error)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// "Configuration error" of sysexits.h (DESIGN section 4).
    pub const EXIT_CODE: u8 = 78;

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Fault> {
        self.0.iter()
    }

    /// Of at least one; in the order of their places, the first [`MOST_FAULTS`].
    pub(crate) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by(|one, other| one.place.order().cmp(&other.place.order()));
        faults.truncate(MOST_FAULTS);
        Self(faults)
    }
}

impl Place {
    pub(super) fn line(&self) -> Option<usize> {
        if let Self::File { line, .. } = self { Some(*line) } else { None }
    }

    fn order(&self) -> (usize, usize, &str) {
        match self {
            Self::File { line, column, .. } => (*line, *column, ""),
            Self::Variable(name) => (usize::MAX - 1, 0, name),
            Self::Nowhere => (usize::MAX, 0, ""),
        }
    }
}

/// With what separates it from a message, so that nowhere prints nothing.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, column } => write!(formatter, "{}:{line}:{column}: ", file.display()),
            Self::Variable(name) => write!(formatter, "environment variable {name}: "),
            Self::Nowhere => Ok(()),
        }
    }
}

/// One fault a line.
impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{fault}")?;
        }
        Ok(())
    }
}
