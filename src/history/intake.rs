//! Turns the events of a post into lines in memory.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::block::Payload;
use super::buffer::{Buffer, BufferedEvent};
use super::fields::Fields;
use super::line::{Line, Refusal};
use super::options::Payloads;
use super::parts::ShapeParts;
use super::redact::{HiddenValues, Redactor};
use crate::decode::Form;
use crate::event_id::EventId;
use crate::facts::{Accepted, MAX_BYTES, Received, Reject, SkippedEvent, Submission, Title, cut};

/// Bytes of a refusal's text that are kept.
const MAX_REASON: usize = 512;
const MAX_REFUSALS: usize = 20;

/// How posts become lines: what is hidden in them.
#[derive(Debug)]
pub(super) struct Intake {
    pub(super) payloads: Payloads,
    pub(super) redactor: Redactor,
    /// The key by which user ids are hashed.
    pub(super) user_key: [u8; 16],
    /// Whether lines show a hash instead of each user id.
    pub(super) hash_users: bool,
}

/// What the post contains about one event. Texts are taken out of it.
#[derive(Default)]
struct Known<'p> {
    accepted: Option<&'p mut Accepted>,
    is_duplicate: bool,
    reject: Option<&'p mut Reject>,
    skipped: Option<&'p mut SkippedEvent>,
}

/// The values that all events of a post share.
struct Post {
    source: Arc<str>,
    form: Form,
    received_at: i64,
    envelope: Option<Arc<str>>,
    mappings: u64,
    is_replay: bool,
    now: Instant,
}

impl Intake {
    /// Adds the lines of a post. `kept` are the events whose payload is kept, sorted by id.
    pub(super) fn take(&self, received: Received, kept: Vec<EventId>, now: Instant, buffer: &mut Buffer) {
        let Received { submission, duplicates, is_replay } = received;
        let Submission { source, form, received_at, envelope, mappings, .. } = submission;
        let Submission { mut accepted, mut rejects, mut skipped, .. } = submission;
        let post = Post {
            source,
            form,
            received_at: received_at.timestamp_millis(),
            envelope,
            mappings,
            is_replay,
            now,
        };
        let mut kept = kept.into_iter().peekable();
        // Each list is sorted by event id.
        let mut duplicates = duplicates.into_iter().peekable();
        let mut accepted = (0_u32..).zip(&mut accepted).peekable();
        let mut rejects = rejects.iter_mut().peekable();
        let mut skipped = skipped.iter_mut().peekable();
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
            let is_kept = kept.next_if_eq(&id).is_some();
            let buffered = self.buffered(id, known, is_kept, &post, buffer);
            buffer.push(buffered);
        }
    }

    /// Texts are moved, not copied, as far as possible: during a flood every allocation counts.
    fn buffered(
        &self,
        id: EventId,
        known: Known<'_>,
        is_kept: bool,
        post: &Post,
        buffer: &mut Buffer,
    ) -> BufferedEvent {
        let Known { mut accepted, is_duplicate, mut reject, mut skipped } = known;
        let refusals = reject.as_deref().map(refusals).unwrap_or_default();
        let skip_code = skipped.as_ref().map_or("", |event| event.reason.code());
        let originals = [
            accepted.as_mut().map(|event| &mut event.original),
            reject.as_mut().map(|reject| &mut reject.original),
            skipped.as_mut().map(|event| &mut event.original),
        ];
        let original = originals.into_iter().flatten().next().map(std::mem::take).unwrap_or_default();
        let envelope = reject.and_then(|reject| reject.envelope.take()).or_else(|| post.envelope.clone());
        let title = accepted.as_mut().and_then(|event| event.title.take());
        let mut texts = Texts::of(title, &original, post.form);
        if texts.message_id.is_empty() {
            let of_accepted = accepted.as_mut().and_then(|event| event.message_id.take());
            let sender_id = of_accepted.or_else(|| skipped.and_then(|event| event.message_id.take()));
            texts.message_id = sender_id.map(short).unwrap_or_default();
        }
        let requests = accepted.map_or(&mut [][..], |event| &mut event.requests);
        // The event's own call is the last one; those before it are derived.
        if let Some(request) = requests.last_mut() {
            texts.user = short(std::mem::take(&mut request.user));
        }
        let bodies = requests.iter_mut().map(|request| std::mem::take(&mut request.body));
        // During a flood, most events are beyond the budget: nothing of them is read.
        let bodies: Vec<Box<str>> =
            if is_kept || !self.redactor.is_off() { bodies.map(text).collect() } else { Vec::new() };
        let hidden = self.hidden(&original, &bodies, envelope.as_deref());
        self.hide(&mut texts, &hidden);
        let parts = ShapeParts {
            source: &post.source,
            form: post.form.name(),
            kind: &texts.kind,
            name: &texts.name,
            mappings: post.mappings,
            skipped: skip_code,
            refusals: &refusals,
            requests,
        };
        let shape = buffer.shape(&parts);
        let payload = is_kept.then(|| self.payload(original, envelope, bodies));
        let line = Line {
            id,
            received_at: post.received_at,
            user: texts.user,
            message_id: texts.message_id,
            group: texts.group,
            is_duplicate,
            is_replay: post.is_replay,
            has_payload: payload.is_some(),
            shape,
            attempts: Vec::new(),
        };
        BufferedEvent { line, payload: payload.map(Box::new), hidden, since: post.now }
    }

    /// Hides values in the texts of a line. A hidden user id, usually an email address, can still be searched by its hash.
    fn hide(&self, texts: &mut Texts, hidden: &HiddenValues) {
        if !texts.user.is_empty() && (self.hash_users || hidden.is_value(&texts.user)) {
            texts.user = super::hashed(&self.user_key, &texts.user);
        }
        for text in [&mut texts.name, &mut texts.message_id, &mut texts.group] {
            hidden.hide_in(text);
        }
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

    fn payload(&self, original: Bytes, envelope: Option<Arc<str>>, bodies: Vec<Box<str>>) -> Payload {
        let mut payload = Payload { original: text(original.into()), envelope, bodies };
        if self.payloads == Payloads::Redacted {
            self.redactor.hide(&mut payload);
        }
        payload
    }
}

/// The texts of a line.
struct Texts {
    kind: Cow<'static, str>,
    name: String,
    user: String,
    message_id: String,
    group: String,
}

impl Texts {
    /// From what the pipeline read of the event, else from the event itself.
    fn of(title: Option<Title>, original: &[u8], form: Form) -> Self {
        if let Some(Title { kind, name, group, message_id }) = title {
            let [name, message_id, group] = [name, message_id, group].map(String::from);
            return Self { kind: Cow::Borrowed(kind), name, user: String::new(), message_id, group };
        }
        let Fields { kind, name, user, message_id, group } = Fields::of(original, form);
        let [name, user, message_id, group] = [name, user, message_id, group].map(Cow::into_owned);
        Self { kind: Cow::Owned(kind.into_owned()), name, user, message_id, group }
    }
}

/// Cuts a text to the length at which it is stored.
fn short(mut text: String) -> String {
    text.truncate(cut(&text, MAX_BYTES).len());
    text
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
