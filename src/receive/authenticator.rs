//! Finds the source of a request: first by a key in a header, before anything of the body is read, and then by a key in
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
use super::answer::{Audience, RequestRefusal};
use super::body::{self, Reading, SMALL_SEARCH, Text};
use super::credentials;
use super::memory::Peer;
use super::origin::is_of_this_machine;
use super::sender::Sender;
use crate::decode;
use crate::event::SourceKind;
use crate::pipeline::Source;
use crate::plain::is_terminal_control;

/// The answer to a refused request repeats at most this many characters of a wrong key.
const MAX_REPEATED_KEY: usize = 100;

/// What is known about a request so far. The record of a refused request uses it.
#[derive(Default)]
pub(super) struct RequestContext {
    /// The source that the request's key belongs to.
    pub(super) source: Option<Arc<Source>>,
    pub(super) body: Option<Bytes>,
}

/// Reads the body of one request and finds its source.
pub(super) struct Authenticator<'r> {
    pub(super) receiver: &'r Receiver,
    pub(super) kind: SourceKind,
    pub(super) parts: &'r Parts,
}

impl Authenticator<'_> {
    /// Reads the body. Records the source if a header has its key.
    pub(super) async fn read(
        &self,
        body: Body,
        limit: usize,
        context: &mut RequestContext,
    ) -> Result<Text, RequestRefusal> {
        let shared = &self.receiver.0;
        let sources = shared.sources.load();
        context.source = sources.keyed(self.kind, credentials::header_keys(&self.parts.headers)).cloned();
        let is_keyed = context.source.is_some() || sources.open(self.kind).is_some();
        let peer = self.parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let (memory, timeout) = (&shared.memory, shared.timeout);
        let reading = Reading { memory, peer, is_keyed, limit, timeout };
        let text = body::read(&self.parts.headers, body, reading).await?;
        context.body = Some(text.bytes().clone());
        Ok(text)
    }

    /// Returns the source: the one found by a header, or else the one whose key is in the body.
    pub(super) async fn source<'k>(
        &self,
        text: &Text,
        context: &'k mut RequestContext,
    ) -> Result<&'k Arc<Source>, RequestRefusal> {
        if context.source.is_none() {
            let searched = text.clone();
            let search = move || decode::body_key(searched.as_str()).map(Cow::into_owned);
            let key = self.receiver.0.memory.work(text.bytes().len() > SMALL_SEARCH, false, search).await?;
            self.by_body_key(key.as_deref(), context)?;
        }
        context.source.as_ref().ok_or(RequestRefusal::Key)
    }

    /// Returns the source: the one found by a header, or else the one with this key, which was found in the body.
    pub(super) fn by_body_key<'k>(
        &self,
        key: Option<&str>,
        context: &'k mut RequestContext,
    ) -> Result<&'k Arc<Source>, RequestRefusal> {
        if context.source.is_none() {
            let sources = self.receiver.0.sources.load();
            context.source = match sources.keyed(self.kind, key.map(Cow::Borrowed).into_iter()) {
                Some(source) => Some(Arc::clone(source)),
                None => match sources.open(self.kind) {
                    Some(_) if !is_of_this_machine(&self.parts.headers) => {
                        return Err(RequestRefusal::Origin);
                    }
                    open => open.cloned(),
                },
            };
        }
        context.source.as_ref().ok_or_else(|| self.wrong_key(key))
    }

    /// Returns the answer to a refused request.
    pub(super) fn refuse(
        &self,
        refused: &RequestRefusal,
        audience: Audience,
        context: &RequestContext,
    ) -> Response {
        let head = Sender::of_head(&self.parts.headers, &self.parts.extensions);
        let sender = head.with_body(&self.parts.headers, context.body.as_ref(), context.source.as_deref());
        refused.answer(audience, context.source.as_ref(), sender)
    }

    /// Returns an error that repeats the wrong key to Amplitude's senders: their SDKs recognise the refusal by the
    /// text before the key.
    fn wrong_key(&self, body_key: Option<&str>) -> RequestRefusal {
        if self.kind != SourceKind::Amplitude {
            return RequestRefusal::Key;
        }
        // The key in the body is the one that the SDK was given.
        let in_headers = || credentials::header_keys(&self.parts.headers).next();
        body_key.map(Cow::Borrowed).or_else(in_headers).map_or(RequestRefusal::Key, |key| {
            RequestRefusal::ApiKey {
                sent: key.chars().take(MAX_REPEATED_KEY).filter(|sign| !is_terminal_control(*sign)).collect(),
            }
        })
    }
}
