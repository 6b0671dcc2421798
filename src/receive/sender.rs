//! The sender of a refused request: its address, its program, its key's length, the beginning of its body.
//!
//! Collected only for refused requests. A whole key is never kept.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{Extensions, HeaderMap, HeaderValue};
use memchr::memmem;
use secrecy::ExposeSecret as _;

use super::body::SMALL_SEARCH;
use super::credentials;
use super::memory::Peer;
use crate::decode;
use crate::facts::KeyHint;
use crate::pipeline::Source;

/// The bytes of the body that are searched for keys to hide; a record keeps fewer.
const SAMPLE: usize = 1024;
const HIDDEN: &[u8] = b"[write key]";

#[derive(Debug, Clone, Default)]
pub(super) struct Sender {
    pub(super) address: Option<IpAddr>,
    pub(super) agent: Option<HeaderValue>,
    /// The size of the body, as far as it is known.
    pub(super) bytes: u64,
    /// The key, which belongs to no source.
    pub(super) key: Option<KeyHint>,
    /// The beginning of the body, without keys.
    pub(super) body: Option<Bytes>,
}

impl Sender {
    /// Reads the head of a request.
    pub(super) fn of_head(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        Self {
            address: extensions.get::<Peer>().and_then(|peer| peer.address),
            agent: headers.get(USER_AGENT).cloned(),
            bytes: length.unwrap_or(0),
            ..Self::default()
        }
    }

    /// Adds the key that was tried, and the body. `source` is the one that the right key belongs to, if a key was
    /// right.
    pub(super) fn with_body(
        mut self,
        headers: &HeaderMap,
        body: Option<&Bytes>,
        source: Option<&Source>,
    ) -> Self {
        let searched = body.filter(|body| body.len() <= SMALL_SEARCH);
        let body_key = searched.and_then(|body| decode::body_key(std::str::from_utf8(body).ok()?));
        let tried: Vec<Cow<'_, str>> = credentials::header_keys(headers).chain(body_key).collect();
        if source.is_none() {
            self.key = tried.first().map(|key| KeyHint::of(key));
        }
        let Some(body) = body else { return self };
        self.bytes = body.len() as u64;
        let own =
            source.and_then(|source| source.write_key.as_ref()).map(secrecy::SecretString::expose_secret);
        let keys = tried.iter().map(|key| &**key).chain(own);
        self.body = Some(hide(body.get(..SAMPLE).unwrap_or(body), keys));
        self
    }
}

/// Returns the text without these keys. A key that the cut divides is hidden too.
fn hide<'k>(text: &[u8], keys: impl Iterator<Item = &'k str>) -> Bytes {
    let mut text = text.to_vec();
    for key in keys.filter(|key| !key.is_empty()) {
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| memmem::find(rest, key.as_bytes())) {
            let at = from + at;
            text.splice(at..at + key.len(), HIDDEN.iter().copied());
            from = at + HIDDEN.len();
        }
        let begun = (1..key.len()).rev().find(|length| text.ends_with(&key.as_bytes()[..*length]));
        text.truncate(text.len() - begun.unwrap_or(0));
    }
    Bytes::from(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_a_body_has_no_key() {
        for (text, expected) in [
            (
                "{\"writeKey\":\"secret\",\"a\":\"secret\"}",
                "{\"writeKey\":\"[write key]\",\"a\":\"[write key]\"}",
            ),
            ("{\"writeKey\":\"sec", "{\"writeKey\":\""),
            ("{\"a\":1}", "{\"a\":1}"),
            ("", ""),
        ] {
            assert_eq!(hide(text.as_bytes(), ["secret", ""].into_iter()), expected);
        }
    }
}
