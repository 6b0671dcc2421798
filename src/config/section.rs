//! Reads one section key by key, as its table says, collects every fault, and reports unknown keys.
//!
//! An unreadable key gets a placeholder, so that reading continues to the next fault. `Config::load` never returns a
//! configuration with a fault.

use secrecy::SecretString;

use super::file::read_secret;
use super::overlay::variable;
use super::reader::Reader;
use super::table::{Key, Keys, Table};
use super::value::{self, Problem, Reading};
use crate::document::{Document, Node};
use crate::event::SourceKind;
use crate::fault::{MAX_FAULTS, Place, SourceText};
use crate::json::Value;
use accoil_mapping::nearest;

/// One `[section]`, or one of several `[[sections]]`.
pub(super) struct Section<'r, 'd> {
    reader: &'r mut Reader<'d>,
    node: Node<'d>,
    table: &'static Table,
    /// For a source: the kind whose keys it may have.
    pub(super) kind: Option<SourceKind>,
}

impl<'d> Section<'_, 'd> {
    pub(super) fn read<T: Keys>(reader: &mut Reader<'d>, node: Node<'d>) -> Option<T> {
        let mut section = Section { reader, node, table: T::TABLE, kind: None };
        let read = T::read(&mut section);
        let names: Vec<&str> = T::TABLE.names().collect();
        unknown_keys(section.reader, &section.node, Some(T::TABLE), &names);
        read
    }

    /// Reads a key whose default is in the table; the default is also the placeholder.
    pub(super) fn default<T>(
        &mut self,
        key: &'static Key,
        reading: impl Fn(&Node<'_>) -> Reading<T>,
    ) -> Option<T> {
        self.optional(key, &reading).or_else(|| {
            let source = SourceText::new("", format!("{} = {}", key.name, key.value));
            let document = Document::from_toml(&source).ok()?;
            reading(&document.root().get(key.name)?).ok()
        })
    }

    pub(super) fn optional<T>(
        &mut self,
        key: &'static Key,
        reading: impl Fn(&Node<'_>) -> Reading<T>,
    ) -> Option<T> {
        self.get(key, key.name, reading)
    }

    /// Reads a key that must be given. The placeholder is the type's default value.
    pub(super) fn required<T: Default>(
        &mut self,
        key: &'static Key,
        reading: impl Fn(&Node<'_>) -> Reading<T>,
    ) -> T {
        if !self.has(key.name) {
            self.missing(key.name, format!("add {} = … to it", key.name));
        }
        self.optional(key, reading).unwrap_or_default()
    }

    /// Reads a secret, from its key or from the file that its file key names. Both together are a fault.
    pub(super) fn secret(
        &mut self,
        key: &'static Key,
        reading: impl Fn(&Node<'_>) -> Reading<SecretString>,
    ) -> Option<SecretString> {
        let given = self.optional(key, &reading);
        let Some(file_variant) = key.file_variant else { return given };
        let directory = self.reader.directory;
        let read = self.get(key, file_variant, |node| {
            let text = Value::from(read_secret(&directory.join(value::text(node)?))?);
            reading(&node.with_value(&text))
        });
        if self.has(key.name)
            && let Some(node) = self.node.get(file_variant)
        {
            let problem = Problem::new(format!("is given beside {}", key.name), "keep one of the two");
            self.report(file_variant, node.place(), problem);
        }
        if self.reader.is_faulty(&self.path_of(file_variant)) {
            self.reader.mark_faulty(self.path_of(key.name));
        }
        given.or(read)
    }

    pub(super) fn required_secret(
        &mut self,
        key: &'static Key,
        reading: impl Fn(&Node<'_>) -> Reading<SecretString>,
    ) -> SecretString {
        let (name, file_variant) = (key.name, key.file_variant.unwrap_or_default());
        if !self.has(name) && !self.has(file_variant) {
            self.missing(
                name,
                format!("add {name} = \"${{NAME_OF_A_VARIABLE}}\" or {file_variant} = \"PATH\" to it"),
            );
        }
        self.secret(key, reading).unwrap_or_default()
    }

    /// The value of a key that is read, and its faults reported, later.
    pub(super) fn peek<T>(&mut self, key: &str, reading: impl Fn(&Node<'_>) -> Reading<T>) -> Option<T> {
        let node = self.node.get(key)?;
        let value = self.reader.expand(&node).ok()?;
        reading(&node.with_value(&value)).ok()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.node.get(key).is_some()
    }

    /// Reports that a key is missing which the section needs.
    pub(super) fn missing(&mut self, key: &str, advice: String) {
        self.reader.mark_faulty(self.path_of(key));
        let heading = self.table.heading();
        self.reader.fault(self.node.place(), || format!("{heading} has no {key}"), advice);
    }

    /// Reports a key that is given although it has no meaning here.
    pub(super) fn refuse(&mut self, key: &str, what: &str, advice: &str) {
        if let Some(node) = self.node.get(key) {
            self.report(key, node.key_place(), Problem::new(what, advice));
        }
    }

    fn get<T>(
        &mut self,
        key: &'static Key,
        name: &str,
        reading: impl Fn(&Node<'_>) -> Reading<T>,
    ) -> Option<T> {
        let node = self.node.get(name)?;
        match (key.only, self.kind) {
            (Some(SourceKind::Amplitude), Some(SourceKind::Segment)) => self.refuse(
                name,
                "is for Amplitude sources only",
                "use a mapping's trigger and fields instead",
            ),
            (Some(SourceKind::Segment), Some(SourceKind::Amplitude)) => self.refuse(
                name,
                "is for Segment sources only",
                "Amplitude does not sign requests; a source is recognised by its write_key",
            ),
            _ => {
                let expanded = self.reader.expand(&node);
                let read = expanded.and_then(|value| reading(&node.with_value(&value)));
                return read.map_err(|problem| self.report(name, node.place(), problem)).ok();
            }
        }
        None
    }

    fn path_of(&self, key: &str) -> String {
        format!("{}.{key}", self.node.path())
    }

    fn report(&mut self, key: &str, place: Place, problem: Problem) {
        self.reader.mark_faulty(self.path_of(key));
        let heading = self.table.heading();
        self.reader.fault(place, || format!("{key} in {heading} {}", problem.what), problem.advice);
    }
}

/// Reports the members that are not among the names: keys of the section or, without one, sections.
pub(super) fn unknown_keys(
    reader: &mut Reader<'_>,
    node: &Node<'_>,
    section: Option<&Table>,
    names: &[&str],
) {
    for (key, node_of_key) in node.members().filter(|(key, _)| !names.contains(key)).take(MAX_FAULTS) {
        let is_section = matches!(node_of_key.value, Value::Object(_) | Value::Array(_));
        let (message, all) = match section {
            Some(section) => (format!("unknown key {key:?} in {}", section.heading()), "its keys are"),
            None if is_section => (format!("unknown section [{}]", key.escape_debug()), "the sections are"),
            None => {
                (format!("unknown key {key:?} above the first section"), "put it into one of the sections")
            }
        };
        let place = node_of_key.key_place();
        let advice = match (nearest(key, names.iter().copied()), &place) {
            (Some(meant), Place::Variable(_)) => {
                let rest = if is_section { "__…" } else { "" };
                format!("did you mean {}{rest}?", variable(&node.path(), meant))
            }
            (Some(meant), _) => format!("did you mean {meant:?}?"),
            (None, _) => format!("{all} {}", names.join(", ")),
        };
        reader.fault(place, || message, advice);
    }
}
