//! Turns the events of a post into lines in memory.

use std::sync::Arc;
use std::time::Instant;

use super::block::Payload;
use super::budget::Budget;
use super::buffer::{BLOCK_BYTES, Buffer, BufferedEvent};
use super::fields::Fields;
use super::line::{Line, Refusal};
use super::options::Payloads;
use super::parts::ShapeParts;
use super::redact::{HiddenValues, Redactor};
use crate::accoil::Request;
use crate::decode::Form;
use crate::event_id::EventId;
use crate::facts::{Accepted, MAX_BYTES, Received, Reject, SkippedEvent, Submission, cut};

/// Bytes of a refusal's text that are kept.
const MAX_REASON: usize = 512;
const MAX_REFUSALS: usize = 20;

/// How posts become lines: which payloads are kept and what is hidden.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) payloads: Payloads,
    pub(super) redactor: Redactor,
    /// The key by which user ids are hashed.
    pub(super) user_key: [u8; 16],
    /// Whether lines show a hash instead of each user id.
    pub(super) hash_users: bool,
    pub(super) budget: Budget,
}

/// What the post contains about one event.
#[derive(Default)]
struct Known {
    accepted: Option<Accepted>,
    is_duplicate: bool,
    reject: Option<Reject>,
    skipped: Option<SkippedEvent>,
}

/// The values that all events of a post share.
struct Post {
    source: Arc<str>,
    form: Form,
    form_name: Arc<str>,
    received_at: i64,
    envelope: Option<Arc<str>>,
    mappings: u64,
    is_replay: bool,
    has_payloads: bool,
    now: Instant,
}

impl Intake {
    /// Adds the lines of a post.
    pub(super) fn take(&mut self, received: Received, has_payloads: bool, now: Instant, buffer: &mut Buffer) {
        let Received { submission, duplicates, is_replay } = received;
        let Submission { source, form, received_at, accepted, rejects, skipped, envelope, mappings, .. } =
            submission;
        let post = Post {
            source,
            form,
            form_name: Arc::from(form.name()),
            received_at: received_at.timestamp_millis(),
            envelope,
            mappings,
            is_replay,
            has_payloads,
            now,
        };
        // Each list is sorted by event id.
        let mut duplicates = duplicates.into_iter().peekable();
        let mut accepted = (0_u32..).zip(accepted).peekable();
        let mut rejects = rejects.into_iter().peekable();
        let mut skipped = skipped.into_iter().peekable();
        loop {
            let next = [
                accepted.peek().map(|(_, event)| event.event),
                rejects.peek().map(|reject| reject.event),
                skipped.peek().map(|event| event.event),
            ];
            let Some(id) = next.into_iter().flatten().min() else { break };
            let mut known = Known::default();
            if let Some((index, event)) = accepted.next_if(|(_, event)| event.event == id) {
                known.is_duplicate = duplicates.next_if_eq(&index).is_some();
                known.accepted = Some(event);
            }
            known.reject = rejects.next_if(|reject| reject.event == id);
            known.skipped = skipped.next_if(|event| event.event == id);
            let buffered = self.buffered(id, known, &post, buffer);
            buffer.push(buffered);
        }
    }

    fn buffered(&mut self, id: EventId, known: Known, post: &Post, buffer: &mut Buffer) -> BufferedEvent {
        let Known { mut accepted, is_duplicate, reject, skipped } = known;
        let original = accepted.as_ref().map(|event| &event.original);
        let original = original.or(reject.as_ref().map(|reject| &reject.original));
        let original =
            original.or(skipped.as_ref().map(|event| &event.original)).cloned().unwrap_or_default();
        let title = accepted.as_mut().and_then(|event| event.title.take());
        let fields = title.as_ref().map_or_else(|| Fields::of(&original, post.form), Fields::from);
        let refusals = reject.as_ref().map(refusals).unwrap_or_default();
        let envelope = reject.and_then(|reject| reject.envelope).or_else(|| post.envelope.clone());
        let skip_code = skipped.as_ref().map_or("", |event| event.reason.code());
        let sender_id = accepted.as_ref().and_then(|event| event.message_id.as_deref());
        let sender_id = sender_id.or(skipped.as_ref().and_then(|event| event.message_id.as_deref()));
        let message_id = match &*fields.message_id {
            "" => cut(sender_id.unwrap_or_default(), MAX_BYTES).to_owned(),
            id => id.to_owned(),
        };
        let mut requests = accepted.map(|event| event.requests).unwrap_or_default();
        // The event's own call is the last one; those before it are derived.
        let user = requests.last().map(|request| cut(&request.user, MAX_BYTES));
        let mut user = user.unwrap_or(&fields.user).to_owned();
        let is_kept = self.is_kept(&original, &requests, post);
        let bodies = requests.iter_mut().map(|request| std::mem::take(&mut request.body));
        // During a flood, most events are beyond the budget: nothing of them is copied.
        let bodies: Vec<Box<str>> =
            if is_kept || !self.redactor.is_off() { bodies.map(text).collect() } else { Vec::new() };
        let hidden = self.hidden(&original, &bodies, envelope.as_deref());
        let name = hidden.hidden_in(&fields.name);
        let parts = ShapeParts {
            source: &post.source,
            form: &post.form_name,
            kind: &fields.kind,
            name: name.as_deref().unwrap_or(&fields.name),
            mappings: post.mappings,
            skipped: skip_code,
            refusals: &refusals,
            requests: &requests,
        };
        let shape = buffer.shape(&parts);
        let mut group = fields.group.into_owned();
        let mut message_id = message_id;
        for text in [&mut message_id, &mut group] {
            if let Some(hidden) = hidden.hidden_in(text) {
                *text = hidden;
            }
        }
        // A hidden user id, usually an email address, can still be searched by its hash.
        if !user.is_empty() && (self.hash_users || hidden.is_value(&user)) {
            user = super::hashed(&self.user_key, &user);
        }
        let payload = is_kept.then(|| self.payload(&original, envelope, bodies));
        let line = Line {
            id,
            received_at: post.received_at,
            user,
            message_id,
            group,
            is_duplicate,
            is_replay: post.is_replay,
            has_payload: payload.is_some(),
            shape,
            attempts: Vec::new(),
        };
        BufferedEvent { line, payload, hidden, since: post.now }
    }

    /// Returns the values that must be hidden in the event.
    fn hidden(&self, original: &[u8], bodies: &[Box<str>], envelope: Option<&str>) -> HiddenValues {
        if self.redactor.is_off() {
            return HiddenValues::default();
        }
        let original = String::from_utf8_lossy(original);
        let bodies = bodies.iter().map(|body| &**body);
        self.redactor.find(bodies.chain([&*original]).chain(envelope))
    }

    /// Returns whether the payload is kept, within the budget.
    fn is_kept(&mut self, original: &[u8], requests: &[Request], post: &Post) -> bool {
        if self.payloads == Payloads::None || !post.has_payloads || original.is_empty() {
            return false;
        }
        let size = original.len() + requests.iter().map(|request| request.body.len()).sum::<usize>();
        size <= BLOCK_BYTES && self.budget.allow(size, post.now)
    }

    fn payload(&self, original: &[u8], envelope: Option<Arc<str>>, bodies: Vec<Box<str>>) -> Payload {
        // Copied, because it is a part of a body that is as large as the whole post.
        let original = String::from_utf8_lossy(original).into();
        let mut payload = Payload { original, envelope, bodies };
        if self.payloads == Payloads::Redacted {
            self.redactor.hide(&mut payload);
        }
        payload
    }
}

fn text(body: Vec<u8>) -> Box<str> {
    match String::from_utf8(body) {
        Ok(text) => text.into(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into(),
    }
}

/// Reads the refusals from the reasons that the reject stores.
fn refusals(reject: &Reject) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = serde_json::from_str(&reject.reasons).unwrap_or_default();
    refusals.truncate(MAX_REFUSALS);
    for refusal in &mut refusals {
        refusal.reason = cut(&refusal.reason, MAX_REASON).to_owned();
        refusal.field = cut(&refusal.field, MAX_BYTES).to_owned();
    }
    refusals
}
