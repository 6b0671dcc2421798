//! The catalogue of reasons: why a request was refused, an event skipped, changed or rejected, a call delayed or
//! failed.
//!
//! A [`Reason`] has a stable code. Answers, log lines, metric labels and `docs/reasons.md` use that code, so that it
//! leads from a symptom to its explanation. A reason never contains a value of an event. To add one, write it in
//! `catalogue.rs` and run `UPDATE_DOCS=1 cargo test --lib reasons`, which writes the document.

mod catalogue;
mod counts;

use std::fmt;

pub use catalogue::Reason;
pub use counts::Counts;

/// What a reason is about. Most codes begin with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A whole request was refused and nothing of it was stored, except that an unreadable body is kept as a reject.
    Door,
    /// There was nothing to send.
    Skip,
    /// The event was delivered, but something in it was left out or replaced.
    Warning,
    /// The event cannot be delivered at present; it is kept and can be replayed.
    Reject,
    /// A call waits.
    Wait,
    /// A call failed permanently; it is kept as a dead letter and can be replayed.
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

/// The catalogue's entry for a reason.
#[derive(Debug)]
struct Entry {
    kind: Kind,
    code: &'static str,
    title: &'static str,
    happened: &'static str,
    to_do: &'static str,
}

impl Reason {
    /// The stable code, such as `door.key`.
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

    /// Returns the reason with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

/// Writes the title, as answers and lists show it.
impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.title())
    }
}

/// Writes the code.
impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> serde::Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = String::deserialize(deserializer)?;
        Self::of_code(&code).ok_or_else(|| serde::de::Error::custom("no reason has this code"))
    }
}

#[cfg(test)]
mod tests;
