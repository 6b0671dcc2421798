//! Identifies the sender: first by a key in a header, before anything of the body is read, and only then by a key in
//! the body.
//!
//! A source without a write key exists on loopback only. It accepts nothing from web pages of other sites.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;

use super::Receiver;
use super::answer::{Audience, Refused};
use super::body::{self, Reading, SMALL_SEARCH, Text};
use super::credentials;
use super::memory::Peer;
use super::origin::is_of_this_machine;
use super::sender::Sender;
use crate::decode;
use crate::event::SourceKind;
use crate::pipeline::Source;
use crate::plain::is_terminal_control;

/// A refusal repeats at most this many characters of a wrong key to its sender.
const MAX_REPEATED_KEY: usize = 100;

/// What is known about a request while it is handled; a refusal uses it.
#[derive(Default)]
pub(super) struct Seen {
    /// The source that the request's key belongs to.
    pub(super) source: Option<Arc<Source>>,
    pub(super) body: Option<Bytes>,
}

/// A request from one kind of sender, before its body is read.
pub(super) struct Door<'r> {
    pub(super) receiver: &'r Receiver,
    pub(super) kind: SourceKind,
    pub(super) parts: &'r Parts,
}

impl Door<'_> {
    /// Reads the body. Records the source if a header has its key.
    pub(super) async fn read(&self, body: Body, limit: usize, seen: &mut Seen) -> Result<Text, Refused> {
        let shared = &self.receiver.0;
        let sources = shared.sources.load();
        seen.source = sources.keyed(self.kind, credentials::header_keys(&self.parts.headers)).cloned();
        let is_keyed = seen.source.is_some() || sources.open(self.kind).is_some();
        let peer = self.parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let (memory, timeout) = (&shared.memory, shared.timeout);
        let reading = Reading { memory, peer, is_keyed, limit, timeout };
        let text = body::read(&self.parts.headers, body, reading).await?;
        seen.body = Some(text.bytes().clone());
        Ok(text)
    }

    /// Returns the source: the one found by a header, or else the one whose key is in the body.
    pub(super) async fn source<'k>(
        &self,
        text: &Text,
        seen: &'k mut Seen,
    ) -> Result<&'k Arc<Source>, Refused> {
        if seen.source.is_none() {
            let searched = text.clone();
            let search = move || decode::body_key(searched.as_str()).map(Cow::into_owned);
            let key = self.receiver.0.memory.work(text.bytes().len() > SMALL_SEARCH, false, search).await?;
            self.by_body_key(key.as_deref(), seen)?;
        }
        seen.source.as_ref().ok_or(Refused::Key)
    }

    /// Returns the source, with a key that was already found in the body.
    pub(super) fn by_body_key<'k>(
        &self,
        key: Option<&str>,
        seen: &'k mut Seen,
    ) -> Result<&'k Arc<Source>, Refused> {
        if seen.source.is_none() {
            let sources = self.receiver.0.sources.load();
            seen.source = match sources.keyed(self.kind, key.map(Cow::Borrowed).into_iter()) {
                Some(source) => Some(Arc::clone(source)),
                None => match sources.open(self.kind) {
                    Some(_) if !is_of_this_machine(&self.parts.headers) => return Err(Refused::Origin),
                    open => open.cloned(),
                },
            };
        }
        seen.source.as_ref().ok_or_else(|| self.wrong_key(key))
    }

    /// Returns the answer to a refused request.
    pub(super) fn refuse(&self, refused: &Refused, audience: Audience, seen: &Seen) -> Response {
        let head = Sender::of_head(&self.parts.headers, &self.parts.extensions);
        let sender = head.with_body(&self.parts.headers, seen.body.as_ref(), seen.source.as_deref());
        refused.answer(audience, seen.source.as_ref(), sender)
    }

    /// Returns an error that repeats the wrong key to Amplitude's senders: their SDKs recognise the refusal by the
    /// text before the key.
    fn wrong_key(&self, body_key: Option<&str>) -> Refused {
        if self.kind != SourceKind::Amplitude {
            return Refused::Key;
        }
        // The key in the body is the one that the SDK was given.
        let in_headers = || credentials::header_keys(&self.parts.headers).next();
        body_key.map(Cow::Borrowed).or_else(in_headers).map_or(Refused::Key, |key| Refused::ApiKey {
            sent: key.chars().take(MAX_REPEATED_KEY).filter(|sign| !is_terminal_control(*sign)).collect(),
        })
    }
}
