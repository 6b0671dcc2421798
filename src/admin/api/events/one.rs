//! `GET /api/events/{id}`: everything that is known of one event: what became of it, why, and what to do.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::judge;
use super::known::KnownEvent;
use super::line::{self, EventLine};
use super::suggestion;
use crate::admin::Admin;
use crate::admin::api::destinations;
use crate::admin::api::shared::{AttemptView, ReasonView};
use crate::admin::api::waiting::BehindView;
use crate::admin::guard::Access;
use crate::history::{Line, Outcome, RecordedEvent, Redactor, Status};
use crate::outbox::{DeadLetter, WaitingCall, WaitingFor};
use crate::reasons::Reason;

/// Everything about one event.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventView {
    /// The event in one line.
    #[serde(flatten)]
    pub line: EventLine,
    /// Why it was skipped, rejected, delayed or not delivered; none if it was delivered.
    pub reason: Option<ReasonView>,
    /// What happened to this event.
    pub happened: String,
    /// What to do now; empty if there is nothing to do.
    pub to_do: String,
    /// Why mappings refused it.
    pub refusals: Vec<RefusalView>,
    /// Its calls, in the order in which they are sent.
    pub calls: Vec<CallView>,
    /// The event that was accepted before with the same message id, if this one is a duplicate.
    pub first: Option<String>,
    /// Later duplicates of it.
    pub copies: Vec<String>,
    /// How often it was replayed.
    pub replays: usize,
    /// The version of the mappings that were in force when it came, if the history has it.
    pub mappings_version: Option<String>,
    /// Whether the history has the event. If not, only its waiting calls and failures are known.
    pub is_recorded: bool,
    /// The event as it was received; none if it is not kept, or if this token may not see it.
    pub original: Option<Value>,
    /// The members of its batch that apply to all events.
    pub envelope: Option<Value>,
}

/// Why one mapping, or the relay itself, refused the event.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusalView {
    /// The number of the reject, by which it is replayed or purged; none if that was done.
    pub reject: Option<i64>,
    /// Empty if the event could not be read at all.
    pub mapping: String,
    pub field: String,
    /// What is wrong with the field.
    pub text: String,
    pub reason: Option<ReasonView>,
    /// Where else in the event such a value is found.
    pub suggestion: Option<String>,
}

/// One call that the event became.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallView {
    pub destination: String,
    pub mapping: String,
    pub action: String,
    pub path: String,
    /// `accepted`, `delivered`, `held`, `waiting` or `dead`.
    pub status: String,
    pub reason: Option<ReasonView>,
    /// What was left out or converted; usually empty.
    pub warnings: String,
    /// Another event implies it, so it is sent only if its content is new.
    pub is_derived: bool,
    /// A replay made it.
    pub is_replay: bool,
    pub attempts: Vec<AttemptView>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// The earlier call of the same user that must be finished first.
    pub behind: Option<BehindView>,
    /// Its id in `/api/waiting`, while it waits.
    pub waiting: Option<String>,
    /// The number of the dead letter, if it is one.
    pub dead_letter: Option<i64>,
    /// The body that is sent; none if it is not kept, or if this token may not see it.
    pub body: Option<Value>,
}

/// Returns `None` if nothing is known of the event.
pub(super) fn view(admin: &Admin, access: Access, known: &KnownEvent) -> Option<EventView> {
    let mut calls = Vec::new();
    let records = known.history.as_ref().map(|event| event.records.as_slice()).unwrap_or_default();
    for record in records {
        calls.extend((0..record.line.shape.calls.len()).map(|index| recorded_call(record, index)));
    }
    for call in &known.waiting {
        let waits = waiting_call(admin, call);
        match open(&mut calls, &waits) {
            // The history has the attempts that it received; the outbox has all of them.
            Some(found) => {
                *found = CallView { is_derived: found.is_derived, is_replay: found.is_replay, ..waits }
            }
            None => calls.push(waits),
        }
    }
    for letter in &known.letters {
        let dead = dead_call(letter);
        match open(&mut calls, &dead) {
            Some(found) => {
                *found = CallView { is_derived: found.is_derived, is_replay: found.is_replay, ..dead }
            }
            None => calls.push(dead),
        }
    }
    let mut event = EventView {
        line: first_line(known, admin.redactor())?,
        reason: None,
        happened: String::new(),
        to_do: String::new(),
        refusals: refusals(known),
        calls,
        first: known.history.as_ref().and_then(|event| event.first).map(|id| id.to_string()),
        copies: known.history.iter().flat_map(|event| &event.copies).map(ToString::to_string).collect(),
        replays: records.iter().filter(|record| record.line.is_replay).count(),
        mappings_version: records
            .first()
            .map(|record| record.line.shape.mappings)
            .filter(|version| *version != 0)
            .map(|version| format!("{version:016x}")),
        is_recorded: !records.is_empty(),
        original: None,
        envelope: None,
    };
    add_payload(admin, &mut event, known);
    if !access.sees_payloads() {
        event.original = None;
        event.envelope = None;
        event.calls.iter_mut().for_each(|call| call.body = None);
        event.refusals.iter_mut().for_each(|refusal| refusal.suggestion = None);
    }
    // Last, because what to do repeats the suggestions that are left.
    judge::judge(&mut event, known);
    Some(event)
}

fn first_line(known: &KnownEvent, redactor: &Redactor) -> Option<EventLine> {
    if let Some(event) = &known.history {
        let mut line = EventLine::from(&event.records.first()?.line);
        // The event's outcome is that of its last replay.
        if let Some(last) = event.records.last().map(|record| EventLine::from(&record.line))
            && event.records.len() > 1
        {
            (line.status, line.code, line.outcome) = (last.status, last.code, last.outcome);
        }
        return Some(line);
    }
    let waiting = known.waiting.first().map(|call| EventLine::of_waiting(call, redactor));
    let dead = known.letters.first().map(|letter| EventLine::of_dead_letter(letter, redactor));
    let rejected = || known.rejects.first().map(|reject| EventLine::of_reject(reject, redactor));
    waiting.or(dead).or_else(rejected)
}

fn recorded_call(record: &RecordedEvent, index: usize) -> CallView {
    let Line { shape, attempts, is_replay, .. } = &record.line;
    let call = shape.calls.get(index);
    let text = |text: fn(&crate::history::Call) -> &str| call.map(text).unwrap_or_default().to_owned();
    let last = record.line.last_attempt(index);
    let outcome = last.map(|attempt| attempt.ending.outcome);
    let made = attempts.iter().filter(|attempt| usize::from(attempt.call) == index && attempt.number > 0);
    CallView {
        destination: text(|call| &call.destination),
        mapping: text(|call| &call.mapping),
        action: text(|call| &call.action),
        path: text(|call| &call.path),
        status: status(outcome).name().to_owned(),
        reason: match outcome {
            Some(Outcome::Held) => Some(Reason::Held.into()),
            Some(Outcome::Behind) => Some(Reason::WaitBehind.into()),
            _ => last.and_then(|attempt| ReasonView::of_code(&attempt.ending.reason)),
        },
        warnings: text(|call| &call.warnings),
        is_derived: call.is_some_and(|call| call.is_derived),
        is_replay: *is_replay,
        attempts: made.map(attempt).collect(),
        next_attempt_at: None,
        behind: None,
        waiting: None,
        dead_letter: None,
        body: record.payload.as_ref().and_then(|payload| payload.bodies.get(index)).map(|body| json(body)),
    }
}

const fn status(outcome: Option<Outcome>) -> Status {
    match outcome {
        None => Status::Accepted,
        Some(Outcome::Delivered) => Status::Delivered,
        Some(Outcome::Held) => Status::Held,
        Some(Outcome::Waits | Outcome::Behind) => Status::Waiting,
        Some(Outcome::Dead) => Status::Dead,
    }
}

fn attempt(attempt: &crate::history::Attempt) -> AttemptView {
    let ending = &attempt.ending;
    AttemptView {
        at: DateTime::from_timestamp_millis(attempt.at).unwrap_or_default(),
        status: (ending.status != 0).then_some(ending.status),
        reason: ending.text.clone(),
        took_ms: Some(attempt.took_us / 1000),
    }
}

fn waiting_call(admin: &Admin, call: &WaitingCall) -> CallView {
    let job = &call.job;
    let reason = match call.waiting_for {
        WaitingFor::Earlier => Some(Reason::WaitBehind),
        _ => destinations::wait_of(admin, job.destination.as_str())
            .or_else(|| call.attempts.last().and_then(|last| Reason::of_code(line::wait_code(last)))),
    };
    CallView {
        destination: job.destination.as_str().to_owned(),
        mapping: job.mapping.as_str().to_owned(),
        action: job.action.as_str().to_owned(),
        path: job.path.as_str().to_owned(),
        status: Status::Waiting.name().to_owned(),
        reason: reason.map(ReasonView::from),
        warnings: job.warnings.as_str().to_owned(),
        is_derived: !job.fingerprints.is_empty(),
        is_replay: false,
        attempts: call.attempts.iter().map(AttemptView::from).collect(),
        next_attempt_at: call.next_attempt_at,
        behind: call.behind.map(|(id, event)| BehindView { id: id.to_string(), event_id: event.to_string() }),
        waiting: Some(call.id.to_string()),
        dead_letter: None,
        body: Some(json(&String::from_utf8_lossy(&job.body))),
    }
}

fn dead_call(letter: &DeadLetter) -> CallView {
    CallView {
        destination: letter.destination.clone(),
        mapping: letter.mapping.clone(),
        action: letter.action.clone(),
        path: letter.path.clone(),
        status: Status::Dead.name().to_owned(),
        reason: Some(ReasonView::of_code(&letter.code).unwrap_or_else(|| Reason::DeadRefused.into())),
        warnings: letter.warnings.clone(),
        is_derived: !letter.fingerprints.is_empty(),
        is_replay: false,
        attempts: letter.attempts.iter().map(AttemptView::from).collect(),
        next_attempt_at: None,
        behind: None,
        waiting: None,
        dead_letter: Some(letter.id),
        body: Some(json(&String::from_utf8_lossy(&letter.body))),
    }
}

/// Returns the last recorded call that may be this one: it has the same destination and mapping, and is not finished.
fn open<'c>(calls: &'c mut [CallView], call: &CallView) -> Option<&'c mut CallView> {
    calls.iter_mut().rev().find(|known| {
        known.waiting.is_none()
            && known.dead_letter.is_none()
            && !["delivered", "held"].contains(&known.status.as_str())
            && (&known.destination, &known.mapping, &known.path)
                == (&call.destination, &call.mapping, &call.path)
    })
}

fn refusals(known: &KnownEvent) -> Vec<RefusalView> {
    let kept = known.rejects.iter().rev().flat_map(|reject| {
        line::refusals(&reject.reasons).into_iter().map(|one| RefusalView {
            reject: Some(reject.id),
            reason: ReasonView::of_code(&one.code),
            mapping: one.mapping,
            field: one.field,
            text: one.reason,
            suggestion: None,
        })
    });
    let kept: Vec<RefusalView> = kept.collect();
    if !kept.is_empty() {
        return kept;
    }
    let recorded = known.history.iter().flat_map(|event| &event.records).next();
    let refusals = recorded.into_iter().flat_map(|record| &record.line.shape.refusals);
    let recorded = refusals.map(|one| RefusalView {
        reject: None,
        mapping: one.mapping.clone(),
        field: one.field.clone(),
        text: one.reason.clone(),
        reason: ReasonView::of_code(&one.code),
        suggestion: None,
    });
    recorded.collect()
}

/// Adds what was received and hides what the configuration hides.
fn add_payload(admin: &Admin, event: &mut EventView, known: &KnownEvent) {
    let recorded =
        known.history.iter().flat_map(|event| &event.records).find_map(|record| record.payload.as_ref());
    let reject = || known.rejects.first().map(|one| (text(&one.original), one.envelope.clone()));
    let letter = || known.letters.first().map(|one| (text(&one.original), None));
    let waiting = || known.waiting.first().map(|one| (text(&one.job.original), None));
    let found = match recorded {
        Some(payload) => {
            Some((payload.original.to_string(), payload.envelope.as_deref().map(ToOwned::to_owned)))
        }
        None => reject().or_else(letter).or_else(waiting),
    };
    let Some((original, envelope)) = found else { return };
    let redactor = admin.redactor();
    let bodies: Vec<String> =
        event.calls.iter().filter_map(|call| call.body.as_ref()).map(Value::to_string).collect();
    // The history hides its copy already, so the values are found in the outbox's copies.
    let stored = known.waiting.iter().flat_map(|call| [text(&call.job.original), text(&call.job.body)]);
    let stored = stored.chain(known.letters.iter().map(|letter| text(&letter.original)));
    let stored: Vec<String> =
        stored.chain(known.rejects.iter().map(|reject| text(&reject.original))).collect();
    let texts = bodies.iter().chain(&stored).map(String::as_str).chain([original.as_str()]);
    let values = redactor.find(texts.chain(envelope.as_deref()));
    let shown =
        |text: &str| redactor.hidden(text, &values).map_or_else(|| json(text), |hidden| json(&hidden));
    event.original = Some(shown(&original));
    event.envelope = envelope.as_deref().map(shown);
    for call in &mut event.calls {
        call.body = call.body.take().map(|body| shown(&body.to_string()));
        for attempt in &mut call.attempts {
            values.hide_in(&mut attempt.reason);
        }
    }
    let shown_original = event.original.clone().unwrap_or_default();
    for refusal in &mut event.refusals {
        values.hide_in(&mut refusal.text);
        let is_missing = refusal.reason.as_ref().is_some_and(|reason| {
            [Reason::RejectMissing, Reason::RejectNoUser].iter().any(|missing| missing.code() == reason.code)
        });
        if is_missing && !refusal.field.is_empty() {
            refusal.suggestion = suggestion::find(&shown_original, &refusal.field);
        }
    }
    values.hide_in(&mut event.line.outcome);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// JSON as it is, anything else as a text.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}
