//! The waiting calls as people ask for them: which ones, since when, behind what, and after which attempts.
//!
//! A call waits in its chunk until its turn comes, or in a row of its own until its next attempt. This module reads
//! both, in order, one page at a time, and never changes anything. Changes go through the writer.

mod change;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use rusqlite::{Connection, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::chunk::Job;
use super::sqlite::{self, Parked};
use super::{Attempt, Place};
use crate::decode::Labels;
use crate::event_id::EventId;

pub use change::{GoneError, GoneStep};

/// A page ends after this many bytes of chunks were scanned, whatever was found.
const MAX_SCANNED: usize = 64 << 20;

/// Names a waiting call: its place in the order of all calls. It stays the same until the call is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    pub chunk: i64,
    pub index: u32,
}

impl CallId {
    const FIRST: Self = Self { chunk: 0, index: 0 };

    fn of(place: &Place) -> Self {
        let (chunk, index) = place.order();
        Self { chunk, index }
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.chunk, self.index)
    }
}

/// The text is not a call id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a waiting call's id is two numbers and a dot, such as 17.3; `waiting list` shows them")]
pub struct NoCallId;

impl FromStr for CallId {
    type Err = NoCallId;

    fn from_str(text: &str) -> std::result::Result<Self, NoCallId> {
        let (chunk, index) = text.split_once('.').ok_or(NoCallId)?;
        Ok(Self { chunk: chunk.parse().map_err(|_| NoCallId)?, index: index.parse().map_err(|_| NoCallId)? })
    }
}

impl Serialize for CallId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CallId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Selects waiting calls that match every given condition.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WaitingFilter {
    pub ids: Vec<CallId>,
    pub destination: Option<String>,
    pub user: Option<String>,
    /// The event's id, or its name.
    pub event: Option<String>,
}

impl WaitingFilter {
    /// Checks the conditions that do not need the event.
    fn admits(&self, job: &Job) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        is(&self.destination, job.destination.as_str())
            && is(&self.user, job.user.as_str())
            && (self.ids.is_empty() || self.ids.contains(&CallId::of(&job.place)))
    }

    fn admits_event(&self, event: EventId, labels: &Labels) -> bool {
        self.event.as_ref().is_none_or(|wanted| *wanted == labels.name || wanted.parse() == Ok(event))
    }
}

/// Why a call is not being made right now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaitingFor {
    /// For its turn: the calls before it come first. It may also be in flight.
    Turn,
    /// For its next attempt.
    Retry,
    /// For an earlier call of its user.
    Earlier,
    /// Nothing: its bytes changed on the disk, so that it is kept and never sent.
    Damaged,
}

/// A waiting call.
#[derive(Debug, Clone)]
pub struct WaitingCall {
    pub id: CallId,
    pub labels: Labels,
    pub job: Job,
    pub waiting_for: WaitingFor,
    /// The call of the same user that must be done first.
    pub behind: Option<(CallId, EventId)>,
    pub attempts: Vec<Attempt>,
    pub next_attempt_at: Option<DateTime<Utc>>,
}

impl WaitingCall {
    /// Returns the JSON of the admin API and the command, on request with the body and the event.
    pub fn to_json(&self, with_payload: bool) -> Value {
        let Self { id, labels, job, waiting_for, behind, attempts, next_attempt_at } = self;
        let behind = behind.map(|(id, event)| json!({"id": id, "event_id": event}));
        let received_at = job.event.has_time().then(|| job.event.time());
        let mut call = json!({
            "id": id, "event_id": job.event, "event": labels.name, "message_id": labels.message_id,
            "received_at": received_at, "user": job.user.as_str(), "destination": job.destination.as_str(),
            "source": job.source.as_str(), "mapping": job.mapping.as_str(), "action": job.action.as_str(),
            "path": job.path.as_str(), "waiting_for": waiting_for, "behind": behind, "attempts": attempts,
            "next_attempt_at": next_attempt_at,
        });
        if with_payload && let Some(call) = call.as_object_mut() {
            call.insert("warnings".to_owned(), job.warnings.as_str().into());
            call.insert("body".to_owned(), raw(&job.body));
            call.insert("original".to_owned(), raw(&job.original));
        }
        call
    }
}

/// Returns JSON as it is, anything else as text.
fn raw(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes)))
}

/// Some waiting calls, in order.
#[derive(Debug, Default)]
pub struct WaitingPage {
    pub calls: Vec<WaitingCall>,
    /// The start of the next page; `None` on the last one.
    pub next: Option<CallId>,
}

/// Returns at most `most` of the calls after `after`. It reads in one transaction, so that a call that is parked
/// meanwhile is seen once.
pub(super) fn page(
    connection: &Connection,
    filter: &WaitingFilter,
    after: Option<CallId>,
    most: usize,
) -> Result<WaitingPage> {
    let transaction = connection.unchecked_transaction()?;
    let after = after.unwrap_or(CallId::FIRST);
    let rows = sqlite::parked_page(&transaction, filter, after, most)?;
    let rows_end = (rows.len() == most).then(|| rows.last().map(|row| CallId::of(&row.job.place))).flatten();
    let queued = queued(&transaction, filter, after, rows_end, most)?;
    let end = [rows_end, queued.end].into_iter().flatten().min();

    let mut found: Vec<(Job, Option<Parked>)> = queued.jobs.into_iter().map(|job| (job, None)).collect();
    found.extend(rows.into_iter().map(|row| (row.job.clone(), Some(row))));
    found.retain(|(job, _)| end.is_none_or(|end| CallId::of(&job.place) <= end));
    found.sort_by_key(|(job, _)| job.place.order());

    let mut page = WaitingPage { calls: Vec::new(), next: end };
    let mut heads = HashMap::new();
    for (job, row) in found {
        let labels = Labels::of(&job.original);
        if !filter.admits_event(job.event, &labels) {
            continue;
        }
        if page.calls.len() == most {
            page.next = page.calls.last().map(|call| call.id);
            break;
        }
        page.calls.push(call(&transaction, &mut heads, job, row, labels)?);
    }
    Ok(page)
}

type Heads = HashMap<(String, String), Option<(CallId, EventId)>>;

fn call(
    connection: &Connection,
    heads: &mut Heads,
    job: Job,
    row: Option<Parked>,
    labels: Labels,
) -> Result<WaitingCall> {
    let id = CallId::of(&job.place);
    let key = (job.destination.as_str().to_owned(), job.user.as_str().to_owned());
    let head = if let Some(head) = heads.get(&key) {
        *head
    } else {
        let head = sqlite::first_parked(connection, &key.0, &key.1)?;
        heads.insert(key, head);
        head
    };
    let is_damaged = row.as_ref().is_some_and(|row| row.is_damaged);
    let behind = head.filter(|(first, _)| *first < id && !is_damaged);
    let (attempts, next_attempt_at) =
        row.map_or((Vec::new(), None), |row| (row.attempts, row.next_attempt_at));
    let waiting_for = match (&job.place, behind) {
        _ if is_damaged => WaitingFor::Damaged,
        (_, Some(_)) => WaitingFor::Earlier,
        (Place::Parked { .. }, None) if next_attempt_at.is_some() => WaitingFor::Retry,
        _ => WaitingFor::Turn,
    };
    Ok(WaitingCall { id, labels, job, waiting_for, behind, attempts, next_attempt_at })
}

/// Calls found in chunks.
struct Queued {
    jobs: Vec<Job>,
    /// The last place that was read; `None` if that was everything.
    end: Option<CallId>,
}

fn queued(
    connection: &Connection,
    filter: &WaitingFilter,
    after: CallId,
    until: Option<CallId>,
    most: usize,
) -> Result<Queued> {
    let mut found = Queued { jobs: Vec::new(), end: None };
    let (mut cursor, mut scanned) = (after.chunk - 1, 0);
    loop {
        if !filter.ids.is_empty() {
            // Only the chunks that the filter names.
            let next = filter.ids.iter().map(|id| id.chunk).filter(|chunk| *chunk > cursor).min();
            let Some(next) = next else { return Ok(found) };
            cursor = next - 1;
        }
        let Some(chunk) = sqlite::after(connection, cursor)? else { return Ok(found) };
        cursor = chunk.id;
        if until.is_some_and(|until| chunk.id > until.chunk) {
            return Ok(found);
        }
        found.jobs.extend(
            chunk.all_jobs().into_iter().filter(|job| CallId::of(&job.place) > after && filter.admits(job)),
        );
        scanned += chunk.size();
        if found.jobs.len() >= most || scanned >= MAX_SCANNED {
            found.end = Some(CallId { chunk: chunk.id, index: u32::MAX });
            return Ok(found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_is_read_as_it_is_written() {
        let id = CallId { chunk: 17, index: 3 };
        assert_eq!((id.to_string().as_str(), "17.3".parse()), ("17.3", Ok(id)));
        for wrong in ["", "17", "17.", ".3", "17.x", "17.-3", "17.3.1"] {
            assert_eq!(wrong.parse::<CallId>(), Err(NoCallId), "{wrong}");
        }
    }
}
