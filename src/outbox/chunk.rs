//! Reads a chunk: slices the requests of one commit out of its bytes, for one destination.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::frame::{LAYOUT, Reader, Text, UNKNOWN_NUMBER};
use super::priority::Priority;
use super::{Place, Position};
use crate::accoil::Fingerprint;
use crate::event_id::EventId;

/// The requests that one commit stored together.
#[derive(Debug, Clone)]
pub struct Chunk {
    pub(super) lane: u16,
    /// Its number within its lane.
    pub(super) id: i64,
    /// The number of requests in it, for all destinations.
    pub requests: u32,
    /// The requests that were settled in an earlier run, one bit each; empty if there are none.
    pub(super) settled: Vec<u8>,
    /// The layout of its bytes; see `frame`.
    pub(super) layout: u8,
    pub(super) bytes: Bytes,
    /// False if the bytes differ from those that were written: then none of it is read.
    pub(super) is_sound: bool,
}

/// One request on its way to one destination.
#[derive(Debug, Clone)]
pub struct Job {
    pub place: Place,
    /// The event that it was made from.
    pub event: EventId,
    /// The number of the request within its event, from 0; `u8::MAX` if it was not stored.
    pub request: u8,
    pub priority: Priority,
    pub source: Text,
    /// The event as the sender wrote it.
    pub original: Bytes,
    pub destination: Text,
    pub user: Text,
    pub path: Text,
    pub body: Bytes,
    pub mapping: Text,
    pub action: Text,
    pub warnings: Text,
    pub fingerprints: Vec<Fingerprint>,
}

impl Job {
    /// Copies the job out of its chunk. Without this it keeps the chunk's bytes in memory.
    pub fn detach(&mut self) {
        for bytes in [&mut self.original, &mut self.body] {
            *bytes = Bytes::copy_from_slice(bytes);
        }
        for text in [
            &mut self.source,
            &mut self.destination,
            &mut self.user,
            &mut self.path,
            &mut self.mapping,
            &mut self.action,
            &mut self.warnings,
        ] {
            *text = Text::from(text.as_str().to_owned());
        }
    }
}

impl Chunk {
    /// Counts the requests in its bytes, which have a checksum. The number in its row has none: with a smaller number the
    /// chunk would be deleted before its last call is sent.
    pub(super) fn with_counted_requests(mut self) -> Self {
        if self.is_sound
            && let Some(requests) = self.count_requests()
        {
            self.requests = requests;
        }
        self
    }

    fn count_requests(&self) -> Option<u32> {
        let mut reader = Reader(self.bytes.clone());
        let mut requests = 0;
        while !reader.is_empty() {
            if self.layout == LAYOUT {
                reader.event()?;
            }
            // The source and the event's text.
            reader.skip()?;
            reader.skip()?;
            let count = reader.count()?;
            for _ in 0..count {
                reader.skip()?;
            }
            requests += u32::try_from(count).ok()?;
        }
        Some(requests)
    }

    /// The position after all its calls.
    pub const fn position(&self) -> Position {
        Position::after_chunk(self.lane, self.id)
    }

    /// Returns the bytes that the chunk uses in memory.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the unsettled requests for a destination, in order. If the bytes cannot be read to the end, returns
    /// those before that place as `Err`.
    pub fn jobs(&self, destination: &str) -> Result<Vec<Job>, Vec<Job>> {
        if !self.is_sound {
            return Err(Vec::new());
        }
        let mut jobs = Vec::with_capacity(self.requests as usize);
        let read = self.read(|place, event, number, mut request| {
            if is_for(&request, destination) {
                jobs.push(read_job(&mut request, place, event, number)?);
            }
            Some(())
        });
        match read {
            Some(()) => Ok(jobs),
            None => Err(jobs),
        }
    }

    /// Returns the unsettled requests for every destination, in order, as far as they can be read.
    pub(super) fn all_jobs(&self) -> Vec<Job> {
        let mut jobs = Vec::new();
        if self.is_sound {
            let _ = self.read(|place, event, number, mut request| {
                jobs.push(read_job(&mut request, place, event, number)?);
                Some(())
            });
        }
        jobs
    }

    /// Counts the unsettled requests of every destination, as far as they can be read.
    pub(super) fn count(&self, counts: &mut BTreeMap<String, u64>) {
        let _ = self.read(|_, _, _, mut request| {
            let destination = request.text()?;
            match counts.get_mut(destination.as_str()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(destination.as_str().to_owned(), 1)),
            }
            Some(())
        });
    }

    /// Calls `each` for every unsettled request, with its place, its event and its number within the event, until one
    /// cannot be read.
    fn read(&self, mut each: impl FnMut(Place, &Head, u8, Reader) -> Option<()>) -> Option<()> {
        let mut reader = Reader(self.bytes.clone());
        let mut index = 0;
        while !reader.is_empty() {
            let id = match self.layout {
                1 => EventId::of_place(self.id, index),
                LAYOUT => reader.event()?,
                _ => return None,
            };
            let head = Head { id, source: reader.field()?, original: reader.field()? };
            for number in 0..reader.count()? {
                let request = Reader(reader.field()?);
                if !self.is_settled(index) {
                    let position = Position { lane: self.lane, chunk: self.id, index };
                    let place = Place::Chunk { position, of: self.requests };
                    each(place, &head, u8::try_from(number).unwrap_or(u8::MAX), request)?;
                }
                index += 1;
            }
        }
        Some(())
    }

    fn is_settled(&self, index: u32) -> bool {
        let byte = self.settled.get(index as usize / 8).copied().unwrap_or(0);
        byte & (1 << (index % 8)) != 0
    }
}

/// The values that an event's requests share.
struct Head {
    id: EventId,
    source: Bytes,
    original: Bytes,
}

/// True if a request is for the destination, found out without slicing its other fields.
fn is_for(request: &Reader, destination: &str) -> bool {
    let name = destination.as_bytes();
    request
        .0
        .get(..4)
        .is_some_and(|length| length == u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes())
        && request.0.get(4..4 + name.len()) == Some(name)
}

/// `number` is that of the request within its event, from its place.
fn read_job(request: &mut Reader, place: Place, event: &Head, number: u8) -> Option<Job> {
    let mut job = Job {
        place,
        event: event.id,
        request: number,
        priority: Priority::Live,
        source: Text::new(event.source.clone())?,
        original: event.original.clone(),
        destination: request.text()?,
        user: request.text()?,
        path: request.text()?,
        body: request.field()?,
        mapping: request.text()?,
        action: request.text()?,
        warnings: request.text()?,
        fingerprints: request.fingerprints()?,
    };
    // A background call may be stored by itself although its event has several.
    let is_whole = request.is_empty();
    let (number, priority) = request.number_and_priority();
    job.priority = priority;
    job.request = if is_whole { job.request } else { number.unwrap_or(UNKNOWN_NUMBER) };
    Some(job)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Accepted, frame};
    use super::*;
    use crate::accoil::Request;

    fn accepted(requests: &[(&str, &str)]) -> Accepted {
        let requests = requests.iter().map(|(destination, user)| Request {
            destination: Arc::from(*destination),
            mapping: Arc::from("Track Calls"),
            action: "track",
            path: "/v2/track",
            user: (*user).to_owned(),
            fingerprints: vec![Fingerprint { key: 7, content: 9 }],
            warnings: String::new(),
            body: b"{}".to_vec(),
        });
        Accepted {
            event: EventId(77),
            original: Bytes::from_static(b"{\"a\":1}"),
            message_id: None,
            requests: requests.collect(),
            warned: Vec::new(),
            title: None,
        }
    }

    #[test]
    fn a_destination_reads_its_own_requests_in_order_and_skips_settled_ones() {
        let mut bytes = Vec::new();
        frame::write_event(&mut bytes, "web", &accepted(&[("a", "u1"), ("b", "u1")]), Priority::Live);
        frame::write_event(&mut bytes, "app", &accepted(&[("a", "u2"), ("a", "u3")]), Priority::Background);
        let (settled, bytes) = (vec![0b100], bytes.into());
        let chunk = Chunk { lane: 0, id: 5, requests: 4, settled, layout: LAYOUT, bytes, is_sound: true };
        let jobs = chunk.jobs("a").unwrap();
        let seen: Vec<_> = jobs
            .iter()
            .map(|job| (job.source.as_str(), job.user.as_str(), job.place.position().to_string()))
            .collect();
        assert_eq!(seen, [("web", "u1", "5.0".to_owned()), ("app", "u3", "5.3".to_owned())]);
        let numbers: Vec<_> = jobs.iter().map(|job| (job.request, job.priority)).collect();
        assert_eq!(numbers, [(0, Priority::Live), (1, Priority::Background)]);
        assert_eq!(jobs[0].event, EventId(77));
        assert_eq!(jobs[0].fingerprints, [Fingerprint { key: 7, content: 9 }]);
    }

    #[test]
    fn torn_bytes_yield_what_was_whole() {
        let mut bytes = Vec::new();
        frame::write_event(&mut bytes, "web", &accepted(&[("a", "u1")]), Priority::Live);
        frame::write_event(&mut bytes, "web", &accepted(&[("a", "u2")]), Priority::Live);
        for length in 0..bytes.len() {
            let chunk = Chunk {
                lane: 0,
                id: 1,
                requests: 2,
                settled: vec![],
                layout: LAYOUT,
                bytes: Bytes::copy_from_slice(&bytes[..length]),
                is_sound: true,
            };
            let (Ok(jobs) | Err(jobs)) = chunk.jobs("a");
            assert!(jobs.len() <= 1);
        }
    }
}
