//! From what a post brought to lines in memory.

use std::sync::Arc;
use std::time::Instant;

use super::block::Payload;
use super::budget::Budget;
use super::fields::{self, Fields};
use super::line::{Call, Line, Refusal, Shape};
use super::options::Payloads;
use super::redact::{Found, Redactor};
use super::running::{BLOCK_BYTES, Held, Running};
use crate::decode::Form;
use crate::event_id::EventId;
use crate::facts::{Accepted, Passed, Received, Reject, Submission};

/// What is left out of a line beyond this many bytes.
const MOST_WARNINGS: usize = 512;
const MOST_REFUSALS: usize = 20;

/// How posts become lines.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) payloads: Payloads,
    pub(super) redactor: Redactor,
    /// The key by which user ids are hashed.
    pub(super) user_key: [u8; 16],
    /// Whether lines hide all of them.
    pub(super) hash_users: bool,
    pub(super) budget: Budget,
}

/// Everything that is known of one event of a post.
#[derive(Default)]
struct Known {
    accepted: Option<Accepted>,
    is_duplicate: bool,
    reject: Option<Reject>,
    passed: Option<Passed>,
}

/// What the events of a post share.
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
    /// Adds the lines of a post. Returns how many.
    pub(super) fn take(&mut self, received: Received, has_payloads: bool, now: Instant, into: &mut Running) {
        let Received { submission, duplicates, is_replay } = received;
        let Submission { source, form, received_at, accepted, rejects, passed, envelope, mappings, .. } =
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
        // Each list is in the order of the ids.
        let mut duplicates = duplicates.into_iter().peekable();
        let mut accepted = (0_u32..).zip(accepted).peekable();
        let mut rejects = rejects.into_iter().peekable();
        let mut passed = passed.into_iter().peekable();
        loop {
            let next = [
                accepted.peek().map(|(_, event)| event.event),
                rejects.peek().map(|reject| reject.event),
                passed.peek().map(|event| event.event),
            ];
            let Some(id) = next.into_iter().flatten().min() else { break };
            let mut known = Known::default();
            if let Some((index, event)) = accepted.next_if(|(_, event)| event.event == id) {
                known.is_duplicate = duplicates.next_if_eq(&index).is_some();
                known.accepted = Some(event);
            }
            known.reject = rejects.next_if(|reject| reject.event == id);
            known.passed = passed.next_if(|event| event.event == id);
            let held = self.held(id, known, &post, into);
            into.push(held);
        }
    }

    fn held(&mut self, id: EventId, known: Known, post: &Post, into: &mut Running) -> Held {
        let Known { accepted, is_duplicate, reject, passed } = known;
        let original = accepted.as_ref().map(|event| &event.original);
        let original = original.or(reject.as_ref().map(|reject| &reject.original));
        let original = original.or(passed.as_ref().map(|event| &event.original)).cloned().unwrap_or_default();
        let fields = Fields::of(&original, post.form);
        let refusals = reject.as_ref().map(refusals).unwrap_or_default();
        let envelope = reject.and_then(|reject| reject.envelope).or_else(|| post.envelope.clone());
        let skipped = passed.as_ref().map_or_else(String::new, |event| event.reason.code().to_owned());
        let told_id = accepted.as_ref().and_then(|event| event.message_id.as_deref());
        let told_id = told_id.or(passed.as_ref().and_then(|event| event.message_id.as_deref()));
        let message_id = match &*fields.message_id {
            "" => fields::cut(told_id.unwrap_or_default(), fields::MOST_BYTES).to_owned(),
            id => id.to_owned(),
        };
        let requests = accepted.map(|event| event.requests).unwrap_or_default();
        // The event's own call is the last one; those before it are implied.
        let mut user = match requests.last() {
            Some(request) => fields::cut(&request.user, fields::MOST_BYTES).to_owned(),
            None => fields.user.clone().into_owned(),
        };
        let mut bodies = Vec::with_capacity(requests.len());
        let mut calls = Vec::with_capacity(requests.len());
        for request in requests {
            calls.push(Call {
                destination: request.destination,
                mapping: request.mapping,
                action: request.action.to_owned(),
                path: request.path.to_owned(),
                warnings: fields::cut(&request.warnings, MOST_WARNINGS).to_owned(),
                is_derived: !request.fingerprints.is_empty(),
            });
            bodies.push(text(request.body));
        }
        let mut shape = Shape {
            source: Arc::clone(&post.source),
            form: Arc::clone(&post.form_name),
            kind: fields.kind.into_owned(),
            name: fields.name.into_owned(),
            mappings: post.mappings,
            skipped,
            refusals,
            calls,
        };
        let mut group = fields.group.into_owned();
        let mut message_id = message_id;
        let found = self.found(&original, &bodies, envelope.as_deref());
        for text in [&mut shape.name, &mut message_id, &mut group] {
            found.hidden_in(text).into_iter().for_each(|hidden| *text = hidden);
        }
        // A user id that is to be hidden, an address mostly, can still be searched by.
        if !user.is_empty() && (self.hash_users || found.is_value(&user)) {
            user = super::hashed(&self.user_key, &user);
        }
        let payload = self.payload(&original, envelope, bodies, post);
        let line = Line {
            id,
            received_at: post.received_at,
            user,
            message_id,
            group,
            is_duplicate,
            is_replay: post.is_replay,
            has_payload: payload.is_some(),
            shape: into.shape(shape),
            attempts: Vec::new(),
        };
        Held { line, payload, found, since: post.now }
    }

    /// What must not be shown of the event.
    fn found(&self, original: &[u8], bodies: &[Box<str>], envelope: Option<&str>) -> Found {
        if self.redactor.is_off() {
            return Found::default();
        }
        let original = String::from_utf8_lossy(original);
        let bodies = bodies.iter().map(|body| &**body);
        self.redactor.find(bodies.chain([&*original]).chain(envelope))
    }

    /// None where the event is beyond the budget.
    fn payload(
        &mut self,
        original: &[u8],
        envelope: Option<Arc<str>>,
        bodies: Vec<Box<str>>,
        post: &Post,
    ) -> Option<Payload> {
        if self.payloads == Payloads::None || !post.has_payloads || original.is_empty() {
            return None;
        }
        let size = original.len() + bodies.iter().map(|body| body.len()).sum::<usize>();
        if size > BLOCK_BYTES || !self.budget.allow(size, post.now) {
            return None;
        }
        // Copied: it is a part of a body that is as large as the whole post.
        let original = String::from_utf8_lossy(original).into();
        let mut payload = Payload { original, envelope, bodies };
        if self.payloads == Payloads::Redacted {
            self.redactor.hide(&mut payload);
        }
        Some(payload)
    }
}

fn text(body: Vec<u8>) -> Box<str> {
    match String::from_utf8(body) {
        Ok(text) => text.into(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into(),
    }
}

/// As the reject keeps them.
fn refusals(reject: &Reject) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = serde_json::from_str(&reject.reasons).unwrap_or_default();
    refusals.truncate(MOST_REFUSALS);
    for refusal in &mut refusals {
        refusal.reason = fields::cut(&refusal.reason, MOST_WARNINGS).to_owned();
        refusal.field = fields::cut(&refusal.field, fields::MOST_BYTES).to_owned();
    }
    refusals
}
