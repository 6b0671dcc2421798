//! The bodies of the records. Each has a checksum of its own; an empty body is a removal and is never read here.
//!
//! Bytes that are not a record give `None`, never a panic.

use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::chunk::Chunk;
use super::super::frame::LAYOUT;
use super::super::recent::{self, Identity};
use crate::accoil::Fingerprint;

/// The header of a chunk: the layout, whether the bytes are compressed, the number of requests, the checksum.
const CHUNK_HEAD: usize = 10;
/// A chunk of this size or more is compressed, because a server's message limit is usually 1 MB.
pub(super) const COMPRESS_FROM: usize = 512 << 10;
/// The most bytes that a compressed chunk may become.
pub(super) const MAX_CHUNK: usize = 64 << 20;
pub(super) const LEVEL: i32 = 1;

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

/// Reads a chunk and checks its checksum. `id` is the sequence of its message.
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

/// The owner of a lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LeaseRecord {
    pub(super) relay: String,
    /// Grows with each owner.
    pub(super) epoch: u64,
    /// How long the lease lasts after a renewal.
    pub(super) lease_ms: u64,
    /// The owner gave the lane back.
    pub(super) is_free: bool,
}

/// A relay's record: that the relay is alive, and what it added and removed since it started.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct RelayRecord {
    /// How long it counts as alive after this.
    pub(super) lease_ms: u64,
    pub(super) is_stopped: bool,
    pub(super) added: Tally,
    pub(super) removed: Tally,
    /// The number of the relay's batch that stored this record. Each batch has its own number.
    #[serde(default)]
    pub(super) batch: u64,
    /// True if another relay wrote this record when it took over a lane from this relay.
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

const ID: usize = 20;

/// Ids and their windows, 20 bytes each. An entry without a window is the minute in which the ids behind it were accepted; the ids before the
/// first one were accepted when the record was stored.
pub(super) fn ids(identities: &[Identity]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(identities.len() * ID);
    for identity in identities {
        bytes.put_slice(&recent::bytes(identity));
        bytes.put_u32_le(identity.window);
    }
    bytes.freeze()
}

/// Adds the minute in which the ids behind it were accepted.
pub(super) fn put_minute(bytes: &mut BytesMut, at: DateTime<Utc>) {
    bytes.put_u32_le(recent::minute(at));
    bytes.put_bytes(0, ID - 4);
}

/// Reads the ids, and when each was accepted.
pub(super) fn read_ids(
    body: &[u8],
    stored_at: DateTime<Utc>,
) -> impl Iterator<Item = (Identity, DateTime<Utc>)> {
    let mut at = stored_at;
    entries(body).filter_map(move |identity| {
        if identity.window == 0 {
            at = DateTime::from_timestamp(i64::from(identity.hash[0]) * 60, 0).unwrap_or(stored_at);
            return None;
        }
        Some((identity, at))
    })
}

pub(super) fn count_ids(body: &[u8]) -> usize {
    entries(body).filter(|identity| identity.window > 0).count()
}

fn entries(body: &[u8]) -> impl Iterator<Item = Identity> {
    body.chunks_exact(ID).map(|id| {
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

/// Fingerprints and the milliseconds at which they were stored, 24 bytes each.
pub(super) fn many_fingerprints(all: impl Iterator<Item = (Fingerprint, DateTime<Utc>)>) -> Bytes {
    let mut bytes = BytesMut::new();
    for (one, at) in all {
        bytes.put_slice(&fingerprints(&[one]));
        bytes.put_i64_le(at.timestamp_millis());
    }
    bytes.freeze()
}

pub(super) fn read_many_fingerprints(body: &[u8]) -> impl Iterator<Item = (Fingerprint, DateTime<Utc>)> + '_ {
    body.chunks_exact(24).filter_map(|one| {
        let fingerprint = read_fingerprints(one).pop()?;
        let at = i64::from_le_bytes(one.get(16..)?.try_into().ok()?);
        Some((fingerprint, DateTime::from_timestamp_millis(at)?))
    })
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let now = Utc::now();
        assert_eq!(read_ids(&ids(&[identity; 2]), now).collect::<Vec<_>>(), [(identity, now); 2]);
        let pair = [Fingerprint { key: 1, content: 2 }, Fingerprint { key: u64::MAX, content: 0 }];
        assert_eq!(read_fingerprints(&fingerprints(&pair)), pair);
        assert_eq!(read_progress(&progress(9, &[5, 1])), Some((9, vec![5, 1])));
    }
}
