//! A request's body, read and decompressed under caps: its own, and that of all bodies in memory together.
//!
//! Caps are on decompressed bytes, so a gzip bomb costs its cap and no more. Never waits for room: a sender is
//! told to come again instead.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Memory for bodies, in units of this many bytes.
const UNIT: usize = 1024;
/// A body whose length is not announced gets room in steps of this.
const STEP: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Of a refused body at most this much is still received, and thrown away.
const MOST_DISCARDED: usize = 64 << 20;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than {limit} bytes (after decompression); send it in smaller parts")]
    TooLarge { limit: usize },
    #[error("the body did not arrive in time; send it again")]
    TimedOut,
    #[error("too many large requests at once; try again in a moment")]
    NoRoom,
    #[error("Content-Encoding {name:?} is not supported; send the body plain or with gzip")]
    Encoding { name: String },
    #[error("the body says it is compressed, but it cannot be decompressed; send it whole, or plain")]
    Corrupt(#[source] std::io::Error),
    #[error("the body was cut off while it was read; send it again")]
    CutOff(#[source] axum::Error),
}

/// The memory that all bodies share.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS))))
    }

    fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BodyError> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(units).map_err(|_| BodyError::NoRoom)
    }
}

/// A body's text and the room that it takes.
#[derive(Debug, Clone)]
pub(super) struct Text {
    content: ByteString,
    /// The first byte that was no UTF-8, if any: such bytes were replaced by U+FFFD, and items that have one are refused.
    pub(super) mended_from: Option<usize>,
    _room: Arc<OwnedSemaphorePermit>,
}

impl Text {
    /// A text taken out of this body, which stays paid for.
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

/// Reads a body of at most `limit` decompressed bytes within `timeout`.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    timeout: Duration,
    room: &Room,
) -> Result<Text, BodyError> {
    let deadline = Instant::now() + timeout;
    let received = timeout_at(deadline, receive(headers, &mut body, limit, room)).await;
    let (encoding, bytes, mut taken) = match received {
        Ok(Ok(received)) => received,
        Ok(Err(refused)) => {
            discard(headers, body, deadline).await;
            return Err(refused);
        }
        Err(_) => return Err(BodyError::TimedOut),
    };
    let bytes = match encoding {
        Encoding::Plain => bytes,
        Encoding::Gzip => decompress(MultiGzDecoder::new(&bytes[..]), limit, room, &mut taken)?,
        Encoding::Deflate => decompress(ZlibDecoder::new(&bytes[..]), limit, room, &mut taken)?,
    };
    // RFC 8259 lets a reader ignore it; some editors and platforms put it before every text.
    let bytes = if bytes.starts_with(BYTE_ORDER_MARK) { bytes.slice(BYTE_ORDER_MARK.len()..) } else { bytes };
    let (content, mended_from) = match ByteString::try_from(bytes.clone()) {
        Ok(content) => (content, None),
        Err(error) => (String::from_utf8_lossy(&bytes).into_owned().into(), Some(error.valid_up_to())),
    };
    Ok(Text { content, mended_from, _room: Arc::new(taken) })
}

async fn receive(
    headers: &HeaderMap,
    body: &mut Body,
    limit: usize,
    room: &Room,
) -> Result<(Encoding, Bytes, OwnedSemaphorePermit), BodyError> {
    let encoding = encoding(headers)?;
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(BodyError::TooLarge { limit });
    }
    let (bytes, taken) = collect(body, limit, announced.unwrap_or(STEP), room).await?;
    Ok((encoding, bytes, taken))
}

/// Lets the rest of a refused body pass by. Most senders write all of it before they read, and would meet a closed
/// connection in place of the answer that says what is wrong.
pub(super) async fn discard(headers: &HeaderMap, mut body: Body, deadline: Instant) {
    // A sender that waits for a go-ahead has not sent its body, and now need not.
    if headers.contains_key(EXPECT) {
        return;
    }
    let pass = async {
        let mut left = MOST_DISCARDED;
        while left > 0
            && let Some(Ok(frame)) = body.frame().await
        {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        }
    };
    // What has not come by then is given up.
    let _ = timeout_at(deadline, pass).await;
}

async fn collect(
    body: &mut Body,
    limit: usize,
    expected: usize,
    room: &Room,
) -> Result<(Bytes, OwnedSemaphorePermit), BodyError> {
    let mut allowed = expected.max(UNIT);
    let mut taken = room.take(allowed)?;
    let mut bytes = BytesMut::new();
    let mut only = Bytes::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::CutOff)?.into_data() else { continue };
        let length = only.len() + bytes.len() + data.len();
        if length > limit {
            return Err(BodyError::TooLarge { limit });
        }
        while length > allowed {
            taken.merge(room.take(STEP)?);
            allowed += STEP;
        }
        // Most bodies come in one piece, which is then used as it is.
        if bytes.is_empty() && only.is_empty() {
            only = data;
        } else {
            if bytes.is_empty() {
                bytes.extend_from_slice(&std::mem::take(&mut only));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok((if bytes.is_empty() { only } else { bytes.freeze() }, taken))
}

fn decompress(
    decoder: impl std::io::Read,
    limit: usize,
    room: &Room,
    taken: &mut OwnedSemaphorePermit,
) -> Result<Bytes, BodyError> {
    let mut bytes = Vec::new();
    let mut decoder = decoder.take(limit as u64 + 1);
    loop {
        taken.merge(room.take(STEP)?);
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
