//! Turns the events of a batch into lines in memory, and its outcomes into attempts.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use super::block::Payload;
use super::buffer::{Buffer, BufferedEvent};
use super::fields::Fields;
use super::line::{Call, Ending, Ids, Line, Refusal, Shape};
use super::options::Payloads;
use super::redact::{HiddenValues, Redactor};
use crate::facts::{self, Batch, EventRecord, MAX_BYTES, Pattern, PostRecord, Record, cut};
use crate::reasons::Reason;

/// Bytes of a refusal's text that are kept.
const MAX_REASON: usize = 512;
const MAX_REFUSALS: usize = 20;

/// How events become lines: what is hidden in them, and what they share.
#[derive(Debug)]
pub(super) struct Intake {
    payloads: Payloads,
    pub(super) redactor: Redactor,
    /// The key by which user ids are hashed.
    user_key: [u8; 16],
    /// Whether lines show a hash instead of each user id.
    hash_users: bool,
    /// By their numbers.
    patterns: Vec<KnownPattern>,
    endings: Vec<Arc<Ending>>,
}

/// A pattern as lines have it.
#[derive(Debug)]
struct KnownPattern {
    form: crate::decode::Form,
    /// Without type and name.
    shape: Shape,
}

/// The post whose events are read.
#[derive(Default)]
struct Post<'b> {
    record: PostRecord<'b>,
    /// Made for the first payload.
    envelope: Option<Arc<str>>,
}

impl Intake {
    pub(super) const fn new(
        payloads: Payloads,
        redactor: Redactor,
        user_key: [u8; 16],
        hash_users: bool,
    ) -> Self {
        Self { payloads, redactor, user_key, hash_users, patterns: Vec::new(), endings: Vec::new() }
    }

    /// Reads the patterns and endings of a batch, which later batches use, too.
    pub(super) fn learn(&mut self, batch: &Batch, buffer: &mut Buffer) {
        if batch.is_renumbered {
            self.patterns.clear();
            self.endings.clear();
            buffer.forget_shapes();
        }
        self.patterns.extend(batch.patterns.iter().map(KnownPattern::of));
        self.endings.extend(batch.endings.iter().map(|one| Arc::new(ending(one))));
    }

    /// Adds the lines and outcomes of a batch.
    pub(super) fn take(&self, batch: &Batch, now: Instant, buffer: &mut Buffer) {
        let mut post = Post::default();
        for record in batch.records() {
            match record {
                Record::Post(record) => post = Post { record, envelope: None },
                Record::Event(event) => {
                    let Some(pattern) = self.patterns.get(event.pattern as usize) else { continue };
                    let buffered = self.buffered(&event, pattern, &mut post, now, buffer);
                    buffer.push(buffered);
                }
                Record::Outcome(outcome) => {
                    let Some(ending) = self.endings.get(outcome.ending as usize) else { continue };
                    buffer.outcome(&outcome, ending, now);
                }
            }
        }
    }

    fn buffered(
        &self,
        event: &EventRecord<'_>,
        pattern: &KnownPattern,
        post: &mut Post<'_>,
        now: Instant,
        buffer: &mut Buffer,
    ) -> BufferedEvent {
        let mut texts = Texts::of(event, pattern);
        let (mut hidden, mut payload) = (HiddenValues::default(), None);
        // During a flood, most events are beyond the budget: nothing of them is read.
        if event.is_kept || !self.redactor.is_off() {
            let whole = Payload {
                original: text(event.original),
                envelope: post.envelope_of(event),
                bodies: event.bodies.iter().map(|body| text(body)).collect(),
            };
            hidden = self.hidden(&whole);
            payload = event.is_kept.then_some(whole);
        }
        self.hide(&mut texts, &hidden);
        if self.payloads == Payloads::Redacted
            && let Some(payload) = &mut payload
        {
            self.redactor.hide(payload);
        }
        let Texts { kind, name, user, message_id, group } = texts;
        let shape = buffer.shape(event.pattern, &kind, &name, || Shape {
            kind: kind.to_string(),
            name: name.to_string(),
            ..pattern.shape.clone()
        });
        let line = Line {
            id: event.id,
            received_at: post.record.received_at,
            ids: Ids::new(&user, &message_id, &group),
            is_duplicate: event.is_duplicate,
            is_replay: post.record.is_replay,
            has_payload: payload.is_some(),
            shape,
            attempts: SmallVec::new(),
        };
        BufferedEvent { line, payload: payload.map(Box::new), hidden, since: now }
    }

    /// Hides values in the texts of a line. A hidden user id, usually an email address, can still be searched by its hash.
    fn hide(&self, texts: &mut Texts<'_>, hidden: &HiddenValues) {
        if !texts.user.is_empty() && (self.hash_users || hidden.is_value(&texts.user)) {
            texts.user = super::hashed(&self.user_key, &texts.user).into();
        }
        if hidden.is_empty() {
            return;
        }
        for text in [&mut texts.name, &mut texts.message_id, &mut texts.group] {
            hidden.hide_in(text.to_mut());
        }
    }

    /// Returns the values that must be hidden in the event.
    fn hidden(&self, payload: &Payload) -> HiddenValues {
        if self.redactor.is_off() {
            return HiddenValues::default();
        }
        let bodies = payload.bodies.iter().map(|body| &**body);
        self.redactor.find(bodies.chain([&*payload.original]).chain(payload.envelope.as_deref()))
    }
}

impl Post<'_> {
    fn envelope_of(&mut self, event: &EventRecord<'_>) -> Option<Arc<str>> {
        if let Some(own) = event.envelope {
            return Some(Arc::from(own));
        }
        if self.envelope.is_none() && !self.record.envelope.is_empty() {
            self.envelope = Some(Arc::from(self.record.envelope));
        }
        self.envelope.clone()
    }
}

impl KnownPattern {
    fn of(pattern: &Pattern) -> Self {
        let call = |call: &facts::CallPattern| Call {
            destination: Arc::clone(&call.destination),
            mapping: Arc::clone(&call.mapping),
            action: call.action.to_owned(),
            path: call.path.to_owned(),
            warnings: call.warnings.clone(),
            is_derived: call.is_derived,
        };
        let shape = Shape {
            source: Arc::clone(&pattern.source),
            form: Arc::from(pattern.form.name()),
            kind: String::new(),
            name: String::new(),
            mappings: pattern.mappings,
            skipped: pattern.skipped.to_owned(),
            refusals: refusals(&pattern.refusals),
            calls: pattern.calls.iter().map(call).collect(),
        };
        Self { form: pattern.form, shape }
    }
}

fn ending(ending: &facts::Ending) -> Ending {
    Ending {
        destination: Arc::clone(&ending.destination),
        outcome: ending.kind.into(),
        reason: ending.reason.map_or("", Reason::code).to_owned(),
        status: ending.status,
        text: ending.text.clone(),
    }
}

/// The texts of a line.
struct Texts<'b> {
    kind: Cow<'b, str>,
    name: Cow<'b, str>,
    user: Cow<'b, str>,
    message_id: Cow<'b, str>,
    group: Cow<'b, str>,
}

impl<'b> Texts<'b> {
    /// From what the pipeline read of the event, else from the event itself.
    fn of(event: &EventRecord<'b>, pattern: &KnownPattern) -> Self {
        let EventRecord { kind, name, user, message_id, group, .. } = *event;
        let [kind, name, user, message_id, group] = [kind, name, user, message_id, group].map(Cow::Borrowed);
        if event.has_title {
            return Self { kind, name, user, message_id, group };
        }
        let known = (user, message_id);
        let Fields { kind, name, user, message_id, group } = Fields::of(event.original, pattern.form);
        let user = if known.0.is_empty() { user } else { known.0 };
        let message_id = if message_id.is_empty() { known.1 } else { message_id };
        Self { kind, name, user, message_id, group }
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    // Much faster than the lossy reading of what is nearly always UTF-8.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes).into(), Box::from)
}

/// Reads the refusals from the reasons that the reject stores.
fn refusals(reasons: &str) -> Vec<Refusal> {
    let mut refusals: Vec<Refusal> = serde_json::from_str(reasons).unwrap_or_default();
    refusals.truncate(MAX_REFUSALS);
    for refusal in &mut refusals {
        refusal.reason = cut(&refusal.reason, MAX_REASON).to_owned();
        refusal.field = cut(&refusal.field, MAX_BYTES).to_owned();
    }
    refusals
}
