//! The state that all sections share while they are read: the document, the environment, and the faults so far.

use std::collections::BTreeSet;
use std::path::Path;

use super::environment::Environment;
use super::section::{Section, unknown_keys};
use super::table::{Absence, Form, Keys};
use super::value::{Problem, Reading};
use super::{Config, SECTIONS, rules};
use crate::document::Node;
use crate::fault::{Fault, MAX_FAULTS, Place};
use crate::json::Value;

pub(super) struct Reader<'d> {
    environment: &'d Environment,
    /// The directory that relative paths start from.
    pub(super) directory: &'d Path,
    root: Node<'d>,
    faults: Vec<Fault>,
    /// The paths that have a fault. A rule that fails because of one would only repeat it.
    faulty: BTreeSet<String>,
    /// The environment variables that `${NAME}` named.
    used: BTreeSet<String>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(environment: &'d Environment, directory: &'d Path, root: Node<'d>) -> Self {
        let (faults, faulty, used) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        Self { environment, directory, root, faults, faulty, used }
    }

    /// Reads a `[section]`, if it is there.
    pub(super) fn one<T: Keys>(&mut self) -> Option<T> {
        let (name, node) = (T::TABLE.name, self.root.get(T::TABLE.name)?);
        if node.value.as_object().is_none() {
            let problem =
                Problem::new("must be one section", format!("write [{name}], and its keys below it"));
            self.fault(node.key_place(), || format!("{name} {}", problem.what), problem.advice);
            return None;
        }
        Section::read(self, node)
    }

    /// Reads every `[[section]]`.
    pub(super) fn list<T: Keys>(&mut self) -> Vec<T> {
        let (name, Some(node)) = (T::TABLE.name, self.root.get(T::TABLE.name)) else { return Vec::new() };
        let mut entries = Vec::new();
        let items: Vec<Node<'_>> =
            if node.value.as_array().is_some() { node.items().collect() } else { vec![node] };
        for item in items {
            if item.value.as_object().is_some() && item.key().is_empty() {
                entries.extend(Section::read(self, item));
            } else {
                let advice = format!("write [[{name}]] above the keys of each");
                self.fault(item.key_place(), || format!("{name} must be a list of sections"), advice);
            }
        }
        entries
    }

    /// Replaces `${NAME}` in the file's own strings. The value of a variable is used as it is.
    pub(super) fn expand(&mut self, node: &Node<'d>) -> Reading<Value<'d>> {
        match node.value {
            Value::String(text) if !matches!(node.place(), Place::Variable(_)) => {
                self.environment.expand(text, &mut self.used).map(Value::from)
            }
            Value::Array(_) => {
                let items: Vec<Node<'d>> = node.items().collect();
                let items = items.iter().map(|item| self.expand(item)).collect::<Reading<_>>()?;
                Ok(Value::Array(items))
            }
            value => Ok(value.clone()),
        }
    }

    pub(super) fn fault(&mut self, place: Place, message: impl FnOnce() -> String, advice: String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault { place, message: message(), advice });
        }
    }

    pub(super) fn mark_faulty(&mut self, path: String) {
        self.faulty.insert(path);
    }

    pub(super) fn is_faulty(&self, path: &str) -> bool {
        self.faulty.contains(path)
    }

    /// The place of the path or, if the key is missing, of its section; unknown if its default applies.
    fn place_of(&self, path: &str) -> Place {
        let node = self.root.descend(path);
        let is_whole = node.path() == path;
        let (section, key) = path.split_once('.').unwrap_or((path, ""));
        let key = SECTIONS
            .iter()
            .filter(|table| table.name == section)
            .flat_map(|table| table.keys)
            .find(|one| one.name == key);
        let is_default = key.is_some_and(|key| matches!(key.absence, Absence::Default));
        if node.path().is_empty() || (!is_whole && is_default) { Place::Unknown } else { node.place() }
    }

    /// Returns all faults: those found so far, unknown sections, broken rules, and unknown environment variables.
    pub(super) fn finish(mut self, config: Option<&Config>, unknown: Vec<(String, Fault)>) -> Vec<Fault> {
        let names: Vec<&str> = SECTIONS.iter().map(|table| table.name).collect();
        let root = self.root.clone();
        unknown_keys(&mut self, &root, None, &names);
        for rule in config.into_iter().flat_map(rules::broken_rules) {
            if !rule.paths.iter().any(|path| self.is_faulty(path)) {
                // Report the key that the user wrote, and not a default that conflicts with it.
                let mut places = rule.paths.iter().map(|path| self.place_of(path));
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

/// The names of the sections that are read even if the file has none.
pub(super) fn always() -> impl Iterator<Item = &'static str> {
    SECTIONS.iter().filter(|table| table.form == Form::Always).map(|table| table.name)
}
