//! Reads one section of the tree key by key, collects every fault, and knows in the end which keys nobody asked for.
//!
//! A key that cannot be read yields a stand-in, so that the reading goes on to the next fault; a configuration
//! with any fault never leaves `Config::load`.

use std::path::Path;

use secrecy::SecretString;

use super::file::read_secret;
use super::overlay::variable;
use super::reader::Reader;
use super::tree::{Node, Origin, Table, Value};
use super::value::{self, Complaint, Reading};
use crate::fault::Located;
use crate::nearest::nearest;

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
    /// Reads the whole tree; `read` takes what it knows, the rest is unknown.
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

    /// A key that may be left out.
    pub(super) fn get<T>(
        &mut self,
        key: &'static str,
        reading: impl FnOnce(&Node) -> Reading<T>,
    ) -> Option<T> {
        let mut node = self.take(key)?;
        let read = self.expand(&mut node).and_then(|()| reading(&node));
        read.map_err(|complaint| self.complain(key, &node.origin, complaint)).ok()
    }

    /// A key that must be there, in the file or in the embedded defaults below it; `None` is a fault already.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        reading: impl FnOnce(&Node) -> Reading<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(key, format!("add {key} = … to it"));
        }
        self.get(key, reading)
    }

    /// As [`Self::required`], with nothing as the stand-in.
    pub(super) fn need<T: Default>(
        &mut self,
        key: &'static str,
        reading: impl FnOnce(&Node) -> Reading<T>,
    ) -> T {
        self.required(key, reading).unwrap_or_default()
    }

    /// A list of texts, each with its place.
    pub(super) fn located(&mut self, key: &'static str) -> Option<Vec<Located>> {
        let texts = self.get(key, value::list)?;
        let path = self.path_of(key);
        let locate = |(index, text): (usize, String)| {
            let origin = self.reader.origin_of(&format!("{path}.{index}"));
            Located { text, place: self.reader.place(&origin) }
        };
        Some(texts.into_iter().enumerate().map(locate).collect())
    }

    /// A secret, or the file that its twin names: never both.
    pub(super) fn secret(
        &mut self,
        key: &'static str,
        twin: &'static str,
        reading: impl Fn(&Node) -> Reading<SecretString>,
    ) -> Option<SecretString> {
        let both = self.has(key) && self.has(twin);
        let given = self.get(key, &reading);
        let directory = self.directory().to_owned();
        let read = self.get(twin, |node| {
            let text = read_secret(&directory.join(value::text(node)?))?;
            reading(&Node { key: Origin::Embedded, origin: Origin::Embedded, value: Value::Text(text) })
        });
        if both {
            let origin = self.reader.origin_of(&self.path_of(twin));
            self.complain(
                twin,
                &origin,
                Complaint::new(format!("is given beside {key}"), "keep one of the two"),
            );
        }
        if self.reader.is_faulty(&self.path_of(twin)) {
            self.reader.mark_faulty(self.path_of(key));
        }
        given.or(read)
    }

    /// A secret that must be there, itself or by its twin.
    pub(super) fn need_secret(
        &mut self,
        key: &'static str,
        twin: &'static str,
        reading: impl Fn(&Node) -> Reading<SecretString>,
    ) -> SecretString {
        if !self.has(key) && !self.has(twin) {
            self.missing(key, format!("add {key} = \"${{NAME_OF_A_VARIABLE}}\" or {twin} = \"PATH\" to it"));
        }
        self.secret(key, twin, reading).unwrap_or_default()
    }

    /// Keys that have no meaning here, and why.
    pub(super) fn refuse(&mut self, keys: &[&'static str], what: &str, advice: &str) {
        for key in keys {
            if let Some(node) = self.take(key) {
                self.complain(key, &node.key, Complaint::new(what, advice));
            }
        }
    }

    /// What relative paths in the configuration are relative to.
    pub(super) fn directory(&self) -> &Path {
        self.reader.directory()
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// `key` is not there, and without it the section means nothing.
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

    fn complain(&mut self, key: &str, origin: &Origin, complaint: Complaint) {
        let within = if self.heading.is_empty() { String::new() } else { format!(" in {}", self.heading) };
        self.reader.mark_faulty(self.path_of(key));
        self.reader.fault(origin, format!("{key}{within} {}", complaint.what), complaint.advice);
    }

    /// Only the file's own strings: what a variable holds is taken as it is.
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
