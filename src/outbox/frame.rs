//! The bytes of a chunk: length-prefixed fields, written once at accept, sliced without copying at delivery.
//!
//! In layout 2 all integers are little-endian. A chunk is a list of events. An event is its id, its source, its
//! original and a count, followed by that number of requests. A request may end with its number within its event and
//! its priority; readers that do not know these skip them. Layout 1 had no ids. The layout of a chunk is a column of its
//! row. Foreign bytes give `None`, never a panic.

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use super::Accepted;
use super::priority::Priority;
use crate::accoil::{Fingerprint, Request};
use crate::event_id::EventId;

/// The layout that this version writes.
pub(super) const LAYOUT: u8 = 2;
/// The number of a request that is stored apart from the others of its event.
pub(super) const UNKNOWN_NUMBER: u8 = u8::MAX;

/// The fields of a request, in the order in which they are written.
pub(super) struct Fields<'a> {
    pub(super) destination: &'a str,
    pub(super) user: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
    pub(super) mapping: &'a str,
    pub(super) action: &'a str,
    pub(super) warnings: &'a str,
    pub(super) fingerprints: &'a [Fingerprint],
    /// The number within its event; `None` if its place gives it, or if it is unknown.
    pub(super) number: Option<u8>,
    pub(super) priority: Priority,
}

impl<'a> Fields<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        Self {
            destination: &request.destination,
            user: &request.user,
            path: request.path,
            body: &request.body,
            mapping: &request.mapping,
            action: request.action,
            warnings: &request.warnings,
            fingerprints: &request.fingerprints,
            number: None,
            priority: Priority::Live,
        }
    }
}

/// Returns about how many bytes [`write_event`] appends.
pub(super) fn size(event: &Accepted) -> usize {
    const HEAD: usize = 64;
    const FIELDS: usize = 160;
    let requests = event.requests.iter().map(|request| FIELDS + request.body.len() + request.warnings.len());
    HEAD + event.original.len() + requests.sum::<usize>()
}

/// Appends one event with its requests.
pub(super) fn write_event(out: &mut Vec<u8>, source: &str, event: &Accepted, priority: Priority) {
    write_head(out, event.event, source, &event.original, event.requests.len());
    for (number, request) in event.requests.iter().enumerate() {
        let number = (priority != Priority::Live).then(|| u8::try_from(number).unwrap_or(UNKNOWN_NUMBER));
        write_request(out, &Fields { number, priority, ..Fields::of(request) });
    }
}

/// Appends the head of an event; its requests follow.
pub(super) fn write_head(out: &mut Vec<u8>, event: EventId, source: &str, original: &[u8], requests: usize) {
    out.extend_from_slice(&event.0.to_le_bytes());
    put(out, source.as_bytes());
    put(out, original);
    put_count(out, requests);
}

pub(super) fn write_request(out: &mut Vec<u8>, request: &Fields<'_>) {
    // The request's length comes first, so that a reader can slice off the whole request.
    let start = out.len();
    put_count(out, 0);
    put(out, request.destination.as_bytes());
    put(out, request.user.as_bytes());
    put(out, request.path.as_bytes());
    put(out, request.body);
    put(out, request.mapping.as_bytes());
    put(out, request.action.as_bytes());
    put(out, request.warnings.as_bytes());
    put_count(out, request.fingerprints.len());
    for fingerprint in request.fingerprints {
        out.extend_from_slice(&fingerprint.key.to_le_bytes());
        out.extend_from_slice(&fingerprint.content.to_le_bytes());
    }
    if request.number.is_some() || request.priority != Priority::Live {
        out.extend([
            request.number.unwrap_or(UNKNOWN_NUMBER),
            u8::from(request.priority == Priority::Background),
        ]);
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(start..start + 4) {
        slot.copy_from_slice(&length.to_le_bytes());
    }
}

fn put(out: &mut Vec<u8>, field: &[u8]) {
    put_count(out, field.len());
    out.extend_from_slice(field);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

/// Reads fields from the front of some bytes, without copying them.
pub(super) struct Reader(pub(super) Bytes);

impl Reader {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn count(&mut self) -> Option<usize> {
        (self.0.len() >= 4).then(|| self.0.get_u32_le() as usize)
    }

    pub(super) fn event(&mut self) -> Option<EventId> {
        (self.0.len() >= 8).then(|| EventId(self.0.get_u64_le()))
    }

    pub(super) fn field(&mut self) -> Option<Bytes> {
        let length = self.count()?;
        (self.0.len() >= length).then(|| self.0.split_to(length))
    }

    pub(super) fn skip(&mut self) -> Option<()> {
        let length = self.count()?;
        (self.0.len() >= length).then(|| self.0.advance(length))
    }

    pub(super) fn text(&mut self) -> Option<Text> {
        self.field().and_then(Text::new)
    }

    /// Returns the number within the event, if it was written, and the priority.
    pub(super) fn number_and_priority(&mut self) -> (Option<u8>, Priority) {
        match self.0[..] {
            [number, priority, ..] => {
                let priority = if priority == 0 { Priority::Live } else { Priority::Background };
                ((number != UNKNOWN_NUMBER).then_some(number), priority)
            }
            _ => (None, Priority::Live),
        }
    }

    pub(super) fn fingerprints(&mut self) -> Option<Vec<Fingerprint>> {
        let count = self.count()?;
        if self.0.len() < count.checked_mul(16)? {
            return None;
        }
        Some(
            (0..count)
                .map(|_| Fingerprint { key: self.0.get_u64_le(), content: self.0.get_u64_le() })
                .collect(),
        )
    }
}

/// Shared text, checked once when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(ByteString);

impl Text {
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        ByteString::try_from(bytes).ok().map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}
