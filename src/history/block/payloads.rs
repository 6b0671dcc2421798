//! The payloads of a block: what was received and what was sent, for the events that the budget allowed.

use std::sync::Arc;

use serde::Deserialize;

use super::{UnreadablePart, unpack, write_number, write_text};

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
    pub(in crate::history) fn size(&self) -> usize {
        let bodies: usize = self.bodies.iter().map(|body| body.len() + 8).sum();
        self.original.len() + self.envelope.as_ref().map_or(0, |envelope| envelope.len()) + bodies + 16
    }
}

/// As [`write_payload`] writes it.
#[derive(Deserialize)]
struct PackedPayload<'a> {
    /// The index of its line.
    line: u32,
    #[serde(borrow)]
    original: &'a str,
    envelope: Option<&'a str>,
    bodies: Vec<&'a str>,
}

/// Adds a payload to the part, with the index of its line.
pub(in crate::history) fn write_payload(line: usize, payload: &Payload, part: &mut Vec<u8>) {
    write_number(line as u64, part);
    write_text(&payload.original, part);
    part.push(u8::from(payload.envelope.is_some()));
    if let Some(envelope) = &payload.envelope {
        write_text(envelope, part);
    }
    write_number(payload.bodies.len() as u64, part);
    for body in &payload.bodies {
        write_text(body, part);
    }
}

/// The payloads of a block.
pub(in crate::history) struct Payloads {
    part: Vec<u8>,
}

impl Payloads {
    pub(in crate::history) fn unpack(packed: &[u8]) -> Result<Self, UnreadablePart> {
        let part = if packed.is_empty() { Vec::new() } else { unpack(packed)? };
        Ok(Self { part })
    }

    pub(in crate::history) fn size(&self) -> usize {
        self.part.len()
    }

    /// Calls `each` with every text of every payload and the index of its line.
    pub(in crate::history) fn each_text(
        &self,
        mut each: impl FnMut(usize, &str),
    ) -> Result<(), UnreadablePart> {
        self.each(|packed| {
            let texts = packed.bodies.iter().copied().chain([packed.original]);
            texts.for_each(|text| each(packed.line as usize, text));
        })
    }

    /// Returns the payload of this line.
    pub(in crate::history) fn of(&self, line: usize) -> Result<Option<Payload>, UnreadablePart> {
        let mut found = None;
        self.each(|packed| {
            if packed.line as usize == line {
                found = Some(owned(packed));
            }
        })?;
        Ok(found)
    }

    /// Returns all payloads, each with the index of its line.
    pub(in crate::history) fn all(&self) -> Result<Vec<(usize, Payload)>, UnreadablePart> {
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
