//! Reads one section of the tree key by key, collects every fault, and reports the keys that no reader asked for.
//!
//! An unreadable key gets a placeholder, so that reading continues to the next fault. `Config::load` never returns a
//! configuration with a fault.

use std::path::Path;

use secrecy::SecretString;

use super::file::read_secret;
use super::overlay::variable;
use super::reader::Reader;
use super::tree::{Node, Origin, Table, Value};
use super::value::{self, Problem, Reading};
use crate::fault::Located;
use accoil_mapping::nearest;

/// One `[section]`, one of several `[[sections]]`, or the whole file.
pub(super) struct Section<'r, 'e> {
    reader: &'r mut Reader<'e>,
    /// `sources.0`; empty for the whole file.
    path: String,
    /// As the file writes it, for messages: `[[sources]]`.
    heading: String,
    origin: Origin,
    table: Table,
    known: Vec<&'static str>,
}

impl<'r, 'e> Section<'r, 'e> {
    /// Reads the whole tree. Keys that `read` does not take are unknown.
    pub(super) fn root<T>(
        reader: &'r mut Reader<'e>,
        table: Table,
        read: impl FnOnce(&mut Section<'_, 'e>) -> T,
    ) -> T {
        let (path, heading) = (String::new(), String::new());
        let mut root = Section { reader, path, heading, origin: Origin::Embedded, table, known: Vec::new() };
        let result = read(&mut root);
        root.refuse_unknown();
        result
    }

    /// One `[key]`, if it is there.
    pub(super) fn section<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_, 'e>) -> T,
    ) -> Option<T> {
        let node = self.take(key)?;
        let Value::Table(table) = node.value else {
            let advice = format!("write [{key}], and its keys below it");
            self.reader.fault(&node.key, format!("{key} must be one section"), advice);
            return None;
        };
        Some(self.inner(self.path_of(key), format!("[{key}]"), node.key, table, read))
    }

    /// Every `[[key]]`.
    pub(super) fn sections<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&mut Section<'_, 'e>) -> T,
    ) -> Vec<T> {
        let Some(node) = self.take(key) else { return Vec::new() };
        let Value::List(items) = node.value else {
            self.not_a_list(key, &node.key);
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            if let Value::Table(table) = item.value {
                let path = format!("{}.{index}", self.path_of(key));
                entries.push(self.inner(path, format!("[[{key}]]"), item.key, table, &read));
            } else {
                self.not_a_list(key, &item.key);
            }
        }
        entries
    }

    fn not_a_list(&mut self, key: &str, origin: &Origin) {
        let advice = format!("write [[{key}]] above the keys of each");
        self.reader.fault(origin, format!("{key} must be a list of sections"), advice);
    }

    fn inner<T>(
        &mut self,
        path: String,
        heading: String,
        origin: Origin,
        table: Table,
        read: impl FnOnce(&mut Section<'_, 'e>) -> T,
    ) -> T {
        self.reader.found(path.clone(), &origin);
        let mut inner =
            Section { reader: &mut *self.reader, path, heading, origin, table, known: Vec::new() };
        let result = read(&mut inner);
        inner.refuse_unknown();
        result
    }

    /// Reads an optional key.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        reading: impl FnOnce(&Node) -> Reading<T>,
    ) -> Option<T> {
        let mut node = self.take(key)?;
        let read = self.expand(&mut node).and_then(|()| reading(&node));
        read.map_err(|problem| self.report(key, &node.origin, problem)).ok()
    }

    /// Reads a key that must be in the file or in the embedded defaults. `None` means that a fault was reported.
    pub(super) fn get_required<T>(
        &mut self,
        key: &'static str,
        reading: impl FnOnce(&Node) -> Reading<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(key, format!("add {key} = … to it"));
        }
        self.get(key, reading)
    }

    /// Like [`Self::get_required`], with the default value as the placeholder.
    pub(super) fn require<T: Default>(
        &mut self,
        key: &'static str,
        reading: impl FnOnce(&Node) -> Reading<T>,
    ) -> T {
        self.get_required(key, reading).unwrap_or_default()
    }

    /// Reads a list of texts, each with its place.
    pub(super) fn located(&mut self, key: &'static str) -> Option<Vec<Located>> {
        let texts = self.get(key, value::list)?;
        let path = self.path_of(key);
        let locate = |(index, text): (usize, String)| {
            let origin = self.reader.origin_of(&format!("{path}.{index}"));
            Located { text, place: self.reader.place(&origin) }
        };
        Some(texts.into_iter().enumerate().map(locate).collect())
    }

    /// Reads a secret, either from `key` or from the file that `file_key` names. Both together are a fault.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        reading: impl Fn(&Node) -> Reading<SecretString>,
    ) -> Option<SecretString> {
        let both = self.has(key) && self.has(file_key);
        let given = self.get(key, &reading);
        let directory = self.directory().to_owned();
        let read = self.get(file_key, |node| {
            let text = read_secret(&directory.join(value::text(node)?))?;
            reading(&Node { key: Origin::Embedded, origin: Origin::Embedded, value: Value::Text(text) })
        });
        if both {
            let origin = self.reader.origin_of(&self.path_of(file_key));
            self.report(
                file_key,
                &origin,
                Problem::new(format!("is given beside {key}"), "keep one of the two"),
            );
        }
        if self.reader.is_faulty(&self.path_of(file_key)) {
            self.reader.mark_faulty(self.path_of(key));
        }
        given.or(read)
    }

    /// Reads a secret that must be given, by `key` or by `file_key`.
    pub(super) fn require_secret(
        &mut self,
        key: &'static str,
        file_key: &'static str,
        reading: impl Fn(&Node) -> Reading<SecretString>,
    ) -> SecretString {
        if !self.has(key) && !self.has(file_key) {
            self.missing(
                key,
                format!("add {key} = \"${{NAME_OF_A_VARIABLE}}\" or {file_key} = \"PATH\" to it"),
            );
        }
        self.secret(key, file_key, reading).unwrap_or_default()
    }

    /// Reports each of the keys that is given although it has no meaning here.
    pub(super) fn refuse(&mut self, keys: &[&'static str], what: &str, advice: &str) {
        for key in keys {
            if let Some(node) = self.take(key) {
                self.report(key, &node.key, Problem::new(what, advice));
            }
        }
    }

    /// The directory that relative paths start from.
    pub(super) fn directory(&self) -> &Path {
        self.reader.directory()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Reports that a key is missing which the section needs.
    pub(super) fn missing(&mut self, key: &str, advice: String) {
        let message = format!("{} has no {key}", self.heading);
        self.reader.mark_faulty(self.path_of(key));
        self.reader.fault(&self.origin, message, advice);
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        let node = self.table.remove(key)?;
        let path = self.path_of(key);
        if let Value::List(items) = &node.value {
            for (index, item) in items.iter().enumerate() {
                self.reader.found(format!("{path}.{index}"), &item.origin);
            }
        }
        self.reader.found(path, &node.origin);
        Some(node)
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn report(&mut self, key: &str, origin: &Origin, problem: Problem) {
        let within = if self.heading.is_empty() { String::new() } else { format!(" in {}", self.heading) };
        self.reader.mark_faulty(self.path_of(key));
        self.reader.fault(origin, format!("{key}{within} {}", problem.what), problem.advice);
    }

    /// Expands only the file's own strings. The value of a variable is used as it is.
    fn expand(&mut self, node: &mut Node) -> Reading<()> {
        match (&mut node.value, &node.origin) {
            (Value::Text(text), Origin::File(_)) => {
                *text = self.reader.expand(text)?;
            }
            (Value::List(items), _) => items.iter_mut().try_for_each(|item| self.expand(item))?,
            _ => {}
        }
        Ok(())
    }

    fn refuse_unknown(self) {
        for (key, node) in self.table {
            let meant = nearest(&key, self.known.iter().copied());
            let is_section = matches!(node.value, Value::Table(_) | Value::List(_));
            let (message, all) = if !self.heading.is_empty() {
                (format!("unknown key {key:?} in {}", self.heading), "its keys are")
            } else if is_section {
                (format!("unknown section [{}]", key.escape_debug()), "the sections are")
            } else {
                (format!("unknown key {key:?} above the first section"), "put it into one of the sections")
            };
            let advice = match (meant, &node.key) {
                (Some(meant), Origin::Variable(_)) => {
                    let rest = if is_section { "__…" } else { "" };
                    format!("did you mean {}{rest}?", variable(&self.path, meant))
                }
                (Some(meant), _) => format!("did you mean {meant:?}?"),
                (None, _) => format!("{all} {}", self.known.join(", ")),
            };
            self.reader.fault(&node.key, message, advice);
        }
    }
}
