//! What an event is listed by: its type, its name and its group.
//!
//! The pipeline fills a title from the decoded event, so that the history need not read the event's text again.

/// A text is cut to this many bytes.
pub const MAX_BYTES: usize = 256;

/// A text is empty if the event does not have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title {
    /// `track`, `identify`, …
    pub kind: &'static str,
    /// The name of a track, page or screen; the type of any other event.
    pub name: Box<str>,
    pub group: Box<str>,
    /// The id that the sender gave the event; empty if it is the one for de-duplication.
    pub message_id: Box<str>,
}

impl Title {
    /// Cuts long texts.
    pub fn new(kind: &'static str, [name, group, message_id]: [&str; 3]) -> Self {
        let text = |text| Box::from(cut(text, MAX_BYTES));
        Self { kind, name: text(name), group: text(group), message_id: text(message_id) }
    }
}

/// Returns at most this many bytes of a text, cut between characters.
pub fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}
