//! A block: up to some thousand events, packed into three parts, and a head by which a search selects blocks.
//!
//! Lines, late attempts and payloads are separate parts, so that a search unpacks only what it needs. Each part is one zstd
//! frame. Data from the file is never trusted: a damaged part gives an error, never a wrong answer.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::bloom::{self, Kind};
use super::line::{Attempt, Ending, Line, Outcome, Shape};
use crate::event_id::EventId;

/// The highest level that costs about a microsecond for each event.
const LEVEL: i32 = 1;
/// A part is never larger than this when unpacked; a larger one was not written by the relay.
const MAX_UNPACKED: usize = 16 << 20;

/// An event's payload: everything that is needed to explain its line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// The event as the sender wrote it.
    pub original: Box<str>,
    /// The members of its batch that apply to all events, as `decode::Shared::to_json` returned them.
    pub envelope: Option<Arc<str>>,
    /// The body of each call, in the order of the line's calls.
    pub bodies: Vec<Box<str>>,
}

impl Payload {
    pub(super) fn size(&self) -> usize {
        let bodies: usize = self.bodies.iter().map(|body| body.len() + 8).sum();
        self.original.len() + self.envelope.as_ref().map_or(0, |envelope| envelope.len()) + bodies + 16
    }
}

/// An attempt that ended after the line of its event was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LateAttempt {
    pub(super) event: u64,
    pub(super) attempt: Attempt,
}

/// A part cannot be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("a part of a block of the history cannot be read")]
pub(super) struct UnreadablePart;

impl From<postcard::Error> for UnreadablePart {
    fn from(_: postcard::Error) -> Self {
        Self
    }
}

/// The values that many lines of a block share.
#[derive(Serialize, Deserialize)]
struct Common {
    lines: u32,
    shapes: Vec<Shape>,
    endings: Vec<Ending>,
}

#[derive(Serialize, Deserialize)]
struct PackedLine<'a> {
    /// The difference to the id of the line before.
    id: i64,
    /// The difference to the time that the id contains.
    received_at: i64,
    shape: u32,
    flags: u8,
    #[serde(borrow)]
    user: &'a str,
    message_id: &'a str,
    group: &'a str,
    attempts: Vec<PackedAttempt>,
}

#[derive(Serialize, Deserialize)]
struct PackedAttempt {
    call: u8,
    number: u8,
    ending: u32,
    took_us: u32,
    /// The difference to the time of receipt.
    at: i64,
}

const DUPLICATE: u8 = 1;
const REPLAY: u8 = 2;
const PAYLOAD: u8 = 4;

#[derive(Serialize, Deserialize)]
struct PackedPayload<'a> {
    /// The index of its line.
    line: u32,
    #[serde(borrow)]
    original: &'a str,
    envelope: Option<&'a str>,
    bodies: Vec<&'a str>,
}

/// Packs lines.
pub(super) fn pack_lines<'l>(lines: impl ExactSizeIterator<Item = &'l Line>) -> Vec<u8> {
    let mut shapes = Numbers::default();
    let mut endings = Numbers::default();
    let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    let mut body = Vec::new();
    let mut before = 0;
    for line in lines {
        let id = line.id.0.cast_signed();
        let attempts = line.attempts.iter().map(|attempt| PackedAttempt {
            call: attempt.call,
            number: attempt.number,
            ending: endings.number(&attempt.ending),
            took_us: attempt.took_us,
            at: attempt.at - line.received_at,
        });
        let flags = [(line.is_duplicate, DUPLICATE), (line.is_replay, REPLAY), (line.has_payload, PAYLOAD)];
        let packed = PackedLine {
            id: id.wrapping_sub(before),
            received_at: line.received_at - line.id.time().timestamp_millis(),
            shape: shapes.number(&line.shape),
            flags: flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum(),
            user: &line.user,
            message_id: &line.message_id,
            group: &line.group,
            attempts: attempts.collect(),
        };
        before = id;
        write(&packed, &mut body);
    }
    let common = Common { lines: count, shapes: shapes.all(), endings: endings.all() };
    let mut part = Vec::with_capacity(body.len() + 4096);
    write(&common, &mut part);
    part.extend_from_slice(&body);
    pack(&part)
}

/// A line whose strings are borrowed from the unpacked part.
pub(super) struct BorrowedLine<'b> {
    pub(super) shape: u32,
    pub(super) user: &'b str,
    pub(super) message_id: &'b str,
    pub(super) group: &'b str,
    packed: PackedLine<'b>,
    id: EventId,
}

/// The lines of a block, in the order in which they were received.
pub(super) struct Lines {
    part: Vec<u8>,
    /// The offset in `part` at which the lines begin.
    begin: usize,
    count: usize,
    pub(super) shapes: Vec<Arc<Shape>>,
    endings: Vec<Arc<Ending>>,
}

impl Lines {
    pub(super) fn unpack(packed: &[u8]) -> Result<Self, UnreadablePart> {
        let part = unpack(packed)?;
        let (common, rest) = postcard::take_from_bytes::<Common>(&part)?;
        let begin = part.len() - rest.len();
        let shapes = common.shapes.into_iter().map(Arc::new).collect();
        let endings = common.endings.into_iter().map(Arc::new).collect();
        Ok(Self { begin, count: common.lines as usize, part, shapes, endings })
    }

    /// Returns the number of unpacked bytes.
    pub(super) fn size(&self) -> usize {
        self.part.len()
    }

    /// Calls `each` with every line and its index; the strings are borrowed.
    pub(super) fn each<'b>(
        &'b self,
        mut each: impl FnMut(usize, BorrowedLine<'b>),
    ) -> Result<(), UnreadablePart> {
        let mut rest = self.part.get(self.begin..).unwrap_or_default();
        let mut before = 0_i64;
        for index in 0..self.count {
            let (packed, left) = postcard::take_from_bytes::<PackedLine<'b>>(rest)?;
            rest = left;
            before = before.wrapping_add(packed.id);
            let id = EventId(before.cast_unsigned());
            let (shape, user) = (packed.shape, packed.user);
            let (message_id, group) = (packed.message_id, packed.group);
            each(index, BorrowedLine { shape, user, message_id, group, packed, id });
        }
        Ok(())
    }

    /// Returns the line with its attempts and its own strings.
    pub(super) fn whole(&self, unpacked: BorrowedLine<'_>) -> Result<Line, UnreadablePart> {
        let BorrowedLine { packed, id, .. } = unpacked;
        let received_at = id.time().timestamp_millis().wrapping_add(packed.received_at);
        let attempts = packed.attempts.into_iter().map(|attempt| {
            let ending = self.endings.get(attempt.ending as usize).ok_or(UnreadablePart)?;
            Ok(Attempt {
                call: attempt.call,
                number: attempt.number,
                ending: Arc::clone(ending),
                took_us: attempt.took_us,
                at: received_at.wrapping_add(attempt.at),
            })
        });
        Ok(Line {
            id,
            received_at,
            user: packed.user.to_owned(),
            message_id: packed.message_id.to_owned(),
            group: packed.group.to_owned(),
            is_duplicate: packed.flags & DUPLICATE != 0,
            is_replay: packed.flags & REPLAY != 0,
            has_payload: packed.flags & PAYLOAD != 0,
            shape: Arc::clone(self.shapes.get(packed.shape as usize).ok_or(UnreadablePart)?),
            attempts: attempts.collect::<Result<_, UnreadablePart>>()?,
        })
    }
}

impl BorrowedLine<'_> {
    pub(super) const fn id(&self) -> EventId {
        self.id
    }

    pub(super) fn received_at(&self) -> i64 {
        self.id.time().timestamp_millis().wrapping_add(self.packed.received_at)
    }
}

/// Packs late attempts; returns nothing if there are none.
pub(super) fn pack_late(late: &[LateAttempt]) -> Vec<u8> {
    if late.is_empty() {
        return Vec::new();
    }
    let mut part = Vec::new();
    write(&late, &mut part);
    pack(&part)
}

pub(super) fn unpack_late(packed: &[u8]) -> Result<Vec<LateAttempt>, UnreadablePart> {
    if packed.is_empty() {
        return Ok(Vec::new());
    }
    Ok(postcard::from_bytes(&unpack(packed)?)?)
}

/// Packs payloads, each with the index of its line; returns nothing if there are none.
pub(super) fn pack_payloads<'p>(payloads: impl Iterator<Item = (usize, &'p Payload)>) -> Vec<u8> {
    let mut part = Vec::new();
    for (line, payload) in payloads {
        let packed = PackedPayload {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            original: &payload.original,
            envelope: payload.envelope.as_deref(),
            bodies: payload.bodies.iter().map(|body| &**body).collect(),
        };
        write(&packed, &mut part);
    }
    if part.is_empty() { part } else { pack(&part) }
}

/// The payloads of a block.
pub(super) struct Payloads {
    part: Vec<u8>,
}

impl Payloads {
    pub(super) fn unpack(packed: &[u8]) -> Result<Self, UnreadablePart> {
        let part = if packed.is_empty() { Vec::new() } else { unpack(packed)? };
        Ok(Self { part })
    }

    pub(super) fn size(&self) -> usize {
        self.part.len()
    }

    /// Calls `each` with every text of every payload and the index of its line.
    pub(super) fn each_text(&self, mut each: impl FnMut(usize, &str)) -> Result<(), UnreadablePart> {
        self.each(|packed| {
            let texts = packed.bodies.iter().copied().chain([packed.original]);
            texts.for_each(|text| each(packed.line as usize, text));
        })
    }

    /// Returns the payload of this line.
    pub(super) fn of(&self, line: usize) -> Result<Option<Payload>, UnreadablePart> {
        let mut found = None;
        self.each(|packed| {
            if packed.line as usize == line {
                found = Some(owned(packed));
            }
        })?;
        Ok(found)
    }

    /// Returns all payloads, each with the index of its line.
    pub(super) fn all(&self) -> Result<Vec<(usize, Payload)>, UnreadablePart> {
        let mut all = Vec::new();
        self.each(|packed| all.push((packed.line as usize, owned(packed))))?;
        Ok(all)
    }

    fn each<'b>(&'b self, mut each: impl FnMut(&PackedPayload<'b>)) -> Result<(), UnreadablePart> {
        let mut rest = self.part.as_slice();
        while !rest.is_empty() {
            let (packed, left) = postcard::take_from_bytes::<PackedPayload<'b>>(rest)?;
            rest = left;
            each(&packed);
        }
        Ok(())
    }
}

fn owned(packed: &PackedPayload<'_>) -> Payload {
    Payload {
        original: packed.original.into(),
        envelope: packed.envelope.map(Arc::from),
        bodies: packed.bodies.iter().map(|body| Box::from(*body)).collect(),
    }
}

/// Numbers values in the order in which they were first seen.
struct Numbers<T> {
    by_address: HashMap<usize, u32, RandomState>,
    all: Vec<Arc<T>>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { by_address: HashMap::default(), all: Vec::new() }
    }
}

impl<T: Clone> Numbers<T> {
    /// Compares by address. Equal values at two addresses are kept twice, which costs only a little space.
    fn number(&mut self, one: &Arc<T>) -> u32 {
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        *self.by_address.entry(Arc::as_ptr(one).addr()).or_insert_with(|| {
            self.all.push(Arc::clone(one));
            next
        })
    }

    fn all(self) -> Vec<T> {
        self.all.into_iter().map(|one| T::clone(&one)).collect()
    }
}

fn write<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    // This cannot fail: it writes to memory, and every sequence has a known length.
    if let Ok(longer) = postcard::to_extend(value, std::mem::take(out)) {
        *out = longer;
    }
}

fn pack(part: &[u8]) -> Vec<u8> {
    // This cannot fail: it writes to memory.
    zstd::bulk::compress(part, LEVEL).unwrap_or_default()
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, UnreadablePart> {
    zstd::bulk::decompress(packed, MAX_UNPACKED).map_err(|_| UnreadablePart)
}

/// The summary of a block, by which a search decides whether to unpack it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) id: i64,
    /// The number of its first line, counted over all blocks.
    pub(super) first: i64,
    pub(super) events: u32,
    pub(super) payloads: u32,
    /// The earliest and the latest time of receipt, in milliseconds.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) least_event: u64,
    pub(super) most_event: u64,
    /// The lowest and the highest event id of its late attempts; both 0 if it has none.
    pub(super) least_late: u64,
    pub(super) most_late: u64,
    pub(super) mask: u64,
}

impl Head {
    /// Computes the head of a block with these lines and late attempts.
    pub(super) fn of<'l>(
        id: i64,
        first: i64,
        lines: impl Iterator<Item = &'l Line> + Clone,
        late: &[LateAttempt],
    ) -> Self {
        let mut head = Self {
            id,
            first,
            from: i64::MAX,
            to: i64::MIN,
            least_event: u64::MAX,
            least_late: late.iter().map(|one| one.event).min().unwrap_or(0),
            most_late: late.iter().map(|one| one.event).max().unwrap_or(0),
            ..Self::default()
        };
        let mut last: Option<&Arc<Shape>> = None;
        for line in lines {
            head.events += 1;
            head.payloads += u32::from(line.has_payload);
            head.from = head.from.min(line.received_at);
            head.to = head.to.max(line.received_at);
            head.least_event = head.least_event.min(line.id.0);
            head.most_event = head.most_event.max(line.id.0);
            if line.is_duplicate {
                head.mask |= word("status", "duplicate");
            }
            // Neighbouring lines often share a shape.
            if !last.is_some_and(|last| Arc::ptr_eq(last, &line.shape)) {
                head.mask |= mask(&line.shape);
                last = Some(&line.shape);
            }
        }
        head
    }

    pub(super) fn may_have_event(&self, event: EventId) -> bool {
        (self.least_event..=self.most_event).contains(&event.0)
    }
}

/// Returns the bits of a shape: of its source, destinations and type, and of each status that does not depend on attempts.
fn mask(shape: &Shape) -> u64 {
    let mut mask = word("source", &shape.source) | word("type", &shape.kind);
    for call in &shape.calls {
        mask |= word("destination", &call.destination) | word("status", "called");
    }
    if !shape.skipped.is_empty() {
        mask |= word("status", "skipped");
    }
    if !shape.refusals.is_empty() {
        mask |= word("status", "rejected");
    }
    mask
}

/// Returns the bit of a word.
pub(super) fn word(kind: &str, word: &str) -> u64 {
    let key = bloom::key(Kind::Group, &format!("{kind}:{word}"));
    1 << (key % 64)
}

/// Returns the keys by which a line is found.
pub(super) fn keys(line: &Line) -> impl Iterator<Item = u64> {
    let keys = [(Kind::User, &line.user), (Kind::MessageId, &line.message_id), (Kind::Group, &line.group)];
    keys.into_iter().filter(|(_, id)| !id.is_empty()).map(|(kind, id)| bloom::key(kind, id))
}

impl Outcome {
    /// The status of every line with calls: its final status may still change by a late attempt, so the head does not have it.
    pub(super) const CALLED: &'static str = "called";
}
