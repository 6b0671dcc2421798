//! What a stored event becomes when it is replayed. A dry run and the real replay use the same code.

mod past;

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::How;
use super::past::{Missing, Past};
use crate::accoil::{Refusal, Request};
use crate::config::Limits;
use crate::decode::{self, EventType, Form};
use crate::event::SourceKind;
use crate::event_id::EventId;
use crate::outbox::{Accepted, DeadLetter, Reject, StoredReject, Submission};
use crate::pipeline::{Pipeline, Planned, Source, Sources};

/// The most characters of the reasons that an error repeats.
const MAX_REASONS: usize = 500;

/// A stored event to replay.
pub(super) enum SelectedEvent {
    Reject(StoredReject),
    DeadLetter(DeadLetter),
    Past(Box<Past>),
}

impl SelectedEvent {
    /// Returns the number of the dead letter or reject.
    pub(super) const fn number(&self) -> Option<i64> {
        match self {
            Self::Reject(reject) => Some(reject.id),
            Self::DeadLetter(letter) => Some(letter.id),
            Self::Past(_) => None,
        }
    }

    /// Returns the cursor of a job that has handled this one.
    pub(super) const fn cursor(&self) -> i64 {
        match self {
            Self::Reject(reject) => reject.id,
            Self::DeadLetter(letter) => letter.id,
            Self::Past(past) => past.id.0.cast_signed(),
        }
    }

    pub(super) const fn event(&self) -> EventId {
        match self {
            Self::Reject(reject) => reject.event,
            Self::DeadLetter(letter) => letter.event,
            Self::Past(past) => past.id,
        }
    }

    const fn is_damaged(&self) -> bool {
        match self {
            Self::Reject(reject) => reject.is_damaged,
            Self::DeadLetter(letter) => letter.is_damaged,
            Self::Past(_) => false,
        }
    }

    /// Returns what became of it before.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Reject(reject) => serde_json::from_str(&reject.reasons).unwrap_or_default(),
            Self::DeadLetter(letter) => call(&letter.mapping, &letter.path, &letter.body),
            Self::Past(past) => past.to_json(),
        }
    }
}

/// What the event becomes now.
pub(super) enum ReplayResult {
    /// The call of a dead letter, unchanged.
    AsSent,
    /// Calls through the mappings in force. `is_same`: the only call equals the one that failed.
    New { submission: Box<Submission>, is_same: bool },
    /// Nothing: it would be refused or skipped again, so it stays.
    Refused(String),
    /// Nothing: its source, form or mapping no longer exists, so it stays.
    Gone(String),
    /// Nothing: what would be sent is not kept.
    Missing(Missing),
}

impl ReplayResult {
    pub(super) const fn is_same(&self) -> bool {
        matches!(self, Self::AsSent | Self::New { is_same: true, .. })
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::AsSent => Value::Null,
            Self::New { submission, .. } => {
                let requests = submission.accepted.iter().flat_map(|event| &event.requests);
                requests.map(|request| call(&request.mapping, request.path, &request.body)).collect()
            }
            Self::Refused(reason) | Self::Gone(reason) => json!({ "reason": reason }),
            Self::Missing(missing) => json!({ "reason": missing.describe() }),
        }
    }
}

fn call(mapping: &str, path: &str, body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    json!({"mapping": mapping, "path": path, "body": body})
}

/// Makes calls of stored events, with the sources and mappings in force.
pub(super) struct ReplayPlanner {
    sources: Arc<Sources>,
    limits: decode::Limits,
    how: How,
    /// The mappings to use; empty: those at which the event failed.
    mappings: HashSet<String>,
}

impl ReplayPlanner {
    pub(super) fn new(sources: Arc<Sources>, limits: &Limits, how: How, mappings: Vec<String>) -> Self {
        let event_bytes = limits.amplitude_batch_bytes.max(limits.webhook_bytes);
        let limits = decode::Limits { event_bytes, events: 1, depth: limits.json_depth };
        Self { sources, limits, how, mappings: mappings.into_iter().collect() }
    }

    pub(super) fn make(&self, found: &SelectedEvent) -> ReplayResult {
        if found.is_damaged() {
            return ReplayResult::Refused(super::damaged());
        }
        match (found, self.how) {
            (SelectedEvent::DeadLetter(letter), How::AsSent) if self.has_destination(&letter.destination) => {
                ReplayResult::AsSent
            }
            (SelectedEvent::DeadLetter(_), How::AsSent) => {
                ReplayResult::Gone("its destination is no longer configured".to_owned())
            }
            (SelectedEvent::DeadLetter(letter), How::Mappings) => self.make_letter(letter),
            (SelectedEvent::Reject(reject), _) => self.make_reject(reject),
            (SelectedEvent::Past(past), how) => self.make_past(past, how),
        }
    }

    fn has_destination(&self, name: &str) -> bool {
        self.sources.destinations().iter().any(|destination| *destination.name == *name)
    }

    /// Returns the destinations that may get calls of these events.
    pub(super) fn destinations(&self, found: &[SelectedEvent]) -> HashSet<String> {
        let of_source = |source: &str| -> Vec<String> {
            let source = self.sources.named(source);
            let destinations = source.map(|source| &source.destinations[..]).unwrap_or_default();
            destinations.iter().map(|destination| destination.name.to_string()).collect()
        };
        let of = |found: &SelectedEvent| match found {
            SelectedEvent::DeadLetter(letter) => vec![letter.destination.clone()],
            SelectedEvent::Reject(reject) => of_source(&reject.source),
            SelectedEvent::Past(past) if self.how == How::AsSent => past.destinations(),
            SelectedEvent::Past(past) => of_source(&past.source),
        };
        found.iter().flat_map(of).collect()
    }

    fn make_letter(&self, letter: &DeadLetter) -> ReplayResult {
        let Some(source) = self.sources.named(&letter.source) else {
            return ReplayResult::Gone("its source is no longer configured".to_owned());
        };
        let Ok(original) = std::str::from_utf8(&letter.original) else {
            return ReplayResult::Gone("it is not UTF-8".to_owned());
        };
        if !source.destinations.iter().any(|destination| *destination.name == *letter.destination) {
            return ReplayResult::Gone("its source no longer sends to its destination".to_owned());
        }
        let form = form_of(letter, source.kind);
        let Planned { plan, .. } = self.pipeline(source, form, letter).plan_item(original, None);
        let is_meant = |destination: &str, mapping: &str| {
            destination == letter.destination
                && if self.mappings.is_empty() {
                    mapping == letter.mapping
                } else {
                    self.mappings.contains(mapping)
                }
        };
        let requests: Vec<Request> = plan
            .requests
            .into_iter()
            .filter(|request| is_meant(&request.destination, &request.mapping))
            .collect();
        if requests.is_empty() {
            return match plan.skipped {
                _ if !plan.rejected.is_empty() => ReplayResult::Refused(describe(&plan.rejected)),
                Some(why) => ReplayResult::Refused(format!("nothing would be sent: {why}")),
                None => ReplayResult::Gone("its mapping is gone or no longer matches it".to_owned()),
            };
        }
        let is_same =
            matches!(&requests[..], [only] if *only.path == *letter.path && only.body == letter.body);
        let accepted = Accepted {
            event: letter.event,
            original: Bytes::from(letter.original.clone()),
            // The event's id was remembered when it was accepted, and must not make it a duplicate now.
            message_id: None,
            requests,
            warned: plan.warned,
            title: None,
        };
        let submission = submission(source, form, letter.event, vec![accepted], Vec::new());
        ReplayResult::New { submission: Box::new(submission), is_same }
    }

    fn pipeline<'s>(&self, source: &'s Source, form: Form, letter: &DeadLetter) -> Pipeline<'s> {
        let received_at = if letter.event.has_time() { letter.event.time() } else { letter.at };
        Pipeline { source, form, limits: self.limits, received_at, is_text_repaired: false }
    }

    /// Uses only the mappings that refused the event before: the calls of the others were made.
    fn make_reject(&self, reject: &StoredReject) -> ReplayResult {
        let Some(source) = self.sources.named(&reject.source) else {
            return ReplayResult::Gone("its source is no longer configured".to_owned());
        };
        let Some(form) = Form::named(&reject.form) else {
            return ReplayResult::Gone(
                "this version does not know the form that it was posted in".to_owned(),
            );
        };
        let Ok(original) = std::str::from_utf8(&reject.original) else {
            return ReplayResult::Refused("it is not UTF-8".to_owned());
        };
        let (limits, received_at) = (self.limits, reject.at);
        let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired: false };
        let Planned { item, mut plan } = pipeline.plan_item(original, reject.envelope.as_deref());
        let refused = refused_by(reject);
        let is_whole = refused.contains("");
        let is_meant = |mapping: &str| {
            (is_whole || mapping.is_empty() || refused.contains(mapping))
                && (self.mappings.is_empty() || mapping.is_empty() || self.mappings.contains(mapping))
        };
        plan.requests.retain(|request| is_meant(&request.mapping));
        plan.rejected.retain(|refusal| is_meant(&refusal.mapping));
        if plan.requests.is_empty() {
            return match plan.skipped {
                _ if !plan.rejected.is_empty() => {
                    ReplayResult::Refused(format!("still refused: {}", describe(&plan.rejected)))
                }
                Some(why) => ReplayResult::Refused(format!("nothing would be sent: {why}")),
                None => ReplayResult::Gone(
                    "nothing would be sent: the mappings that refused it were removed or no longer match it"
                        .to_owned(),
                ),
            };
        }
        let original = Bytes::from(reject.original.clone());
        let again = plan.rejected.first().map(|first| Reject {
            event: reject.event,
            original: original.clone(),
            envelope: reject.envelope.as_deref().map(Arc::from),
            reasons: Refusal::to_json(&plan.rejected),
            code: first.code,
            refused_by: plan.refused_by,
        });
        // If other mappings accepted the event, its id is known and must not make the rest of it a duplicate.
        let message_id = item.message_id.filter(|_| is_whole);
        let (requests, warned) = (plan.requests, plan.warned);
        let accepted = Accepted { event: reject.event, original, message_id, requests, warned, title: None };
        let mut submission =
            submission(source, form, reject.event, vec![accepted], again.into_iter().collect());
        submission.received_at = reject.at;
        submission.envelope = reject.envelope.as_deref().map(Arc::from);
        ReplayResult::New { submission: Box::new(submission), is_same: false }
    }
}

pub(super) fn submission(
    source: &Source,
    form: Form,
    event: EventId,
    accepted: Vec<Accepted>,
    rejects: Vec<Reject>,
) -> Submission {
    Submission {
        source: source.name.clone(),
        form,
        received_at: event.time(),
        deduplication_window: source.deduplication_window,
        accepted,
        rejects,
        skipped: Vec::new(),
        envelope: None,
        mappings: source.mappings_version,
    }
}

/// Returns the form of a dead letter's event, which is not stored: it is found from the event's members, or else from its call.
fn form_of(letter: &DeadLetter, kind: SourceKind) -> Form {
    let event: Value = serde_json::from_slice(&letter.original).unwrap_or_default();
    let has = |member: &str| event.get(member).is_some();
    match kind {
        SourceKind::Amplitude if has("event_type") => Form::AmplitudeUpload,
        SourceKind::Amplitude if has("group_type") => Form::AmplitudeGroupIdentify,
        SourceKind::Amplitude => Form::AmplitudeIdentify,
        // The wrapper of a webhook and the item of a batch contain the type.
        SourceKind::Segment if has("json") => Form::SegmentWebhook,
        SourceKind::Segment if has("type") => Form::SegmentBatch,
        SourceKind::Segment => Form::SegmentCall(match letter.action.as_str() {
            "identify" => EventType::Identify,
            "group" => EventType::Group,
            "page" => EventType::Page,
            "screen" => EventType::Screen,
            _ => EventType::Track,
        }),
    }
}

fn describe(refusals: &[Refusal]) -> String {
    let one = |refusal: &Refusal| {
        let parts = [&*refusal.mapping, &refusal.field, &refusal.reason];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    let text = refusals.iter().map(one).collect::<Vec<_>>().join("; ");
    text.chars().take(MAX_REASONS).collect()
}

/// Returns the mappings named in its reasons; an empty name means the event as a whole.
fn refused_by(reject: &StoredReject) -> HashSet<String> {
    let reasons: Vec<Value> = serde_json::from_str(&reject.reasons).unwrap_or_default();
    let mapping =
        |reason: &Value| reason.get("mapping").and_then(Value::as_str).unwrap_or_default().to_owned();
    reasons.iter().map(mapping).collect()
}
