//! Failures in groups that have the same reason. Listing the groups costs as much as there are reasons, however many
//! failures there are.

use std::hash::{Hash as _, Hasher as _};

use chrono::{DateTime, Utc};

use serde::Deserialize;
use siphasher::sip::SipHasher13;

use super::{Attempt, Filter, Kind};

/// Dead letters or rejects with the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub kind: Kind,
    /// Identifies the group among those of its kind; see [`Filter::group`].
    pub key: u64,
    /// The reason's code; empty in rows of earlier versions.
    pub code: String,
    /// Of dead letters; empty for rejects.
    pub destination: String,
    /// The mapping that rejected the events or made the calls; empty if the event could not be read at all.
    pub mapping: String,
    /// The field that is wrong, of rejects.
    pub field: String,
    /// What is wrong with the field, or how the last attempt failed. Words with digits in them, such as ids, are left out.
    pub text: String,
    pub count: u64,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    /// The number of the newest one.
    pub newest: i64,
    /// Of rejects: the source. Of dead letters: the source of the newest one.
    pub source: String,
}

impl Group {
    /// Selects the members.
    pub fn filter(&self) -> Filter {
        Filter { group: Some(self.key), ..Filter::default() }
    }
}

/// Characters of a group's text.
const MAX_TEXT: usize = 300;
/// In place of a word that differs from event to event.
const LEFT_OUT: char = '…';

/// Why an event was rejected, as its row has it: the first of the reasons.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FirstReason {
    mapping: String,
    field: String,
    reason: String,
    code: String,
}

/// The values by which failures are grouped.
#[derive(Debug)]
pub(super) struct GroupReason<'a> {
    pub(super) kind: Kind,
    pub(super) code: String,
    pub(super) destination: &'a str,
    pub(super) source: &'a str,
    pub(super) mapping: String,
    pub(super) field: String,
    pub(super) text: String,
}

impl<'a> GroupReason<'a> {
    /// `reasons` is JSON: `[{"mapping","field","reason","code"}]`.
    pub(super) fn of_reject(source: &'a str, reasons: &str) -> Self {
        let reasons: Vec<FirstReason> = serde_json::from_str(reasons).unwrap_or_default();
        let FirstReason { mapping, field, reason, code } = reasons.into_iter().next().unwrap_or_default();
        Self {
            kind: Kind::Reject,
            code,
            destination: "",
            source,
            mapping,
            field,
            text: group_text(&reason, None),
        }
    }

    pub(super) fn of_dead_letter(
        code: &str,
        destination: &'a str,
        source: &'a str,
        mapping: &str,
        attempts: &[Attempt],
    ) -> Self {
        let text = attempts.last().map(|last| group_text(&last.reason, last.status)).unwrap_or_default();
        let (code, mapping) = (code.to_owned(), mapping.to_owned());
        Self { kind: Kind::DeadLetter, code, destination, source, mapping, field: String::new(), text }
    }

    pub(super) fn key(&self) -> i64 {
        let mut hasher = SipHasher13::new();
        let source = if self.kind == Kind::Reject { self.source } else { "" };
        for part in [&self.code, self.destination, source, &self.mapping, &self.field, &self.text] {
            part.hash(&mut hasher);
        }
        hasher.finish().cast_signed()
    }
}

/// A text without the words that have a digit in them: ids, numbers and times differ from event to event. The status of an
/// answer is the same for all members, and stays.
pub fn group_text(text: &str, status: Option<u16>) -> String {
    let status = status.map(|status| status.to_string());
    let mut general = String::new();
    let is_of_word = |character: char| character.is_alphanumeric() || matches!(character, '-' | '_');
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|character| !is_of_word(character)).unwrap_or(rest.len()).max(first.len_utf8());
        let (word, after) = rest.split_at(end);
        if word.contains(|character: char| character.is_ascii_digit()) && Some(word) != status.as_deref() {
            general.push(LEFT_OUT);
        } else {
            general.push_str(word);
        }
        rest = after;
    }
    general.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_differ_from_event_to_event_are_left_out_of_a_groups_text() {
        for (text, status, expected) in [
            ("answered 400: no group g-17", Some(400), "answered 400: no group …"),
            ("answered 400: no group g-17", None, "answered …: no group …"),
            ("{\"error\":\"u_1 of 5f0e\"}", None, "{\"error\":\"… of …\"}"),
            ("is missing", None, "is missing"),
            ("größer als ①②", None, "größer als ①②"),
            ("", None, ""),
        ] {
            assert_eq!(group_text(text, status), expected);
        }
        assert_eq!(group_text(&"ä".repeat(1000), None).chars().count(), MAX_TEXT);
    }
}
