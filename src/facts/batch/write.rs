//! Writes posts and outcomes into a batch. This happens on the thread that emits them, right after a commit, so it must be quick.

use std::hash::{Hash, Hasher};
use std::iter::Peekable;
use std::sync::Arc;

use super::read::{
    EVENT, HAS_BODIES, HAS_ENVELOPE, HAS_ORIGINAL, HAS_TITLE, IS_DUPLICATE, IS_KEPT, OUTCOME, POST,
};
use super::{Batch, CallPattern, Ending, KnownShared, Parts, Pattern};
use crate::accoil::Request;
use crate::decode::Form;
use crate::event_id::EventId;
use crate::facts::{
    Accepted, MAX_BYTES, Outcome, Outcomes, Received, Reject, SkippedEvent, Submission, Title, cut,
};
use crate::reasons::Reason;

/// The bytes of a call's warnings that are passed on.
const MAX_WARNINGS: usize = 512;
/// An answer is cut to this many bytes.
const MAX_TEXT: usize = 512;

/// What a post contains about one event.
#[derive(Debug)]
pub(in crate::facts) struct Part<'p> {
    id: EventId,
    accepted: Option<&'p Accepted>,
    is_duplicate: bool,
    reject: Option<&'p Reject>,
    skipped: Option<&'p SkippedEvent>,
}

/// How much of an event's payload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::facts) enum Payloads {
    Nothing,
    /// What was received, because the title is read from it.
    Original,
    /// What was received and what is sent; to be kept, or only to be searched for values to hide.
    Whole {
        is_kept: bool,
    },
}

/// Returns the events of a post in the order of their ids.
pub(in crate::facts) fn events_of<'r>(received: &Received<'r>) -> impl Iterator<Item = Part<'r>> {
    let Received { submission: Submission { accepted, rejects, skipped, .. }, duplicates, .. } = *received;
    // Each list is sorted by event id.
    let mut duplicates = duplicates.iter().copied().peekable();
    let mut accepted = (0_u32..).zip(accepted).peekable();
    let mut rejects = rejects.iter().peekable();
    let mut skipped = skipped.iter().peekable();
    std::iter::from_fn(move || {
        let next = [
            accepted.peek().map(|(_, event)| event.event),
            rejects.peek().map(|reject| reject.event),
            skipped.peek().map(|event| event.event),
        ];
        let id = next.into_iter().flatten().min()?;
        let mut part = Part { id, accepted: None, is_duplicate: false, reject: None, skipped: None };
        if let Some((index, event)) = accepted.next_if(|(_, event)| event.event == id) {
            part.accepted = Some(event);
            part.is_duplicate = is_next(&mut duplicates, index);
        }
        part.reject = rejects.next_if(|reject| reject.event == id);
        part.skipped = skipped.next_if(|event| event.event == id);
        Some(part)
    })
}

fn is_next(duplicates: &mut Peekable<impl Iterator<Item = u32>>, index: u32) -> bool {
    duplicates.next_if_eq(&index).is_some()
}

impl Part<'_> {
    pub(in crate::facts) fn original(&self) -> &[u8] {
        let accepted = self.accepted.map(|event| &event.original);
        let rejected = self.reject.map(|reject| &reject.original);
        let skipped = self.skipped.map(|event| &event.original);
        accepted.or(rejected).or(skipped).map_or(&[], |original| original)
    }

    pub(in crate::facts) fn bodies_len(&self) -> usize {
        self.requests().iter().map(|request| request.body.len()).sum()
    }

    pub(in crate::facts) fn title(&self) -> Option<&Title> {
        self.accepted?.title.as_ref()
    }

    fn requests(&self) -> &[Request] {
        self.accepted.map_or(&[], |event| &event.requests)
    }

    /// Returns the id that the sender gave the event.
    fn message_id(&self) -> &str {
        let title = self.title().map(|title| &*title.message_id).filter(|id| !id.is_empty());
        let accepted = || self.accepted.and_then(|event| event.message_id.as_deref());
        let skipped = || self.skipped.and_then(|event| event.message_id.as_deref());
        title.or_else(accepted).or_else(skipped).unwrap_or_default()
    }
}

impl Batch {
    /// Begins a post. Its events follow.
    pub(in crate::facts) fn begin_post(&mut self, received: &Received<'_>) {
        let Received { submission, is_replay, .. } = received;
        self.bytes.push(POST);
        self.bytes.extend_from_slice(&submission.received_at.timestamp_millis().to_le_bytes());
        self.bytes.push(u8::from(*is_replay));
        self.long(submission.envelope.as_deref().unwrap_or_default().as_bytes());
    }

    /// Adds the next event of the post.
    pub(in crate::facts) fn event(
        &mut self,
        submission: &Submission,
        part: &Part<'_>,
        payloads: Payloads,
        known: &mut KnownShared,
    ) {
        let requests = part.requests();
        let parts = PatternParts {
            source: &submission.source,
            form: submission.form,
            mappings: submission.mappings,
            skipped: part.skipped.map_or("", |event| event.reason.code()),
            refusals: part.reject.map_or("", |reject| &reject.reasons),
            requests,
        };
        let pattern = self.pattern(&parts, known);
        let (kind, name, group) =
            part.title().map_or(("", "", ""), |title| (title.kind, &*title.name, &*title.group));
        // The event's own call is the last one; those before it are derived.
        let user = requests.last().map_or("", |request| &request.user);
        let texts = [kind, name, user, part.message_id(), group].map(|text| cut(text, MAX_BYTES));
        let is_whole = matches!(payloads, Payloads::Whole { .. });
        let envelope = part.reject.and_then(|reject| reject.envelope.as_ref()).filter(|envelope| {
            is_whole && submission.envelope.as_ref().is_none_or(|other| !Arc::ptr_eq(envelope, other))
        });
        let flags = [
            (part.is_duplicate, IS_DUPLICATE),
            (part.title().is_some(), HAS_TITLE),
            (payloads == Payloads::Whole { is_kept: true }, IS_KEPT),
            (payloads != Payloads::Nothing, HAS_ORIGINAL),
            (is_whole, HAS_BODIES),
            (envelope.is_some(), HAS_ENVELOPE),
        ];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag);
        self.bytes.push(EVENT);
        self.bytes.extend_from_slice(&part.id.0.to_le_bytes());
        self.bytes.extend_from_slice(&pattern.to_le_bytes());
        self.bytes.push(flags);
        for text in texts {
            self.bytes.extend_from_slice(&u16::try_from(text.len()).unwrap_or(0).to_le_bytes());
        }
        for text in texts {
            self.bytes.extend_from_slice(text.as_bytes());
        }
        if payloads != Payloads::Nothing {
            self.long(part.original());
        }
        if is_whole {
            self.bytes.extend_from_slice(&u32::try_from(requests.len()).unwrap_or(0).to_le_bytes());
            for request in requests {
                self.long(&request.body);
            }
        }
        if let Some(envelope) = envelope {
            self.long(envelope.as_bytes());
        }
        self.events += 1;
    }

    pub(in crate::facts) fn outcomes(&mut self, outcomes: &Outcomes, known: &mut KnownShared) {
        for outcome in &outcomes.outcomes {
            let parts = EndingParts { destination: &outcomes.destination, outcome };
            let (ending, new) = known.endings.number(&parts);
            self.shared_bytes += new.as_ref().map_or(0, |ending| 128 + ending.text.len());
            self.endings.extend(new);
            self.bytes.push(OUTCOME);
            self.bytes.extend_from_slice(&outcome.event.0.to_le_bytes());
            self.bytes.extend_from_slice(&[outcome.request, outcome.attempt]);
            self.bytes.extend_from_slice(&ending.to_le_bytes());
            self.bytes.extend_from_slice(&outcome.took_us.to_le_bytes());
            self.bytes.extend_from_slice(&outcome.at.timestamp_millis().to_le_bytes());
        }
        self.outcomes += outcomes.outcomes.len();
    }

    fn pattern(&mut self, parts: &PatternParts<'_>, known: &mut KnownShared) -> u32 {
        let (number, new) = known.patterns.number(parts);
        if let Some(pattern) = new {
            let calls: usize = pattern.calls.iter().map(|call| call.warnings.len() + 96).sum();
            self.shared_bytes += 128 + pattern.refusals.len() + calls;
            self.patterns.push(pattern);
        }
        number
    }

    /// Adds bytes and their number.
    fn long(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes());
        self.bytes.extend_from_slice(bytes);
    }
}

/// The parts of a [`Pattern`], borrowed.
struct PatternParts<'p> {
    source: &'p Arc<str>,
    form: Form,
    mappings: u64,
    skipped: &'static str,
    refusals: &'p str,
    requests: &'p [Request],
}

impl Parts for PatternParts<'_> {
    type Whole = Pattern;

    fn to_whole(&self) -> Pattern {
        let call = |request: &Request| CallPattern {
            destination: Arc::clone(&request.destination),
            mapping: Arc::clone(&request.mapping),
            action: request.action,
            path: request.path,
            warnings: warnings(request).to_owned(),
            is_derived: is_derived(request),
        };
        Pattern {
            source: Arc::clone(self.source),
            form: self.form,
            mappings: self.mappings,
            skipped: self.skipped,
            refusals: self.refusals.to_owned(),
            calls: self.requests.iter().map(call).collect(),
        }
    }

    fn is_surely(&self, pattern: &Pattern) -> bool {
        let is_call = |(request, call): (&Request, &CallPattern)| {
            Arc::ptr_eq(&request.destination, &call.destination)
                && Arc::ptr_eq(&request.mapping, &call.mapping)
                && std::ptr::eq(request.action, call.action)
                && std::ptr::eq(request.path, call.path)
                && are_equal(warnings(request), &call.warnings)
                && is_derived(request) == call.is_derived
        };
        Arc::ptr_eq(self.source, &pattern.source)
            && self.form == pattern.form
            && self.mappings == pattern.mappings
            && are_equal(self.skipped, pattern.skipped)
            && are_equal(self.refusals, &pattern.refusals)
            && self.requests.len() == pattern.calls.len()
            && self.requests.iter().zip(&pattern.calls).all(is_call)
    }
}

impl Hash for PatternParts<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (self.source, self.form.name(), self.mappings, self.skipped, self.refusals).hash(hasher);
        for request in self.requests {
            (&request.destination, &request.mapping, request.action, request.path).hash(hasher);
            (warnings(request), is_derived(request)).hash(hasher);
        }
    }
}

/// The parts of an [`Ending`], borrowed.
struct EndingParts<'o> {
    destination: &'o Arc<str>,
    outcome: &'o Outcome,
}

impl EndingParts<'_> {
    fn text(&self) -> &[u8] {
        self.outcome.text.get(..MAX_TEXT).unwrap_or(&self.outcome.text)
    }
}

impl Hash for EndingParts<'_> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Outcome { kind, reason, status, .. } = self.outcome;
        (self.destination, kind, reason.map_or("", Reason::code), status, self.text()).hash(hasher);
    }
}

impl Parts for EndingParts<'_> {
    type Whole = Ending;

    fn to_whole(&self) -> Ending {
        let Outcome { kind, reason, status, .. } = *self.outcome;
        let text = cut(&String::from_utf8_lossy(self.text()), MAX_TEXT).to_owned();
        Ending { destination: Arc::clone(self.destination), kind, reason, status, text }
    }

    fn is_surely(&self, ending: &Ending) -> bool {
        let Outcome { kind, reason, status, .. } = self.outcome;
        Arc::ptr_eq(self.destination, &ending.destination)
            && (kind, reason, status) == (&ending.kind, &ending.reason, &ending.status)
            && are_equal(self.text(), ending.text.as_bytes())
    }
}

/// Compares texts, most of which are empty. The C library's `memcmp` reads even from the address of an empty text, where no memory is.
/// On some processors that read is slow: it took 0.6 % of the relay's CPU.
fn are_equal<T: AsRef<[u8]> + ?Sized>(one: &T, other: &T) -> bool {
    let (one, other) = (one.as_ref(), other.as_ref());
    one.len() == other.len() && (one.is_empty() || one == other)
}

fn warnings(request: &Request) -> &str {
    cut(&request.warnings, MAX_WARNINGS)
}

/// Only derived calls have fingerprints.
const fn is_derived(request: &Request) -> bool {
    !request.fingerprints.is_empty()
}
