//! Reads and decompresses a request's body within limits: its own size, and the memory for all bodies.
//!
//! Limits apply to decompressed bytes, so that a gzip bomb costs no more than its limit. Slow work runs off the async
//! workers. Reading never waits for memory: the sender is asked to try again.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use bytestring::ByteString;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::memory::{BodyMemory, Memory, Peer, STEP};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// At most this much of a refused body is still received, and discarded.
const MAX_DISCARDED: usize = 64 << 20;
/// At most this much is reserved for what is only announced.
const MAX_RESERVED: usize = 256 * 1024;
/// Plain bodies up to this size are checked immediately, on an async worker.
const SMALL: usize = 1 << 20;
/// Bodies up to this size are searched for a key immediately.
pub(super) const SMALL_SEARCH: usize = 128 * 1024;
/// The same limits for decompressed bodies, with a right key in a header and without.
const SMALL_KEYED: usize = 256 * 1024;
const SMALL_KEYLESS: usize = 64 * 1024;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {limit} bytes (after decompression); send it in smaller parts")]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time; send it again")]
    TimedOut,
    #[error("too many large requests at once; try again in a moment")]
    NoRoom,
    #[error("this address sends too many large requests at once; try again in a moment")]
    NoShare,
    #[error("Content-Encoding {name:?} is not supported; send the body plain or with gzip")]
    Encoding { name: String },
    #[error("the body says it is compressed, but it cannot be decompressed; send it whole, or plain")]
    Corrupt(#[source] std::io::Error),
    #[error("the body was cut off while it was read; send it again")]
    CutOff(#[source] axum::Error),
}

/// A body's text and the memory that it uses.
#[derive(Debug, Clone)]
pub(super) struct Text {
    content: ByteString,
    /// The first byte that was no UTF-8, if any: such bytes were replaced by U+FFFD, and items that have one are refused.
    pub(super) first_invalid_utf8: Option<usize>,
    _held: Arc<BodyMemory>,
}

impl Text {
    /// Returns a part of this body's text, which keeps the memory permit of the whole body.
    pub(super) fn part(self, text: String) -> Self {
        Self { content: text.into(), ..self }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.content
    }

    pub(super) fn bytes(&self) -> &Bytes {
        self.content.as_bytes()
    }
}

/// How to read a body.
#[derive(Debug)]
pub(super) struct Reading<'r> {
    pub(super) memory: &'r Memory,
    pub(super) peer: Peer,
    /// True if a header has a right key.
    pub(super) is_keyed: bool,
    /// The most bytes after decompression.
    pub(super) limit: usize,
    /// The time for the whole body to arrive.
    pub(super) timeout: Duration,
}

/// Reads a body.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    reading: Reading<'_>,
) -> Result<Text, BodyError> {
    let Reading { memory, peer, is_keyed, limit, timeout } = reading;
    let deadline = Instant::now() + timeout;
    let mut held = BodyMemory::new(memory.clone(), peer, is_keyed);
    let received = timeout_at(deadline, receive(headers, &mut body, limit, &mut held)).await;
    let (encoding, bytes) = match received {
        Ok(Ok(received)) => received,
        Ok(Err(refused)) => {
            drop(held);
            discard(headers, body, deadline).await;
            return Err(refused);
        }
        Err(_) => return Err(BodyError::TimedOut),
    };
    if matches!(encoding, Encoding::Plain) {
        return memory.work(bytes.len() > SMALL, is_keyed, move || text(bytes, held)).await;
    }
    // A body that is small even when decompressed is not worth a thread.
    let small = if is_keyed { SMALL_KEYED } else { SMALL_KEYLESS };
    if bytes.len() <= small
        && let Ok(small) = decompress(&encoding, &bytes, small.min(limit))
    {
        held.take(small.len())?;
        return Ok(text(small, held));
    }
    let decompressed = move || {
        let decompressed = decompress_within(&encoding, &bytes, limit, &mut held)?;
        Ok(text(decompressed, held))
    };
    memory.work(true, is_keyed, decompressed).await?
}

fn text(bytes: Bytes, held: BodyMemory) -> Text {
    // RFC 8259 lets a reader ignore it; some editors and platforms put it before every text.
    let bytes = if bytes.starts_with(BYTE_ORDER_MARK) { bytes.slice(BYTE_ORDER_MARK.len()..) } else { bytes };
    let (content, first_invalid_utf8) = match ByteString::try_from(bytes.clone()) {
        Ok(content) => (content, None),
        Err(error) => (String::from_utf8_lossy(&bytes).into_owned().into(), Some(error.valid_up_to())),
    };
    Text { content, first_invalid_utf8, _held: Arc::new(held) }
}

async fn receive(
    headers: &HeaderMap,
    body: &mut Body,
    limit: usize,
    held: &mut BodyMemory,
) -> Result<(Encoding, Bytes), BodyError> {
    let encoding = encoding(headers)?;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    Ok((encoding, collect(body, announced, limit, held).await?))
}

/// Receives and discards the rest of a refused body. Most senders write the whole body before they read, and would
/// otherwise see a closed connection instead of the answer that explains the fault.
pub(super) async fn discard(headers: &HeaderMap, mut body: Body, deadline: Instant) {
    // A sender that waits for a go-ahead has not sent its body, and now does not have to.
    if headers.contains_key(EXPECT) {
        return;
    }
    let pass = async {
        let mut left = MAX_DISCARDED;
        while left > 0
            && let Some(Ok(frame)) = body.frame().await
        {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    // What has not arrived by then is not received.
    let _ = timeout_at(deadline, pass).await;
}

async fn collect(
    body: &mut Body,
    announced: Option<usize>,
    limit: usize,
    held: &mut BodyMemory,
) -> Result<Bytes, BodyError> {
    let mut bytes = BytesMut::new();
    let mut only = Bytes::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::CutOff)?.into_data() else { continue };
        let length = only.len() + bytes.len() + data.len();
        if length > limit {
            return Err(BodyError::TooLarge { limit });
        }
        held.grow(length, limit)?;
        // Most bodies arrive in one piece, which is used as it is.
        if bytes.is_empty() && only.is_empty() {
            only = data;
        } else {
            if bytes.is_empty() {
                // So that it is not copied each time it grows. Address space that is not written yet costs no memory.
                bytes.reserve(announced.unwrap_or(0).min(MAX_RESERVED));
                bytes.extend_from_slice(&std::mem::take(&mut only));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(if bytes.is_empty() { only } else { bytes.freeze() })
}

fn decompress(encoding: &Encoding, bytes: &[u8], limit: usize) -> Result<Bytes, BodyError> {
    inflate(encoding, bytes, limit, |_| Ok(()))
}

fn decompress_within(
    encoding: &Encoding,
    bytes: &[u8],
    limit: usize,
    held: &mut BodyMemory,
) -> Result<Bytes, BodyError> {
    inflate(encoding, bytes, limit, |bytes| held.take(bytes))
}

/// Decompresses at most `limit` bytes; takes memory before each step.
fn inflate(
    encoding: &Encoding,
    bytes: &[u8],
    limit: usize,
    mut take: impl FnMut(usize) -> Result<(), BodyError>,
) -> Result<Bytes, BodyError> {
    let decoder: Box<dyn std::io::Read + '_> = match encoding {
        Encoding::Plain => Box::new(bytes),
        Encoding::Gzip => Box::new(MultiGzDecoder::new(bytes)),
        Encoding::Deflate => Box::new(ZlibDecoder::new(bytes)),
    };
    let mut decoder = decoder.take(limit as u64 + 1);
    let mut bytes = Vec::new();
    loop {
        take(STEP)?;
        let read = decoder.by_ref().take(STEP as u64).read_to_end(&mut bytes).map_err(BodyError::Corrupt)?;
        if bytes.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if read < STEP {
            return Ok(Bytes::from(bytes));
        }
    }
}

enum Encoding {
    Plain,
    Gzip,
    Deflate,
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, BodyError> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Plain) };
    match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Plain),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "deflate" => Ok(Encoding::Deflate),
        name => Err(BodyError::Encoding { name: name.chars().take(40).collect() }),
    }
}
