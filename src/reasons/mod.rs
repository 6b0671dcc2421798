//! The catalogue of reasons: why a request was refused, an event skipped, changed or rejected, a call delayed or failed.
//!
//! A [`Reason`] has a stable code. Answers, log lines, metric labels and `docs/reasons.md` use that code, so that one
//! word leads from a symptom to its explanation. A reason never holds a value of an event.
//! To add one: a line in `catalogue.rs`, then `UPDATE_DOCS=1 cargo test --lib reasons` writes the document.

mod catalogue;
mod counts;

use std::fmt;

pub use catalogue::Reason;
pub use counts::Counts;

/// What a reason is about; the first part of most codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A whole request was refused: nothing of it was stored, except that an unreadable body is kept as a reject.
    Door,
    /// There was nothing to send.
    Skip,
    /// The event was delivered, but something in it was left out or replaced.
    Warning,
    /// The event cannot be delivered as things are; it is kept and can be replayed.
    Reject,
    /// A call waits.
    Wait,
    /// A call failed for good; it is kept as a dead letter and can be replayed.
    Dead,
}

impl Kind {
    pub const ALL: [Self; 6] = [Self::Door, Self::Skip, Self::Warning, Self::Reject, Self::Wait, Self::Dead];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Door => "refused",
            Self::Skip => "skipped",
            Self::Warning => "warning",
            Self::Reject => "rejected",
            Self::Wait => "waiting",
            Self::Dead => "dead letter",
        }
    }
}

/// What the catalogue says about a reason.
#[derive(Debug)]
struct Entry {
    kind: Kind,
    code: &'static str,
    title: &'static str,
    happened: &'static str,
    to_do: &'static str,
}

impl Reason {
    /// The stable code: `door.key`.
    pub const fn code(self) -> &'static str {
        self.entry().code
    }

    pub const fn kind(self) -> Kind {
        self.entry().kind
    }

    /// A few words for a list.
    pub const fn title(self) -> &'static str {
        self.entry().title
    }

    /// What happened, in one or two sentences.
    pub const fn happened(self) -> &'static str {
        self.entry().happened
    }

    /// What to do about it.
    pub const fn to_do(self) -> &'static str {
        self.entry().to_do
    }

    /// The reason with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

/// The title, as it stands in answers and lists.
impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.title())
    }
}

/// The code.
impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests;
