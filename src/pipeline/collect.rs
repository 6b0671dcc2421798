//! Collects what the items of one body became, for the outbox to store in one commit.

use std::cell::OnceCell;
use std::sync::Arc;

use bytes::Bytes;

use super::original::KeyRemover;
use super::{Pipeline, Planned, PlannedItems};
use crate::accoil::{Plan, Refusal};
use crate::decode::{EventType, Shared};
use crate::event::{DecodeResult, Item};
use crate::event_id::EventId;
use crate::facts::{Accepted, Reject, SkippedEvent, Submission, Title};
use crate::json::Value;

/// A submission that is being filled.
pub struct Collector<'a> {
    body: &'a Bytes,
    keys: KeyRemover<'a>,
    shared: Shared<'a>,
    /// Made for the first reject of a batch and shared with the others.
    envelope: OnceCell<Option<Arc<str>>>,
    submission: Submission,
    is_recorded: bool,
}

impl<'a> Collector<'a> {
    /// `items` must come from this body. The submission shares the body's bytes. If `is_recorded`, it contains what only the
    /// history needs.
    pub fn new(
        pipeline: &Pipeline<'a>,
        body: &'a Bytes,
        items: &PlannedItems<'a>,
        is_recorded: bool,
    ) -> Self {
        let source = pipeline.source;
        Self {
            body,
            keys: KeyRemover::new(source.write_key.as_ref(), body),
            shared: items.shared(),
            envelope: OnceCell::new(),
            is_recorded,
            submission: Submission {
                source: Arc::clone(&source.name),
                form: pipeline.form,
                received_at: pipeline.received_at,
                deduplication_window: source.deduplication_window,
                accepted: Vec::with_capacity(items.len()),
                rejects: Vec::new(),
                skipped: Vec::new(),
                envelope: None,
                mappings: source.mappings_version,
            },
        }
    }

    /// Adds one event: its calls, a reject if a mapping refused it, or why it is skipped.
    pub fn add(&mut self, event: EventId, Planned { item, plan }: Planned<'a>) {
        let original = self.keys.remove(share(self.body, item.original));
        if let Some(reason) = plan.skipped {
            let message_id = item.message_id;
            self.submission.skipped.push(SkippedEvent { event, original, message_id, reason });
            return;
        }
        if let Some(first) = plan.rejected.first() {
            let envelope = self.envelope.get_or_init(|| self.shared.to_json().map(Arc::from));
            self.submission.rejects.push(Reject {
                event,
                original: original.clone(),
                envelope: envelope.clone(),
                reasons: Refusal::to_json(&plan.rejected),
                code: first.code,
                refused_by: plan.refused_by,
            });
        }
        if !plan.requests.is_empty() {
            let Plan { requests, warned, .. } = plan;
            let title = if self.is_recorded { title(&item) } else { None };
            let message_id = item.message_id;
            self.submission.accepted.push(Accepted { event, original, message_id, requests, warned, title });
        }
    }

    /// Returns everything that was added.
    pub fn finish(mut self) -> Submission {
        if self.is_recorded {
            let envelope = self.envelope.get_or_init(|| self.shared.to_json().map(Arc::from));
            self.submission.envelope.clone_from(envelope);
        }
        self.submission
    }
}

/// Returns a submission with one reject, for a body that cannot be read at all. The reject keeps the beginning of the body.
pub fn unreadable(pipeline: &Pipeline<'_>, body: &Bytes, event: EventId, refusal: Refusal) -> Submission {
    let source = pipeline.source;
    let original = KeyRemover::new(source.write_key.as_ref(), body).remove(body.clone());
    let code = refusal.code;
    let reasons = Refusal::to_json(&[refusal]);
    Submission {
        source: Arc::clone(&source.name),
        form: pipeline.form,
        received_at: pipeline.received_at,
        deduplication_window: source.deduplication_window,
        accepted: Vec::new(),
        rejects: vec![Reject { event, original, envelope: None, reasons, code, refused_by: Vec::new() }],
        skipped: Vec::new(),
        envelope: None,
        mappings: source.mappings_version,
    }
}

/// Returns the part of the body as shared bytes, without copying.
fn share(body: &Bytes, part: &str) -> Bytes {
    let start = part.as_ptr().addr().wrapping_sub(body.as_ptr().addr());
    match start.checked_add(part.len()) {
        Some(end) if end <= body.len() => body.slice(start..end),
        _ => Bytes::copy_from_slice(part.as_bytes()),
    }
}

/// Returns the title of the item's own event. The events before it are derived from it.
pub(crate) fn title(item: &Item<'_>) -> Option<Title> {
    let DecodeResult::Events(events) = &item.outcome else { return None };
    let event = &events.last()?.value;
    let text = |key| event.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = EventType::named(text("type"))?;
    let names = match kind {
        EventType::Track => [text("event"), ""],
        EventType::Page | EventType::Screen => [text("name"), text("category")],
        EventType::Identify | EventType::Group | EventType::Alias => ["", ""],
    };
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or(kind.name());
    let message_id = text("messageId");
    let message_id = if item.message_id.as_deref() == Some(message_id) { "" } else { message_id };
    Some(Title::new(kind.name(), [name, group(event), message_id]))
}

fn group<'e>(event: &'e Value<'_>) -> &'e str {
    let named = |object: &'e Value<'_>| object.get("groupId")?.as_str().filter(|id| !id.is_empty());
    let context = event.get("context");
    // An Amplitude event without group properties keeps the groups as they came: `{"account": ["a1"]}`.
    let first = || {
        let (_, ids) = context?.get("groups")?.as_object()?.iter().next()?;
        ids.as_array().map_or(Some(ids), |ids| ids.first())?.as_str()
    };
    named(event).or_else(|| named(context?)).or_else(first).unwrap_or_default()
}
