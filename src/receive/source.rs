//! The sources a relay knows, which of them a key belongs to, and the destinations they send to.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

use crate::accoil::Destination;
use crate::decode::SourceSettings;
use crate::event::SourceKind;
use crate::mapping::Fault;

/// A source as this stage needs it.
#[derive(Clone)]
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

/// All sources and all destinations, each in the order of the configuration.
pub struct Sources {
    sources: Vec<Arc<Source>>,
    destinations: Vec<Arc<Destination>>,
}

impl Sources {
    /// `destinations`: those of the sources, and any that no source sends to.
    pub fn new(sources: impl Iterator<Item = Source>, destinations: Vec<Arc<Destination>>) -> Self {
        Self { sources: sources.map(Arc::new).collect(), destinations }
    }

    pub fn destinations(&self) -> &[Arc<Destination>] {
        &self.destinations
    }

    /// The same sources, the mapping files of every destination read once more; or all faults of all files.
    pub(super) fn read_again(&self) -> Result<Self, Vec<Fault>> {
        let (mut destinations, mut faults) = (Vec::new(), Vec::new());
        for destination in &self.destinations {
            match destination.read_again() {
                Ok(destination) => destinations.push(Arc::new(destination)),
                Err(more) => faults.extend(more),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let of = |source: &Source| {
            let named = |name: &str| destinations.iter().find(|destination| *destination.name == *name);
            source.destinations.iter().filter_map(|old| named(&old.name)).cloned().collect()
        };
        let sources =
            self.sources.iter().map(|source| Source { destinations: of(source), ..Source::clone(source) });
        Ok(Self::new(sources.collect::<Vec<_>>().into_iter(), destinations))
    }

    /// The source of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.iter().find(|source| &*source.name == name)
    }

    /// The source of this kind that has the key; else one without a key. Every key is compared, each in constant
    /// time, so that the answer's time tells nothing of them.
    pub(super) fn find(&self, kind: SourceKind, key: Option<&str>) -> Option<&Arc<Source>> {
        let mut keyed = None;
        let mut open = None;
        for source in self.sources.iter().filter(|source| source.kind == kind) {
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
