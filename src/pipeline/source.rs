//! The configured sources: their keys, settings, destinations and counters.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

use super::document::{self, DocumentError};
use crate::accoil::Destination;
use crate::decode::SourceSettings;
use crate::event::SourceKind;
use crate::facts::{Mappings, SourceCounts};
use crate::fault::Fault;

/// One configured source.
#[derive(Clone)]
pub struct Source {
    pub name: Arc<str>,
    pub kind: SourceKind,
    /// `None` only if the relay listens on loopback: any key then belongs to this source.
    pub write_key: Option<SecretString>,
    /// If set, requests must have a valid `X-Signature`, on every route.
    pub shared_secret: Option<SecretString>,
    /// True if requests without a signature are accepted anyway.
    pub takes_unsigned: bool,
    pub destinations: Vec<Arc<Destination>>,
    pub settings: SourceSettings,
    /// How long an event's id is remembered; zero disables de-duplication.
    pub deduplication_window: Duration,
    /// The counters of the source's events since the start.
    pub counts: Arc<SourceCounts>,
    /// The version of its destinations' mappings; [`Sources::new`] sets it.
    pub mappings_version: u64,
}

/// All sources and all destinations, each in the order of the configuration.
pub struct Sources {
    /// In the order of the configuration.
    all: Vec<Arc<Source>>,
    destinations: Vec<Arc<Destination>>,
    /// The destinations' mappings as one text.
    document: Arc<str>,
    /// Of that text.
    version: u64,
}

impl Sources {
    /// `destinations` are those of the sources, and any that no source sends to.
    pub fn new(sources: impl Iterator<Item = Source>, destinations: Vec<Arc<Destination>>) -> Self {
        let (document, version) = document::write(&destinations);
        let all = sources.map(|source| Arc::new(Source { mappings_version: version, ..source })).collect();
        Self { all, destinations, document, version }
    }

    /// Returns the mappings in force, for the history. From the document in it the same mappings can be compiled again.
    pub fn to_fact(&self, at: DateTime<Utc>) -> Mappings {
        Mappings { version: self.version, at, document: Arc::clone(&self.document) }
    }

    /// Returns the same sources with the mappings of a document that [`Self::to_fact`] returned earlier.
    pub fn with_mappings_of(&self, document: &str) -> Result<Self, DocumentError> {
        Ok(self.with_destinations(document::read(document)?))
    }

    /// The version of the mappings, as events name it.
    pub const fn version(&self) -> u64 {
        self.version
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.all.iter()
    }

    pub fn destinations(&self) -> &[Arc<Destination>] {
        &self.destinations
    }

    /// Reads the mapping files of every destination again. Returns the same sources with them, or all faults of all
    /// files.
    pub fn reload(&self) -> Result<Self, Vec<Fault>> {
        let (mut destinations, mut faults) = (Vec::new(), Vec::new());
        for destination in &self.destinations {
            match destination.reload() {
                Ok(destination) => destinations.push(Arc::new(destination)),
                Err(more) => faults.extend(more),
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(self.with_destinations(destinations))
    }

    /// Returns the same sources with a draft of a mapping file at one destination; none if there is no such destination.
    pub fn with_draft(&self, destination: &str, draft: &str) -> Result<Option<Self>, Vec<Fault>> {
        let mut destinations = self.destinations.clone();
        let Some(changed) = destinations.iter_mut().find(|one| *one.name == *destination) else {
            return Ok(None);
        };
        *changed = Arc::new(changed.with_draft(draft)?);
        Ok(Some(self.with_destinations(destinations)))
    }

    /// Returns the same sources, each with the given destinations of the same names.
    fn with_destinations(&self, destinations: Vec<Arc<Destination>>) -> Self {
        let of = |source: &Source| {
            let named = |name: &str| destinations.iter().find(|destination| *destination.name == *name);
            source.destinations.iter().filter_map(|old| named(&old.name)).cloned().collect()
        };
        let all = self.all.iter().map(|source| Source { destinations: of(source), ..Source::clone(source) });
        Self::new(all.collect::<Vec<_>>().into_iter(), destinations)
    }

    /// Returns the source with this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Source>> {
        self.all.iter().find(|source| &*source.name == name)
    }

    /// Returns the source of this kind that has one of the keys, which are tried in order.
    pub fn keyed<'k>(
        &self,
        kind: SourceKind,
        mut keys: impl Iterator<Item = Cow<'k, str>>,
    ) -> Option<&Arc<Source>> {
        keys.find_map(|key| self.of_key(kind, &key))
    }

    /// Returns the source of this kind without a key. It owns every key that belongs to no other source.
    pub fn open(&self, kind: SourceKind) -> Option<&Arc<Source>> {
        self.all.iter().find(|source| source.kind == kind && source.write_key.is_none())
    }

    /// Compares every key in constant time, so that the answer's time reveals nothing about them.
    fn of_key(&self, kind: SourceKind, key: &str) -> Option<&Arc<Source>> {
        let mut found = None;
        for source in self.all.iter().filter(|source| source.kind == kind) {
            let own =
                source.write_key.as_ref().map(|own| own.expose_secret().as_bytes().ct_eq(key.as_bytes()));
            if own.is_some_and(bool::from) {
                found = Some(source);
            }
        }
        found
    }
}
