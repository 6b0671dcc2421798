//! What all sections share while they are read: the surroundings, and what has been found so far.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::environment::Environment;
use super::fault::{Fault, MOST_FAULTS, Place};
use super::file::Document;
use super::tree::Origin;
use super::value::Reading;
use super::{Config, rules};

pub(super) struct Reader<'e> {
    environment: &'e Environment,
    document: Document,
    faults: Vec<Fault>,
    /// The lines that are not TOML: what could still be read of them is guesswork, and so is every rule.
    unreadable: BTreeSet<usize>,
    /// Where each key that was read stands, by its dotted path (`sources.0.write_key`).
    places: BTreeMap<String, Origin>,
    /// The paths that have a fault already: a rule that fails because of one would only repeat it.
    faulty: BTreeSet<String>,
    /// The environment variables that `${NAME}` named.
    used: BTreeSet<String>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(environment: &'e Environment, mut document: Document) -> Self {
        let faults = std::mem::take(&mut document.faults);
        let unreadable = faults.iter().filter_map(|fault| fault.place.line()).collect();
        Self {
            environment,
            document,
            faults,
            unreadable,
            places: BTreeMap::new(),
            faulty: BTreeSet::new(),
            used: BTreeSet::new(),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        self.document.directory()
    }

    pub(super) fn expand(&mut self, text: &str) -> Reading<String> {
        self.environment.expand(text, &mut self.used)
    }

    pub(super) fn fault(&mut self, origin: &Origin, message: String, advice: String) {
        if self.faults.len() >= MOST_FAULTS {
            return;
        }
        let place = self.document.place(origin);
        if place.line().is_none_or(|line| !self.unreadable.contains(&line)) {
            self.faults.push(Fault { place, message, advice });
        }
    }

    /// A fault only where the whole file is TOML: what is missing or misshapen may be what could not be read.
    pub(super) fn fault_if_readable(&mut self, origin: &Origin, message: String, advice: String) {
        if self.unreadable.is_empty() {
            self.fault(origin, message, advice);
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

    /// Of the path, or of the section that would hold it.
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

    /// Every fault that there is: those found so far, broken rules, and variables that set nothing.
    pub(super) fn conclude(mut self, config: Option<&Config>, strangers: Vec<(String, Fault)>) -> Vec<Fault> {
        for rule in config.filter(|_| self.unreadable.is_empty()).into_iter().flat_map(rules::broken) {
            if !rule.paths.iter().any(|path| self.is_faulty(path)) {
                // The user's own key rather than a default that it does not fit.
                let mut places = rule.paths.iter().map(|path| self.document.place(&self.origin_of(path)));
                let place = places.find(|place| *place != Place::Nowhere).unwrap_or(Place::Nowhere);
                self.faults.push(rule.fault(place));
            }
        }
        let named = |name: &String| self.used.contains(name);
        self.faults.extend(strangers.into_iter().filter(|(name, _)| !named(name)).map(|(_, fault)| fault));
        self.faults
    }
}
