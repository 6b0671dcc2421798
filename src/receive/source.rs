//! The sources a relay knows, and which of them a key belongs to.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

use crate::accoil::Destination;
use crate::decode::SourceSettings;
use crate::event::SourceKind;

/// A source as this stage needs it.
pub struct Source {
    pub name: Arc<str>,
    pub kind: SourceKind,
    /// None only where the relay listens on loopback: any key then belongs to it.
    pub write_key: Option<SecretString>,
    /// Webhook posts must then carry a valid `X-Signature`.
    pub shared_secret: Option<SecretString>,
    pub destinations: Vec<Arc<Destination>>,
    pub settings: SourceSettings,
    /// How long an event's id is remembered; zero: not at all.
    pub deduplication_window: Duration,
}

/// All sources, in the order of the configuration.
#[derive(Clone)]
pub struct Sources(Arc<[Arc<Source>]>);

impl FromIterator<Source> for Sources {
    fn from_iter<I: IntoIterator<Item = Source>>(sources: I) -> Self {
        Self(sources.into_iter().map(Arc::new).collect())
    }
}

impl Sources {
    /// The source of this kind that has the key; else one without a key. Every key is compared, each in constant
    /// time, so that the answer's time tells nothing of them.
    pub(super) fn find(&self, kind: SourceKind, key: Option<&str>) -> Option<&Arc<Source>> {
        let mut keyed = None;
        let mut open = None;
        for source in self.0.iter().filter(|source| source.kind == kind) {
            match (&source.write_key, key) {
                (Some(own), Some(key)) => {
                    if bool::from(own.expose_secret().as_bytes().ct_eq(key.as_bytes())) {
                        keyed = Some(source);
                    }
                }
                (Some(_), None) => {}
                (None, _) => open = open.or(Some(source)),
            }
        }
        keyed.or(open)
    }
}
