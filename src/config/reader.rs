//! The state that all sections share while they are read: the environment, the places of keys, and the faults so far.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::environment::Environment;
use super::tree::Origin;
use super::value::Reading;
use super::{Config, rules};
use crate::fault::{Fault, MAX_FAULTS, Place, SourceText};

pub(super) struct Reader<'e> {
    environment: &'e Environment,
    source: SourceText,
    faults: Vec<Fault>,
    /// The place of each key that was read, by its dotted path (`sources.0.write_key`).
    places: BTreeMap<String, Origin>,
    /// The paths that have a fault. A rule that fails because of one would only repeat it.
    faulty: BTreeSet<String>,
    /// The environment variables that `${NAME}` named.
    used: BTreeSet<String>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(environment: &'e Environment, source: SourceText) -> Self {
        Self {
            environment,
            source,
            faults: Vec::new(),
            places: BTreeMap::new(),
            faulty: BTreeSet::new(),
            used: BTreeSet::new(),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        self.source.file.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn expand(&mut self, text: &str) -> Reading<String> {
        self.environment.expand(text, &mut self.used)
    }

    pub(super) fn fault(&mut self, origin: &Origin, message: String, advice: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { place: self.place(origin), message, advice });
        }
    }

    pub(super) fn place(&self, origin: &Origin) -> Place {
        match origin {
            Origin::Embedded => Place::Unknown,
            Origin::Variable(name) => Place::Variable(name.clone()),
            Origin::File(byte) => self.source.place(*byte),
        }
    }

    pub(super) fn found(&mut self, path: String, origin: &Origin) {
        self.places.insert(path, origin.clone());
    }

    pub(super) fn mark_faulty(&mut self, path: String) {
        self.faulty.insert(path);
    }

    pub(super) fn is_faulty(&self, path: &str) -> bool {
        self.faulty.contains(path)
    }

    /// The origin of the path or, if the key is missing, of the section that would hold it.
    pub(super) fn origin_of(&self, path: &str) -> Origin {
        let mut path = path;
        loop {
            match (self.places.get(path), path.rsplit_once('.')) {
                (Some(origin), _) => return origin.clone(),
                (None, Some((section, _))) => path = section,
                (None, None) => return Origin::Embedded,
            }
        }
    }

    /// Returns all faults: those found so far, broken rules, and unknown environment variables.
    pub(super) fn finish(mut self, config: Option<&Config>, unknown: Vec<(String, Fault)>) -> Vec<Fault> {
        for rule in config.into_iter().flat_map(rules::broken_rules) {
            if !rule.paths.iter().any(|path| self.is_faulty(path)) {
                // Report the key that the user wrote, and not a default that conflicts with it.
                let mut places = rule.paths.iter().map(|path| self.place(&self.origin_of(path)));
                let place = places.find(|place| *place != Place::Unknown).unwrap_or(Place::Unknown);
                self.faults.push(rule.fault(place));
            }
        }
        let named = |name: &String| self.used.contains(name);
        self.faults.extend(unknown.into_iter().filter(|(name, _)| !named(name)).map(|(_, fault)| fault));
        self.faults.sort_by(|one, other| one.place.order().cmp(&other.place.order()));
        self.faults
    }
}
