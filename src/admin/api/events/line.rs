//! One event as one line: in a list, in the live stream and in an export.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::history::{Attempt, Line, Outcome, Redactor, Status};
use crate::outbox::{DeadLetter, StoredReject, WaitingCall, WaitingFor};
use crate::plain::one_line;
use crate::reasons::Reason;

/// Characters of the summary.
const MAX_OUTCOME: usize = 300;

/// One event.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "an answer: each says something of its own")]
pub struct EventLine {
    /// The event's id.
    pub id: String,
    /// When it was received.
    pub at: DateTime<Utc>,
    /// `accepted`, `delivered`, `held`, `waiting`, `dead`, `rejected`, `skipped` or `duplicate`.
    pub status: String,
    pub source: String,
    /// `track`, `identify`, …; empty if the event could not be read.
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
    /// The user id, else the group id; empty if there is none.
    pub user: String,
    pub message_id: String,
    pub group: String,
    /// The destinations of its calls.
    pub destinations: Vec<String>,
    /// The mappings that made calls of it or refused it.
    pub mappings: Vec<String>,
    /// The number of its calls.
    pub call_count: usize,
    /// The reason code if the event was skipped, rejected, delayed or not delivered; otherwise empty.
    pub code: String,
    /// What became of it, as text for a person.
    pub outcome: String,
    /// Some mappings refused it while others made calls of it.
    pub is_partly_rejected: bool,
    /// Something was left out of a call, or replaced in it.
    pub has_warnings: bool,
    /// Made from a reject or a past event, not from a post.
    pub is_replay: bool,
    /// Whether its payload is kept.
    pub has_payload: bool,
}

impl From<&Line> for EventLine {
    fn from(line: &Line) -> Self {
        let shape = &line.shape;
        let mut destinations: Vec<String> =
            shape.calls.iter().map(|call| call.destination.to_string()).collect();
        let called = shape.calls.iter().map(|call| call.mapping.to_string());
        let refused = shape.refusals.iter().map(|refusal| refusal.mapping.clone());
        let mut mappings: Vec<String> = called.chain(refused).filter(|name| !name.is_empty()).collect();
        for names in [&mut destinations, &mut mappings] {
            names.sort();
            names.dedup();
        }
        Self {
            id: line.id.to_string(),
            at: line.at(),
            status: line.status().name().to_owned(),
            source: shape.source.to_string(),
            kind: shape.kind.clone(),
            name: shape.name.clone(),
            user: line.user().to_owned(),
            message_id: line.message_id().to_owned(),
            group: line.group().to_owned(),
            destinations,
            mappings,
            call_count: shape.calls.len(),
            code: code(line),
            outcome: cut(&outcome(line)),
            is_partly_rejected: line.is_partly_rejected(),
            has_warnings: line.has_warnings(),
            is_replay: line.is_replay,
            has_payload: line.has_payload,
        }
    }
}

/// Returns the reason code that matters most.
pub(super) fn code(line: &Line) -> String {
    let refused = || line.shape.refusals.first().map(|refusal| refusal.code.clone()).unwrap_or_default();
    let of = |wanted: &[Outcome]| {
        let found = last_attempts(line).find(|attempt| wanted.contains(&attempt.ending.outcome));
        found.map(|attempt| attempt.ending.reason.clone()).unwrap_or_default()
    };
    match line.status() {
        Status::Duplicate => Reason::Duplicate.code().to_owned(),
        Status::Skipped => line.shape.skipped.clone(),
        Status::Rejected => refused(),
        Status::Dead => of(&[Outcome::Dead]),
        Status::Waiting => {
            let code = of(&[Outcome::Waits]);
            if code.is_empty() { Reason::WaitBehind.code().to_owned() } else { code }
        }
        Status::Held => Reason::Held.code().to_owned(),
        Status::Accepted | Status::Delivered if line.is_partly_rejected() => refused(),
        Status::Accepted | Status::Delivered if line.has_warnings() => warning(line).code().to_owned(),
        Status::Accepted | Status::Delivered => String::new(),
    }
}

/// Returns the most important kind of warning. The history keeps warnings as text, so their words are compared.
fn warning(line: &Line) -> Reason {
    let has = |words: &str| line.shape.calls.iter().any(|call| call.warnings.contains(words));
    let kinds = [
        ("was left out", Reason::LeftOut),
        ("is sent instead", Reason::TimeReplaced),
        ("cents", Reason::FractionalCents),
        (" became ", Reason::ValueReplaced),
    ];
    kinds.into_iter().find(|(words, _)| has(words)).map_or(Reason::Converted, |(_, kind)| kind)
}

/// Returns the last attempt of each call.
fn last_attempts(line: &Line) -> impl Iterator<Item = &Attempt> {
    (0..line.shape.calls.len()).filter_map(|call| line.last_attempt(call))
}

/// Returns what became of the event, in a few words.
fn outcome(line: &Line) -> String {
    let find = |wanted: Outcome| last_attempts(line).find(|attempt| attempt.ending.outcome == wanted);
    let refusal = || line.shape.refusals.first().map(refusal).unwrap_or_default();
    let text = match line.status() {
        Status::Duplicate => Reason::Duplicate.title().to_owned(),
        Status::Skipped => Reason::of_code(&line.shape.skipped)
            .map_or_else(|| "skipped".to_owned(), |reason| reason.title().to_owned()),
        Status::Rejected => return refusal(),
        Status::Dead => find(Outcome::Dead).map(failed).unwrap_or_default(),
        Status::Waiting => match find(Outcome::Waits) {
            Some(attempt) => format!("attempt {}: {}", attempt.number, failed(attempt)),
            None => Reason::WaitBehind.title().to_owned(),
        },
        Status::Held => Reason::Held.title().to_owned(),
        Status::Accepted => "under way".to_owned(),
        Status::Delivered => {
            find(Outcome::Delivered).map(|attempt| delivered(line, attempt)).unwrap_or_default()
        }
    };
    if line.is_partly_rejected() { format!("{text}; refused by {}", refusal()) } else { text }
}

fn delivered(line: &Line, attempt: &Attempt) -> String {
    let calls = match line.shape.calls.len() {
        1 => String::new(),
        calls => format!("{calls} calls, "),
    };
    let tries = if attempt.number > 1 { format!(", attempt {}", attempt.number) } else { String::new() };
    let warning = line.shape.calls.iter().map(|call| call.warnings.as_str()).find(|text| !text.is_empty());
    let warning = warning.map(|text| format!("; warning: {text}")).unwrap_or_default();
    format!("{calls}{} in {}{tries}{warning}", attempt.ending.status, took(attempt.took_us))
}

fn failed(attempt: &Attempt) -> String {
    let ending = &attempt.ending;
    if !ending.text.is_empty() {
        return ending.text.clone();
    }
    match (ending.status, Reason::of_code(&ending.reason)) {
        (0, Some(reason)) => reason.title().to_owned(),
        (0, None) => "failed".to_owned(),
        (status, _) => format!("answered {status}"),
    }
}

fn refusal(refusal: &crate::history::Refusal) -> String {
    named(&refusal.mapping, &refusal.field, &refusal.reason)
}

/// `Track Calls: userId is missing`.
pub(in crate::admin::api) fn named(mapping: &str, field: &str, reason: &str) -> String {
    let separator = if mapping.is_empty() { "" } else { ": " };
    let space = if field.is_empty() { "" } else { " " };
    format!("{mapping}{separator}{field}{space}{reason}")
}

/// `52 ms`, `2.1 s`.
pub(super) fn took(micros: u32) -> String {
    match micros {
        0..1_000 => format!("0.{} ms", micros / 100),
        1_000..10_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

fn cut(text: &str) -> String {
    one_line(text).chars().take(MAX_OUTCOME).collect()
}

impl EventLine {
    fn new(id: crate::event_id::EventId, at: DateTime<Utc>, status: Status) -> Self {
        Self {
            id: id.to_string(),
            at: if id.has_time() { id.time() } else { at },
            status: status.name().to_owned(),
            source: String::new(),
            kind: String::new(),
            name: String::new(),
            user: String::new(),
            message_id: String::new(),
            group: String::new(),
            destinations: Vec::new(),
            mappings: Vec::new(),
            call_count: 0,
            code: String::new(),
            outcome: String::new(),
            is_partly_rejected: false,
            has_warnings: false,
            is_replay: false,
            has_payload: true,
        }
    }

    /// Hides the values at the paths of `[privacy]` in these JSON texts. Cuts the outcome only then: a part of a value would not
    /// be found.
    fn without_hidden(mut self, redactor: &Redactor, texts: &[&[u8]]) -> Self {
        let values = redactor.find_in(texts);
        let Self { name, user, message_id, group, outcome, .. } = &mut self;
        for text in [name, user, message_id, group, &mut *outcome] {
            values.hide_in(text);
        }
        *outcome = cut(outcome);
        self
    }

    pub(in crate::admin::api) fn of_reject(reject: &StoredReject, redactor: &Redactor) -> Self {
        let refusals = refusals(&reject.reasons);
        let first = refusals.first();
        Self {
            source: reject.source.clone(),
            name: reject.name.clone(),
            user: reject.user.clone(),
            message_id: reject.message_id.clone(),
            mappings: refusals
                .iter()
                .map(|one| one.mapping.clone())
                .filter(|name| !name.is_empty())
                .collect(),
            code: reject.code.clone(),
            outcome: first.map(|one| named(&one.mapping, &one.field, &one.reason)).unwrap_or_default(),
            ..Self::new(reject.event, reject.at, Status::Rejected)
        }
        .without_hidden(redactor, &[&reject.original])
    }

    pub(in crate::admin::api) fn of_dead_letter(letter: &DeadLetter, redactor: &Redactor) -> Self {
        let last = letter.attempts.last();
        Self {
            source: letter.source.clone(),
            name: letter.name.clone(),
            user: letter.user.clone(),
            message_id: letter.message_id.clone(),
            destinations: vec![letter.destination.clone()],
            mappings: vec![letter.mapping.clone()],
            call_count: 1,
            code: letter.code.clone(),
            outcome: last.map(|attempt| attempt.reason.clone()).unwrap_or_default(),
            has_warnings: !letter.warnings.is_empty(),
            ..Self::new(letter.event, letter.at, Status::Dead)
        }
        .without_hidden(redactor, &[&letter.original, &letter.body])
    }

    pub(super) fn of_waiting(call: &WaitingCall, redactor: &Redactor) -> Self {
        let job = &call.job;
        let last = call.attempts.last();
        let (code, outcome) = match (call.waiting_for, last) {
            (WaitingFor::Earlier, _) => {
                (Reason::WaitBehind.code().to_owned(), Reason::WaitBehind.title().to_owned())
            }
            (_, Some(attempt)) => (
                wait_code(attempt).to_owned(),
                format!("attempt {}: {}", call.attempts.len(), attempt.reason),
            ),
            (_, None) => (String::new(), "its turn has not come yet".to_owned()),
        };
        Self {
            source: job.source.as_str().to_owned(),
            name: call.labels.name.clone(),
            user: job.user.as_str().to_owned(),
            message_id: call.labels.message_id.clone(),
            destinations: vec![job.destination.as_str().to_owned()],
            mappings: vec![job.mapping.as_str().to_owned()],
            call_count: 1,
            code,
            outcome,
            has_warnings: !job.warnings.as_str().is_empty(),
            ..Self::new(job.event, Utc::now(), Status::Waiting)
        }
        .without_hidden(redactor, &[&job.original, &job.body])
    }
}

/// Returns the reason code of a failed attempt that is retried, as far as its status shows it.
pub(super) fn wait_code(attempt: &crate::outbox::Attempt) -> &'static str {
    let reason = match attempt.status {
        Some(401 | 403) => Reason::WaitKey,
        Some(429) => Reason::WaitLimited,
        Some(408 | 409 | 423..=425 | 500..) => Reason::WaitServer,
        Some(_) => Reason::WaitPlace,
        None if attempt.reason.contains("be resolved") => Reason::WaitName,
        None if attempt.reason.contains("not connect") => Reason::WaitConnect,
        None if attempt.reason.starts_with("TLS") => Reason::WaitTls,
        None if attempt.reason.contains("in time") => Reason::WaitTimeout,
        None => Reason::WaitReset,
    };
    reason.code()
}

/// Returns why mappings refused an event, from the form that rejects store.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub(in crate::admin::api) struct StoredRefusal {
    pub(super) mapping: String,
    pub(super) field: String,
    pub(in crate::admin::api) reason: String,
    pub(super) code: String,
}

pub(in crate::admin::api) fn refusals(reasons: &str) -> Vec<StoredRefusal> {
    serde_json::from_str(reasons).unwrap_or_default()
}
