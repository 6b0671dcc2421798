//! A fault in a mapping file: what is wrong and where, so that an editor can jump to it.

use std::fmt;

/// Faults beyond these are not looked for: nobody reads so many, and each costs a pass over its file.
pub(super) const MOST_FAULTS: usize = 100;

/// One fault. `line` and `column` count from 1, in characters; both are 0 when the file as a whole is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path as the configuration names it, or a preset's name.
    pub file: String,
    pub line: usize,
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Fault {
    /// A fault of the whole file.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into() }
    }

    /// A fault at a byte of the file's text.
    pub(super) fn at(file: &str, text: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.to_owned(),
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before.get(line_start..).unwrap_or_default().chars().count(),
            message: message.into(),
        }
    }
}

/// `file:line:column: message`
impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:", self.file)?;
        if self.line > 0 {
            write!(formatter, "{}:{}:", self.line, self.column)?;
        }
        write!(formatter, " {}", self.message)
    }
}
