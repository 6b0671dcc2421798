//! Reads the facts of a batch, one after the other. Nothing is copied.

use super::Batch;
use crate::event_id::EventId;

/// The first byte of a record.
pub(super) const POST: u8 = 1;
pub(super) const EVENT: u8 = 2;
pub(super) const OUTCOME: u8 = 3;

/// The flags of an event.
pub(super) const IS_DUPLICATE: u8 = 1;
pub(super) const HAS_TITLE: u8 = 2;
pub(super) const IS_KEPT: u8 = 4;
pub(super) const HAS_ORIGINAL: u8 = 8;
pub(super) const HAS_BODIES: u8 = 16;
pub(super) const HAS_ENVELOPE: u8 = 32;

/// One fact of a batch.
#[derive(Debug)]
pub enum Record<'b> {
    Post(PostRecord<'b>),
    /// An event of the post before it.
    Event(EventRecord<'b>),
    Outcome(OutcomeRecord),
}

/// What the events of a post share.
#[derive(Debug, Clone, Copy, Default)]
pub struct PostRecord<'b> {
    /// Milliseconds since 1970.
    pub received_at: i64,
    pub is_replay: bool,
    /// Empty if the post has none.
    pub envelope: &'b str,
}

#[derive(Debug)]
pub struct EventRecord<'b> {
    pub id: EventId,
    pub pattern: u32,
    pub is_duplicate: bool,
    /// Whether type, name, group and message id are known. If not, they are read from `original`.
    pub has_title: bool,
    pub kind: &'b str,
    pub name: &'b str,
    pub user: &'b str,
    pub message_id: &'b str,
    pub group: &'b str,
    /// Whether the payload is to be kept.
    pub is_kept: bool,
    /// Empty if it was not passed on.
    pub original: &'b [u8],
    pub bodies: Vec<&'b [u8]>,
    /// If it differs from that of the post.
    pub envelope: Option<&'b str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutcomeRecord {
    pub event: EventId,
    pub request: u8,
    pub attempt: u8,
    pub ending: u32,
    pub took_us: u32,
    /// Milliseconds since 1970.
    pub at: i64,
}

impl Batch {
    pub fn records(&self) -> Records<'_> {
        Records { rest: &self.bytes }
    }
}

/// The facts that are not read yet.
#[derive(Debug)]
pub struct Records<'b> {
    rest: &'b [u8],
}

impl<'b> Iterator for Records<'b> {
    type Item = Record<'b>;

    fn next(&mut self) -> Option<Record<'b>> {
        match self.byte()? {
            POST => Some(Record::Post(PostRecord {
                received_at: self.number().map(i64::from_le_bytes)?,
                is_replay: self.byte()? != 0,
                envelope: self.long_text()?,
            })),
            EVENT => self.event().map(Record::Event),
            OUTCOME => Some(Record::Outcome(OutcomeRecord {
                event: EventId(self.number().map(u64::from_le_bytes)?),
                request: self.byte()?,
                attempt: self.byte()?,
                ending: self.number().map(u32::from_le_bytes)?,
                took_us: self.number().map(u32::from_le_bytes)?,
                at: self.number().map(i64::from_le_bytes)?,
            })),
            _ => None,
        }
    }
}

impl<'b> Records<'b> {
    fn event(&mut self) -> Option<EventRecord<'b>> {
        let id = EventId(self.number().map(u64::from_le_bytes)?);
        let pattern = self.number().map(u32::from_le_bytes)?;
        let flags = self.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let mut lengths = [0; 5];
        for length in &mut lengths {
            *length = usize::from(self.number().map(u16::from_le_bytes)?);
        }
        let mut texts = std::str::from_utf8(self.bytes(lengths.iter().sum())?).ok()?;
        let mut split = [""; 5];
        for (text, length) in split.iter_mut().zip(lengths) {
            (*text, texts) = texts.split_at_checked(length)?;
        }
        let [kind, name, user, message_id, group] = split;
        Some(EventRecord {
            id,
            pattern,
            is_duplicate: has(IS_DUPLICATE),
            has_title: has(HAS_TITLE),
            kind,
            name,
            user,
            message_id,
            group,
            is_kept: has(IS_KEPT),
            original: if has(HAS_ORIGINAL) { self.long()? } else { &[] },
            bodies: if has(HAS_BODIES) { self.bodies()? } else { Vec::new() },
            envelope: if has(HAS_ENVELOPE) { Some(self.long_text()?) } else { None },
        })
    }

    fn bodies(&mut self) -> Option<Vec<&'b [u8]>> {
        let count = self.number().map(u32::from_le_bytes)?;
        (0..count).map(|_| self.long()).collect()
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (number, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*number)
    }

    fn bytes(&mut self, length: usize) -> Option<&'b [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn long(&mut self) -> Option<&'b [u8]> {
        let length = self.number().map(u32::from_le_bytes)?;
        self.bytes(usize::try_from(length).ok()?)
    }

    fn long_text(&mut self) -> Option<&'b str> {
        std::str::from_utf8(self.long()?).ok()
    }
}
