//! A block: up to some thousand events, packed into three parts, and a head by which a search selects blocks.
//!
//! Lines, late attempts and payloads are separate parts, so that a search unpacks only what it needs. Each part is one zstd
//! frame. Data from the file is never trusted: a damaged part gives an error, never a wrong answer.

mod head;
mod payloads;

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::line::{Attempt, Ending, Ids, Line, Shape};
use crate::event_id::EventId;

pub(super) use head::{Head, keys, word};
pub use payloads::Payload;
pub(super) use payloads::{Payloads, write_payload};

/// The highest level that costs about a microsecond for each event.
const LEVEL: i32 = 1;
/// A part is never larger than this when unpacked; a larger one was not written by the relay.
const MAX_UNPACKED: usize = 16 << 20;

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

/// As [`LinePacker::add`] writes it.
#[derive(Deserialize)]
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

#[derive(Deserialize)]
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

/// Packs the lines of a block, one after the other.
#[derive(Default)]
pub(super) struct LinePacker {
    shapes: Numbers<Shape>,
    endings: Numbers<Ending>,
    lines: u32,
    before: i64,
}

impl LinePacker {
    /// Adds a line to the part: a [`PackedLine`] as postcard writes it, but several times faster. Returns whether its shape is new.
    pub(super) fn add(&mut self, line: &Line, part: &mut Vec<u8>) -> bool {
        let id = line.id.0.cast_signed();
        let (shape, is_new) = self.shapes.number(&line.shape);
        let flags = [(line.is_duplicate, DUPLICATE), (line.is_replay, REPLAY), (line.has_payload, PAYLOAD)];
        write_signed(id.wrapping_sub(self.before), part);
        write_signed(line.received_at - line.id.milliseconds(), part);
        write_number(shape.into(), part);
        part.push(flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum());
        for text in [line.user(), line.message_id(), line.group()] {
            write_text(text, part);
        }
        write_number(line.attempts.len() as u64, part);
        for attempt in &line.attempts {
            let (ending, _) = self.endings.number(&attempt.ending);
            part.extend_from_slice(&[attempt.call, attempt.number]);
            write_number(ending.into(), part);
            write_number(attempt.took_us.into(), part);
            write_signed(attempt.at - line.received_at, part);
        }
        self.before = id;
        self.lines += 1;
        is_new
    }

    /// Completes the part: what the lines share comes before them.
    pub(super) fn finish(self, part: &mut Vec<u8>) {
        let Self { shapes, endings, lines, .. } = self;
        let mut common = Vec::new();
        write(&Common { lines, shapes: shapes.all(), endings: endings.all() }, &mut common);
        drop(part.splice(..0, common));
    }
}

/// Compresses parts. It keeps its memory from part to part.
#[derive(Default)]
pub(super) struct Compressor {
    zstd: Option<zstd::bulk::Compressor<'static>>,
    packed: Vec<u8>,
}

impl Compressor {
    pub(super) fn pack(&mut self, part: &[u8]) -> Vec<u8> {
        if self.zstd.is_none() {
            self.zstd = zstd::bulk::Compressor::new(LEVEL).ok();
        }
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(part.len()));
        let packed = self.zstd.as_mut().and_then(|zstd| zstd.compress_to_buffer(part, &mut self.packed).ok());
        if packed.is_some() { self.packed.as_slice().to_vec() } else { pack(part) }
    }
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
        let received_at = id.milliseconds().wrapping_add(packed.received_at);
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
            ids: Ids::new(packed.user, packed.message_id, packed.group),
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
        self.id.milliseconds().wrapping_add(self.packed.received_at)
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

/// Numbers values in the order in which they were first seen.
struct Numbers<T> {
    by_address: HashMap<usize, u32, RandomState>,
    all: Vec<Arc<T>>,
    /// The address and number of the last value: most lines are like the one before.
    last: Option<(usize, u32)>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self { by_address: HashMap::default(), all: Vec::new(), last: None }
    }
}

impl<T: Clone> Numbers<T> {
    /// Returns the number, and whether the value is new. Compares by address. Equal values at two addresses are kept twice, which costs
    /// only a little space.
    fn number(&mut self, one: &Arc<T>) -> (u32, bool) {
        let address = Arc::as_ptr(one).addr();
        if let Some((_, number)) = self.last.filter(|(last, _)| *last == address) {
            return (number, false);
        }
        let next = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let number = *self.by_address.entry(address).or_insert(next);
        let is_new = number == next;
        if is_new {
            self.all.push(Arc::clone(one));
        }
        self.last = Some((address, number));
        (number, is_new)
    }

    fn all(self) -> Vec<T> {
        self.all.into_iter().map(|one| T::clone(&one)).collect()
    }
}

/// Writes a number as postcard does: seven bits a byte, the lowest first.
fn write_number(mut number: u64, part: &mut Vec<u8>) {
    while number >= 0x80 {
        part.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    part.push(number.to_le_bytes()[0]);
}

/// Writes a signed number as postcard does: the sign is the lowest bit.
fn write_signed(number: i64, part: &mut Vec<u8>) {
    write_number(((number << 1) ^ (number >> 63)).cast_unsigned(), part);
}

/// Writes a text as postcard does.
fn write_text(text: &str, part: &mut Vec<u8>) {
    write_number(text.len() as u64, part);
    part.extend_from_slice(text.as_bytes());
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
