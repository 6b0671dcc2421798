//! The bodies of the records. Each has a checksum of its own; an empty body is a removal and is never read here.
//!
//! Foreign bytes give `None`, never a panic.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::chunk::{Chunk, Job};
use super::super::frame::{LAYOUT, Text};
use super::super::recent::{self, Identity};
use super::super::{Attempt, Place, Position, Priority};
use crate::accoil::Fingerprint;
use crate::event_id::EventId;

/// Before a chunk's bytes: their layout, whether they are compressed, the number of requests, the checksum.
const CHUNK_HEAD: usize = 10;
/// A chunk this large is compressed: the server's largest message is usually 1 MB.
const COMPRESS_FROM: usize = 512 << 10;
/// The most bytes that a compressed chunk may become.
const MAX_CHUNK: usize = 64 << 20;
const LEVEL: i32 = 1;

pub(super) fn chunk(requests: u32, bytes: &[u8]) -> Bytes {
    let packed = (bytes.len() >= COMPRESS_FROM).then(|| zstd::bulk::compress(bytes, LEVEL).ok()).flatten();
    let (is_packed, stored) = packed.as_deref().map_or((false, bytes), |packed| (true, packed));
    let mut body = BytesMut::with_capacity(CHUNK_HEAD + stored.len());
    body.put_u8(LAYOUT);
    body.put_u8(u8::from(is_packed));
    body.put_u32_le(requests);
    body.put_u32_le(crc32fast::hash(stored));
    body.put_slice(stored);
    body.freeze()
}

/// Reads a chunk; one whose bytes changed is not sound. `id` is the sequence of its message.
pub(super) fn read_chunk(lane: u16, id: i64, settled: Vec<u8>, body: &Bytes) -> Option<Chunk> {
    let head = body.get(..CHUNK_HEAD)?;
    let number = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let (layout, is_packed) = (*head.first()?, head.get(1) == Some(&1));
    let (requests, checksum) = (number(2)?, number(6)?);
    let mut bytes = body.slice(CHUNK_HEAD..);
    let mut is_sound = crc32fast::hash(&bytes) == checksum;
    if is_sound && is_packed {
        match zstd::bulk::decompress(&bytes, MAX_CHUNK) {
            Ok(unpacked) => bytes = unpacked.into(),
            Err(_) => is_sound = false,
        }
    }
    Some(Chunk { lane, id, requests, settled, layout, bytes, is_sound })
}

/// A parked call or a dead letter.
#[derive(Debug, Serialize, Deserialize)]
struct StoredCall<'a> {
    lane: u16,
    chunk: i64,
    index: u32,
    event: u64,
    request: u8,
    is_background: bool,
    source: &'a str,
    #[serde(borrow)]
    original: &'a [u8],
    destination: &'a str,
    user: &'a str,
    path: &'a str,
    #[serde(borrow)]
    body: &'a [u8],
    mapping: &'a str,
    action: &'a str,
    warnings: &'a str,
    fingerprints: Vec<(u64, u64)>,
    /// As JSON.
    attempts: &'a str,
    next_attempt_at: Option<i64>,
    /// The code of a dead letter's reason; empty otherwise.
    code: &'a str,
    /// An operator asked to try it now.
    is_due: bool,
}

/// A call with what is stored beside it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) job: Job,
    pub(super) attempts: Vec<Attempt>,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    pub(super) code: String,
    pub(super) is_due: bool,
}

pub(super) fn call(
    job: &Job,
    attempts: &[Attempt],
    next_attempt_at: Option<DateTime<Utc>>,
    code: &str,
    is_due: bool,
) -> Bytes {
    let Position { lane, chunk, index } = job.place.position();
    let attempts = serde_json::to_string(attempts).unwrap_or_default();
    sealed(&StoredCall {
        lane,
        chunk,
        index,
        event: job.event.0,
        request: job.request,
        is_background: job.priority == Priority::Background,
        source: job.source.as_str(),
        original: &job.original,
        destination: job.destination.as_str(),
        user: job.user.as_str(),
        path: job.path.as_str(),
        body: &job.body,
        mapping: job.mapping.as_str(),
        action: job.action.as_str(),
        warnings: job.warnings.as_str(),
        fingerprints: job.fingerprints.iter().map(|one| (one.key, one.content)).collect(),
        attempts: &attempts,
        next_attempt_at: next_attempt_at.map(|at| at.timestamp_millis()),
        code,
        is_due,
    })
}

pub(super) fn read_call(body: &[u8]) -> Option<Call> {
    let stored: StoredCall<'_> = open(body)?;
    let text = |text: &str| Text::from(text.to_owned());
    let position = Position { lane: stored.lane, chunk: stored.chunk, index: stored.index };
    Some(Call {
        job: Job {
            place: Place::Chunk { position, of: stored.index.saturating_add(1) },
            event: EventId(stored.event),
            request: stored.request,
            priority: if stored.is_background { Priority::Background } else { Priority::Live },
            source: text(stored.source),
            original: Bytes::copy_from_slice(stored.original),
            destination: text(stored.destination),
            user: text(stored.user),
            path: text(stored.path),
            body: Bytes::copy_from_slice(stored.body),
            mapping: text(stored.mapping),
            action: text(stored.action),
            warnings: text(stored.warnings),
            fingerprints: stored
                .fingerprints
                .into_iter()
                .map(|(key, content)| Fingerprint { key, content })
                .collect(),
        },
        attempts: serde_json::from_str(stored.attempts).unwrap_or_default(),
        next_attempt_at: stored.next_attempt_at.and_then(DateTime::from_timestamp_millis),
        code: stored.code.to_owned(),
        is_due: stored.is_due,
    })
}

/// A reject as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredReject<'a> {
    pub(super) event: u64,
    pub(super) at: i64,
    pub(super) source: &'a str,
    pub(super) form: &'a str,
    #[serde(borrow)]
    pub(super) original: &'a [u8],
    pub(super) reasons: &'a str,
    pub(super) envelope: Option<&'a str>,
}

pub(super) fn reject(reject: &StoredReject<'_>) -> Bytes {
    sealed(reject)
}

pub(super) fn read_reject(body: &[u8]) -> Option<StoredReject<'_>> {
    open(body)
}

/// The owner of a lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LeaseRecord {
    pub(super) relay: String,
    /// Grows with each owner.
    pub(super) epoch: u64,
    /// How long it holds after it was last renewed.
    pub(super) lease_ms: u64,
    /// The owner gave it back.
    pub(super) is_free: bool,
}

/// A relay: that it lives, and what it added and removed since it started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct RelayRecord {
    /// How long it counts as alive after this.
    pub(super) lease_ms: u64,
    pub(super) is_stopped: bool,
    pub(super) added: Tally,
    pub(super) removed: Tally,
    /// The relay's batch that the record came with. Each batch has its own number.
    #[serde(default)]
    pub(super) batch: u64,
    /// Another relay wrote this, when it took over a lane from this one.
    #[serde(default)]
    pub(super) is_fenced: bool,
}

/// Waiting calls and their bytes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Tally {
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Tally {
    pub(super) const fn add(&mut self, rows: u64, bytes: u64) {
        self.rows += rows;
        self.bytes += bytes;
    }
}

pub(super) fn json<T: Serialize>(record: &T) -> Bytes {
    serde_json::to_vec(record).unwrap_or_default().into()
}

pub(super) fn lease_time(lease_ms: u64) -> Duration {
    Duration::from_millis(lease_ms)
}

/// Ids and their windows, 20 bytes each.
pub(super) fn ids(identities: &[Identity]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(identities.len() * 20);
    for identity in identities {
        bytes.put_slice(&recent::bytes(identity));
        bytes.put_u32_le(identity.window);
    }
    bytes.freeze()
}

pub(super) fn read_ids(body: &[u8]) -> impl Iterator<Item = Identity> + '_ {
    body.chunks_exact(20).map(|id| {
        let word = |at: usize| {
            id.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        Identity { hash: [word(0), word(4), word(8), word(12)], window: word(16) }
    })
}

/// Fingerprints, 16 bytes each.
pub(super) fn fingerprints(fingerprints: &[Fingerprint]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(fingerprints.len() * 16);
    for one in fingerprints {
        bytes.put_u64_le(one.key);
        bytes.put_u64_le(one.content);
    }
    bytes.freeze()
}

pub(super) fn read_fingerprints(body: &[u8]) -> Vec<Fingerprint> {
    let pairs = body.chunks_exact(16).map(|pair| {
        let number = |at: usize| {
            pair.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        Fingerprint { key: number(0), content: number(8) }
    });
    pairs.collect()
}

/// The bits of the settled requests, and how many requests the chunk has.
pub(super) fn progress(of: u32, settled: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(4 + settled.len());
    bytes.put_u32_le(of);
    bytes.put_slice(settled);
    bytes.freeze()
}

pub(super) fn read_progress(body: &[u8]) -> Option<(u32, Vec<u8>)> {
    let of = u32::from_le_bytes(body.get(..4)?.try_into().ok()?);
    Some((of, body.get(4..)?.to_vec()))
}

/// A record behind its checksum.
fn sealed<T: Serialize>(record: &T) -> Bytes {
    let record = postcard::to_stdvec(record).unwrap_or_default();
    let mut bytes = BytesMut::with_capacity(4 + record.len());
    bytes.put_u32_le(crc32fast::hash(&record));
    bytes.put_slice(&record);
    bytes.freeze()
}

/// `None` if the bytes changed, or are not such a record.
fn open<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    let checksum = u32::from_le_bytes(body.get(..4)?.try_into().ok()?);
    let record = body.get(4..)?;
    (crc32fast::hash(record) == checksum).then(|| postcard::from_bytes(record).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let text = |text: &str| Text::from(text.to_owned());
        Job {
            place: Place::Parked { row: 9, position: Position { lane: 3, chunk: 70, index: 2 } },
            event: EventId(5),
            request: 1,
            priority: Priority::Background,
            source: text("web"),
            original: Bytes::from_static(b"{\"a\":1}"),
            destination: text("accoil"),
            user: text("ünï"),
            path: text("/v2/track"),
            body: Bytes::from_static(b"{}"),
            mapping: text("Track"),
            action: text("track"),
            warnings: text(""),
            fingerprints: vec![Fingerprint { key: 7, content: u64::MAX }],
        }
    }

    #[test]
    fn a_call_is_read_as_it_was_written_and_a_changed_one_is_none() {
        let attempt = Attempt {
            at: DateTime::UNIX_EPOCH,
            status: Some(503),
            reason: "busy".to_owned(),
            took_ms: None,
            running: None,
        };
        let at = DateTime::from_timestamp_millis(1_700_000_000_123);
        let bytes = call(&job(), std::slice::from_ref(&attempt), at, "dead.refused", true);
        let read = read_call(&bytes).unwrap();
        let expected = job();
        assert_eq!(read.job.place.position(), expected.place.position());
        assert_eq!((read.job.user.as_str(), &read.job.body[..]), ("ünï", &b"{}"[..]));
        assert_eq!((read.job.fingerprints, read.job.request), (expected.fingerprints, 1));
        assert_eq!((read.attempts, read.next_attempt_at), (vec![attempt], at));
        assert_eq!((read.code.as_str(), read.is_due), ("dead.refused", true));
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            assert!(read_call(&changed).is_none(), "{at}");
            assert!(read_call(&bytes[..at]).is_none(), "{at}");
        }
    }

    #[test]
    fn a_chunk_is_read_as_it_was_written_large_or_small_and_a_changed_one_is_not_sound() {
        for size in [0, 100, COMPRESS_FROM + 1] {
            let bytes = vec![b'x'; size];
            let stored = chunk(4, &bytes);
            assert!(stored.len() < COMPRESS_FROM);
            let read = read_chunk(2, 8, vec![1], &stored).unwrap();
            assert!(read.is_sound);
            assert_eq!((read.lane, read.id, read.requests, &read.bytes[..]), (2, 8, 4, &bytes[..]));
            let mut changed = stored.to_vec();
            if let Some(last) = changed.get_mut(CHUNK_HEAD) {
                *last ^= 1;
                assert!(!read_chunk(2, 8, vec![], &changed.into()).unwrap().is_sound);
            }
        }
        assert!(read_chunk(0, 1, vec![], &Bytes::from_static(b"short")).is_none());
    }

    #[test]
    fn ids_and_fingerprints_are_read_as_they_were_written() {
        let identity = Identity::new([3; 16], "web", "m1", Duration::from_secs(3600));
        assert_eq!(read_ids(&ids(&[identity, identity])).collect::<Vec<_>>(), [identity, identity]);
        let pair = [Fingerprint { key: 1, content: 2 }, Fingerprint { key: u64::MAX, content: 0 }];
        assert_eq!(read_fingerprints(&fingerprints(&pair)), pair);
        assert_eq!(read_progress(&progress(9, &[5, 1])), Some((9, vec![5, 1])));
    }
}
