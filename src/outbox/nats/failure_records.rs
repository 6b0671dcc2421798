//! The bodies of parked calls, dead letters and rejects, each behind a checksum; a large one is compressed.
//!
//! Bytes that are not a record give `None`, never a panic.

use std::borrow::Cow;

use bytes::{BufMut as _, Bytes, BytesMut};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::super::chunk::Job;
use super::super::frame::Text;
use super::super::{Attempt, Place, Position, Priority};
use super::codec::{COMPRESS_FROM, LEVEL, MAX_CHUNK};
use crate::accoil::Fingerprint;
use crate::event_id::EventId;

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
    /// True if an operator asked to try the call now.
    is_due: bool,
    /// When the call became a dead letter, if that was before the record was stored.
    at: Option<i64>,
}

/// A call with its attempts, to be stored.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) job: Job,
    pub(super) attempts: Vec<Attempt>,
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    pub(super) code: String,
    pub(super) is_due: bool,
    pub(super) at: Option<DateTime<Utc>>,
}

/// A parked call or a dead letter as it was stored.
pub(super) struct CallRecord<'a> {
    pub(super) job: &'a Job,
    pub(super) attempts: &'a [Attempt],
    pub(super) next_attempt_at: Option<DateTime<Utc>>,
    /// The code of a dead letter's reason; empty otherwise.
    pub(super) code: &'a str,
    /// True if an operator asked to try the call now.
    pub(super) is_due: bool,
    /// When the call became a dead letter, if that was before the record was stored.
    pub(super) at: Option<DateTime<Utc>>,
}

impl<'a> CallRecord<'a> {
    pub(super) const fn new(job: &'a Job, attempts: &'a [Attempt]) -> Self {
        Self { job, attempts, next_attempt_at: None, code: "", is_due: false, at: None }
    }
}

pub(super) fn call(record: &CallRecord<'_>) -> Bytes {
    let CallRecord { job, attempts, next_attempt_at, code, is_due, at } = *record;
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
        at: at.map(|at| at.timestamp_millis()),
    })
}

pub(super) fn read_call(body: &[u8]) -> Option<Call> {
    let record = unsealed(body)?;
    let stored: StoredCall<'_> = postcard::from_bytes(&record).ok()?;
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
        at: stored.at.and_then(DateTime::from_timestamp_millis),
    })
}

/// A reject as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RejectRecord<'a> {
    pub(super) event: u64,
    pub(super) at: i64,
    pub(super) source: &'a str,
    pub(super) form: &'a str,
    #[serde(borrow)]
    pub(super) original: &'a [u8],
    pub(super) reasons: &'a str,
    pub(super) envelope: Option<&'a str>,
}

pub(super) fn reject(reject: &RejectRecord<'_>) -> Bytes {
    sealed(reject)
}

/// Reads a reject and gives it to `use_it`; `None` if its bytes changed.
pub(super) fn read_reject<T>(body: &[u8], use_it: impl FnOnce(RejectRecord<'_>) -> T) -> Option<T> {
    let record = unsealed(body)?;
    postcard::from_bytes(&record).ok().map(use_it)
}

/// Writes a record: its checksum, whether it is compressed, and its bytes.
fn sealed<T: Serialize>(record: &T) -> Bytes {
    let record = postcard::to_stdvec(record).unwrap_or_default();
    let is_large = record.len() >= COMPRESS_FROM;
    let packed = is_large.then(|| zstd::bulk::compress(&record, LEVEL).ok()).flatten();
    let mut sealed = vec![u8::from(packed.is_some())];
    sealed.extend_from_slice(packed.as_deref().unwrap_or(&record));
    let mut bytes = BytesMut::with_capacity(4 + sealed.len());
    bytes.put_u32_le(crc32fast::hash(&sealed));
    bytes.put_slice(&sealed);
    bytes.freeze()
}

/// Returns the bytes of a record, or `None` if the checksum does not match.
fn unsealed(body: &[u8]) -> Option<Cow<'_, [u8]>> {
    let checksum = u32::from_le_bytes(body.get(..4)?.try_into().ok()?);
    let sealed = body.get(4..)?;
    let (is_packed, record) = sealed.split_first()?;
    if crc32fast::hash(sealed) != checksum {
        return None;
    }
    match is_packed {
        0 => Some(Cow::Borrowed(record)),
        _ => zstd::bulk::decompress(record, MAX_CHUNK).ok().map(Cow::Owned),
    }
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
        let expected = job();
        let record = CallRecord {
            next_attempt_at: at,
            code: "dead.refused",
            is_due: true,
            at,
            ..CallRecord::new(&expected, std::slice::from_ref(&attempt))
        };
        let bytes = call(&record);
        let read = read_call(&bytes).unwrap();
        assert_eq!(read.at, at);
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
}
