//! Who sends: the key in a header is looked for before anything of the body is read; only then the one inside the body.
//!
//! A source without a write key exists on loopback only. It takes nothing from web pages of other sites.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;

use super::Receiver;
use super::answer::Refused;
use super::body::{self, Peer, Reading, SMALL_SEARCH, Text};
use super::credentials;
use super::origin::is_of_this_machine;
use crate::decode;
use crate::event::SourceKind;
use crate::pipeline::Source;

/// A refusal repeats at most this many characters of a wrong key to its sender.
const LONGEST_REPEATED_KEY: usize = 100;

/// A request of a kind of senders, its body not yet read.
pub(super) struct Door<'r> {
    pub(super) receiver: &'r Receiver,
    pub(super) kind: SourceKind,
    pub(super) parts: &'r Parts,
}

impl Door<'_> {
    /// Reads the body. Sets the source if a header has its key.
    pub(super) async fn read(
        &self,
        body: Body,
        limit: usize,
        known: &mut Option<Arc<Source>>,
    ) -> Result<Text, Refused> {
        let shared = &self.receiver.0;
        let sources = shared.sources.load();
        *known = sources.keyed(self.kind, credentials::header_keys(&self.parts.headers)).cloned();
        let is_keyed = known.is_some() || sources.open(self.kind).is_some();
        let peer = self.parts.extensions.get::<Peer>().cloned().unwrap_or_default();
        let (memory, timeout) = (&shared.memory, shared.timeout);
        let reading = Reading { memory, peer, is_keyed, limit, timeout };
        Ok(body::read(&self.parts.headers, body, reading).await?)
    }

    /// The source: the one known by a header, else the one whose key the body has.
    pub(super) async fn source<'k>(
        &self,
        text: &Text,
        known: &'k mut Option<Arc<Source>>,
    ) -> Result<&'k Arc<Source>, Refused> {
        if known.is_none() {
            let searched = text.clone();
            let search = move || decode::body_key(searched.as_str()).map(Cow::into_owned);
            let key = self.receiver.0.memory.work(text.bytes().len() > SMALL_SEARCH, false, search).await?;
            self.by_body_key(key.as_deref(), known)?;
        }
        known.as_ref().ok_or(Refused::Key)
    }

    /// The same, with a key that was found in the body.
    pub(super) fn by_body_key<'k>(
        &self,
        key: Option<&str>,
        known: &'k mut Option<Arc<Source>>,
    ) -> Result<&'k Arc<Source>, Refused> {
        if known.is_none() {
            let sources = self.receiver.0.sources.load();
            *known = match sources.keyed(self.kind, key.map(Cow::Borrowed).into_iter()) {
                Some(source) => Some(Arc::clone(source)),
                None => match sources.open(self.kind) {
                    Some(_) if !is_of_this_machine(&self.parts.headers) => return Err(Refused::Origin),
                    open => open.cloned(),
                },
            };
        }
        known.as_ref().ok_or_else(|| self.wrong_key(key))
    }

    /// Names the wrong key to a sender of Amplitude's: its SDKs know the refusal by the words that come before the key.
    fn wrong_key(&self, body_key: Option<&str>) -> Refused {
        if self.kind != SourceKind::Amplitude {
            return Refused::Key;
        }
        // The key of the body is the one that the SDK was given.
        let in_headers = || credentials::header_keys(&self.parts.headers).next();
        body_key.map(Cow::Borrowed).or_else(in_headers).map_or(Refused::Key, |key| Refused::ApiKey {
            sent: key.chars().take(LONGEST_REPEATED_KEY).filter(|char| !char.is_control()).collect(),
        })
    }
}
