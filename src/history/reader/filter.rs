//! The filter of a search: every condition that is set must hold.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::history::block::{BorrowedLine, word};
use crate::history::bloom::{self, Kind};
use crate::history::line::{Line, Outcome, Shape, Status};

/// The conditions on an event. The default matches every event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// One of these statuses; empty: any.
    #[serde(rename = "status")]
    pub statuses: Vec<Status>,
    pub source: Option<String>,
    /// A destination of one of its calls.
    pub destination: Option<String>,
    /// `track`, `identify`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub name: Option<String>,
    pub user: Option<String>,
    pub message_id: Option<String>,
    pub group: Option<String>,
    /// A mapping that made a call of it or refused it.
    pub mapping: Option<String>,
    /// A part of a reason's text: `userId`, `is missing`.
    pub reason: Option<String>,
    /// A reason code: `reject.missing`.
    pub code: Option<String>,
    /// A part of the event, of a call's body or of an answer, exactly as it is written there.
    pub text: Option<String>,
    /// Received at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Received before this time.
    pub to: Option<DateTime<Utc>>,
    /// A user id, a message id, a group id, or an event id.
    pub any: Option<String>,
}

/// A filter, prepared for comparing many lines.
#[derive(Debug)]
pub(in crate::history) struct CompiledFilter {
    pub(in crate::history) filter: Filter,
    from: i64,
    to: i64,
    /// The user id in both forms that lines have: as it is, and as a hash.
    users: Vec<String>,
    any: Vec<String>,
    /// The bits of a block that may have such an event: all of the first, and one of the second.
    all_bits: u64,
    some_bits: u64,
    /// A block must have one key of each list.
    keys: Vec<Vec<u64>>,
}

impl CompiledFilter {
    /// `hashed` returns a user id in its hidden form.
    pub(in crate::history) fn new(filter: Filter, hashed: impl Fn(&str) -> String) -> Self {
        let both = |id: &String| vec![cut(id), hashed(&cut(id))];
        let users = filter.user.as_ref().map(both).unwrap_or_default();
        let any = filter.any.as_ref().map(both).unwrap_or_default();
        let mut keys = Vec::new();
        if !users.is_empty() {
            keys.push(users.iter().map(|id| bloom::key(Kind::User, id)).collect());
        }
        for (kind, id) in [(Kind::MessageId, &filter.message_id), (Kind::Group, &filter.group)] {
            keys.extend(id.as_ref().map(|id| vec![bloom::key(kind, &cut(id))]));
        }
        if let Some([plain, hashed]) = any.first_chunk() {
            let kinds =
                [(Kind::User, plain), (Kind::User, hashed), (Kind::MessageId, plain), (Kind::Group, plain)];
            keys.push(kinds.iter().map(|(kind, id)| bloom::key(*kind, id)).collect());
        }
        let named =
            [("source", &filter.source), ("destination", &filter.destination), ("type", &filter.kind)];
        let bits = named.iter().filter_map(|(kind, name)| Some(word(kind, name.as_ref()?)));
        let all_bits = bits.fold(0, |all, bit| all | bit);
        Self {
            from: filter.from.map_or(i64::MIN, |from| from.timestamp_millis()),
            to: filter.to.map_or(i64::MAX, |to| to.timestamp_millis()),
            users,
            any,
            all_bits,
            some_bits: filter.statuses.iter().fold(0, |some, status| some | status_bit(*status)),
            keys,
            filter,
        }
    }

    /// Returns whether a block of this time and with these bits may have such an event.
    pub(in crate::history) fn may_have(&self, from: i64, to: i64, mask: u64) -> bool {
        let has_bits = mask & self.all_bits == self.all_bits;
        let has_some = self.some_bits == 0 || mask & self.some_bits != 0;
        from < self.to && to >= self.from && has_bits && has_some
    }

    /// Returns whether blocks can be skipped by their ids.
    pub(in crate::history) fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Returns whether a block with these Bloom bits may have such an event. An event id is not in the Bloom filter: it contains
    /// its time.
    pub(in crate::history) fn may_be_in(&self, bits: &[u8]) -> bool {
        self.keys.iter().all(|keys| keys.iter().any(|key| bloom::may_have(bits, *key)))
    }

    /// Compares what the shape decides.
    pub(in crate::history) fn fits_shape(&self, shape: &Shape) -> bool {
        let filter = &self.filter;
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let goes_to =
            |destination: &String| shape.calls.iter().any(|call| *call.destination == **destination);
        let is_mapped_by = |mapping: &String| {
            shape.calls.iter().any(|call| *call.mapping == **mapping)
                || shape.refusals.iter().any(|refusal| refusal.mapping == *mapping)
        };
        is(&filter.source, &shape.source)
            && is(&filter.kind, &shape.kind)
            && is(&filter.name, &shape.name)
            && filter.destination.as_ref().is_none_or(goes_to)
            && filter.mapping.as_ref().is_none_or(is_mapped_by)
    }

    /// Compares the ids and the time, without unpacking the attempts.
    pub(in crate::history) fn fits_ids(&self, line: &BorrowedLine<'_>) -> bool {
        self.fits(line.received_at(), line.user, line.message_id, line.group, || line.id().to_string())
    }

    fn fits(&self, at: i64, user: &str, message_id: &str, group: &str, id: impl Fn() -> String) -> bool {
        let filter = &self.filter;
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| cut(wanted) == found);
        (self.from..self.to).contains(&at)
            && (self.users.is_empty() || self.users.iter().any(|wanted| wanted == user))
            && is(&filter.message_id, message_id)
            && is(&filter.group, group)
            && (self.any.is_empty()
                || self.any.iter().any(|wanted| wanted == user || wanted == message_id || wanted == group)
                || self.any.first().is_some_and(|wanted| wanted.eq_ignore_ascii_case(&id())))
    }

    /// Compares what needs the whole line with its late attempts, but not the payload.
    pub(in crate::history) fn fits_line(&self, line: &Line) -> bool {
        let filter = &self.filter;
        (filter.statuses.is_empty() || filter.statuses.contains(&line.status()))
            && filter.code.as_ref().is_none_or(|code| line.codes().any(|found| found == code))
            && filter.reason.as_ref().is_none_or(|part| has_reason(line, part))
    }

    /// Compares everything except the text with a line in memory.
    pub(in crate::history) fn fits_whole(&self, line: &Line) -> bool {
        self.fits_shape(&line.shape)
            && self
                .fits(line.received_at, line.user(), line.message_id(), line.group(), || line.id.to_string())
            && self.fits_line(line)
    }

    /// Returns whether the line itself contains the text.
    pub(in crate::history) fn has_text(&self, line: &Line) -> bool {
        let Some(text) = self.filter.text.as_deref() else { return true };
        let shape = &line.shape;
        [line.user(), line.message_id(), line.group(), &shape.name].iter().any(|part| part.contains(text))
            || shape.refusals.iter().any(|refusal| refusal.reason.contains(text))
            || shape.calls.iter().any(|call| call.warnings.contains(text))
            || line.attempts.iter().any(|attempt| attempt.ending.text.contains(text))
    }
}

fn has_reason(line: &Line, part: &str) -> bool {
    let refused =
        line.shape.refusals.iter().any(|refusal| {
            format!("{}: {} {}", refusal.mapping, refusal.field, refusal.reason).contains(part)
        });
    refused || line.attempts.iter().any(|attempt| attempt.ending.text.contains(part))
}

/// Returns the bit that a block has if it has an event of this status.
fn status_bit(status: Status) -> u64 {
    match status {
        Status::Rejected | Status::Skipped | Status::Duplicate => word("status", status.name()),
        Status::Accepted | Status::Delivered | Status::Held | Status::Waiting | Status::Dead => {
            word("status", Outcome::CALLED)
        }
    }
}

/// Cuts a text to the length at which it is stored.
fn cut(id: &str) -> String {
    crate::facts::cut(id, crate::facts::MAX_BYTES).to_owned()
}

impl Filter {
    /// Returns the filter as the query of an address: keys with their values.
    pub fn to_query(&self) -> BTreeMap<&'static str, String> {
        let mut query = BTreeMap::new();
        let texts = [
            ("source", &self.source),
            ("destination", &self.destination),
            ("type", &self.kind),
            ("name", &self.name),
            ("user", &self.user),
            ("message_id", &self.message_id),
            ("group", &self.group),
            ("mapping", &self.mapping),
            ("reason", &self.reason),
            ("code", &self.code),
            ("text", &self.text),
            ("any", &self.any),
        ];
        query.extend(texts.into_iter().filter_map(|(key, text)| Some((key, text.clone()?))));
        for (key, time) in [("from", self.from), ("to", self.to)] {
            query.extend(time.map(|time| (key, time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))));
        }
        if !self.statuses.is_empty() {
            let names: Vec<_> = self.statuses.iter().map(|status| status.name()).collect();
            query.insert("status", names.join(","));
        }
        query
    }
}
