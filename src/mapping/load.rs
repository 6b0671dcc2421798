//! Loads a destination's mappings: presets by name and files by path, when the configuration loads.
//!
//! It reports all faults of all files at once. A destination with a fault does not start.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::entry::Entry;
use super::file;
use super::{Action, Mapping};
use crate::document::Document;
use crate::fault::{Fault, LocatedText, MAX_FAULTS, SourceText};
use accoil_mapping::nearest;

/// The largest number of mappings of one destination, disabled ones included. Segment has the same limit
/// (`docs/segment.md#mappings`).
pub const MAX_MAPPINGS: usize = 50;

/// The presets, by the name that a destination uses.
pub const PRESETS: [(&str, &str); 2] = [
    ("segment", include_str!("../../mappings/segment.toml")),
    ("amplitude", include_str!("../../mappings/amplitude.toml")),
];

/// The mapping for the sync from Vitally; destinations cannot name it.
const VITALLY: &str = include_str!("../../mappings/vitally.toml");

/// The largest size of a mapping file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A preset or file of mappings, as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// `preset segment`, or the path.
    pub file: String,
    pub text: String,
}

/// One destination's mappings, in the order of the configuration.
#[derive(Default)]
pub struct Mappings {
    list: Vec<Mapping>,
    /// What loads but may be a mistake: keys that the action does not have, a required field without a value.
    pub warnings: Vec<Fault>,
    /// The presets and files that they came from, to load them again.
    listed: Vec<LocatedText>,
    directory: PathBuf,
    files: Vec<SourceFile>,
}

impl Mappings {
    /// Loads presets (by name) and files (by path, `.toml` or `.json`, relative to the configuration's folder).
    pub fn load(listed: &[LocatedText], relative_to: &Path) -> Result<Mappings, Vec<Fault>> {
        let mut loading = Loading::default();
        for one in listed {
            loading.source(one, relative_to);
        }
        let (listed, directory) = (listed.to_vec(), relative_to.to_owned());
        Ok(Mappings { listed, directory, ..loading.conclude()? })
    }

    /// Returns the mapping that turns Vitally's accounts into group calls.
    pub fn of_vitally() -> Result<Mappings, Vec<Fault>> {
        let mut loading = Loading::default();
        loading.toml("mapping vitally", VITALLY);
        loading.conclude()
    }

    /// Compiles presets and files that [`Self::files`] returned earlier.
    pub fn of_files(files: Vec<SourceFile>) -> Result<Mappings, Vec<Fault>> {
        let mut loading = Loading::default();
        for SourceFile { file, text } in files {
            if Path::new(&file).extension().is_some_and(|end| end == "json") {
                loading.json(&file, &text);
            } else {
                loading.toml(&file, &text);
            }
        }
        loading.conclude()
    }

    /// The presets and files as they were read.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Loads the same presets and files again, in their present state.
    pub fn reload(&self) -> Result<Mappings, Vec<Fault>> {
        Self::load(&self.listed, &self.directory)
    }

    /// Returns the same mappings with those of a draft, TOML or JSON: a mapping of the draft replaces the one of the same name,
    /// and the others are added at the end.
    pub fn with_draft(&self, draft: &str) -> Result<Mappings, Vec<Fault>> {
        let mut loading = Loading::default();
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(draft).is_ok();
        if is_json {
            loading.json("draft", draft);
        } else {
            loading.toml("draft", draft);
        }
        let mut drafted = loading.conclude()?;
        let mut whole = self.reload()?;
        for mapping in &mut whole.list {
            if let Some(place) = drafted.list.iter().position(|draft| draft.name == mapping.name) {
                *mapping = drafted.list.swap_remove(place);
            }
        }
        whole.list.append(&mut drafted.list);
        whole.warnings = drafted.warnings;
        Ok(whole)
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Mapping> {
        self.list.iter()
    }
}

impl<'m> IntoIterator for &'m Mappings {
    type Item = &'m Mapping;
    type IntoIter = std::slice::Iter<'m, Mapping>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The mappings loaded so far, and the faults found in them.
#[derive(Default)]
pub(super) struct Loading {
    mappings: Vec<Mapping>,
    names: HashSet<Arc<str>>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    files: Vec<SourceFile>,
    /// Mappings read so far, those with faults included.
    seen: usize,
}

impl Loading {
    fn conclude(self) -> Result<Mappings, Vec<Fault>> {
        let Self { mappings: list, faults, warnings, files, .. } = self;
        if faults.is_empty() {
            Ok(Mappings { list, warnings, files, ..Mappings::default() })
        } else {
            Err(faults)
        }
    }

    fn source(&mut self, listed: &LocatedText, relative_to: &Path) {
        let name = listed.text.as_str();
        if let Some((_, text)) = PRESETS.iter().find(|(preset, _)| *preset == name) {
            return self.toml(&format!("preset {name}"), text);
        }
        let read: fn(&mut Self, &str, &str) = match Path::new(name).extension().and_then(|end| end.to_str()) {
            Some("toml") => Self::toml,
            Some("json") => Self::json,
            _ => {
                let hint = did_you_mean(name, PRESETS.iter().map(|(preset, _)| *preset));
                let message = format!(
                    "mappings: {name:?} is neither a preset (segment, amplitude) nor a path ending in .toml or .json{hint}"
                );
                return self.fault(|| Fault::new(listed.place.clone(), message));
            }
        };
        match text_of(&relative_to.join(name)) {
            Ok(text) => read(self, name, text.trim_start_matches('\u{feff}')),
            Err(error) => self.fault(|| Fault {
                place: listed.place.clone(),
                message: format!("mappings: the file {name:?} cannot be read: {error}"),
                advice: "check the path, which is relative to the configuration file, and its permissions"
                    .to_owned(),
            }),
        }
    }

    fn toml(&mut self, file: &str, text: &str) {
        self.files.push(SourceFile { file: file.to_owned(), text: text.to_owned() });
        let source = SourceText::new(file, text);
        self.document(Document::from_toml(&source));
    }

    fn json(&mut self, file: &str, text: &str) {
        self.files.push(SourceFile { file: file.to_owned(), text: text.to_owned() });
        let source = SourceText::new(file, text);
        self.document(Document::from_json(&source));
    }

    fn document(&mut self, document: Result<Document<'_>, Fault>) {
        let (before, warned) = (self.faults.len(), self.warnings.len());
        match document {
            Ok(document) => file::read(&document.root(), self),
            Err(fault) => self.fault(|| fault),
        }
        for (found, before) in [(&mut self.faults, before), (&mut self.warnings, warned)] {
            let of_this_file = found.get_mut(before..).unwrap_or_default();
            of_this_file.sort_by(|one, other| one.place.order().cmp(&other.place.order()));
        }
    }

    /// Compiles a mapping and adds it, or reports its faults.
    pub(super) fn entry(&mut self, entry: &Entry<'_>) {
        self.seen += 1;
        if self.seen == MAX_MAPPINGS + 1 {
            let message =
                format!("this is mapping {}: a destination can have {MAX_MAPPINGS} at most", self.seen);
            self.fault(|| entry.node.fault(message));
        }
        if self.seen > MAX_MAPPINGS {
            return;
        }
        let Some(mut mapping) = entry.compile(self) else { return };
        if self.names.contains(&mapping.name) {
            if entry.is_segment_form() {
                mapping.name = self.numbered(&mapping.name);
            } else {
                let at = entry.node.get("name").unwrap_or_else(|| entry.node.clone());
                self.fault(|| {
                    at.fault("another mapping of this destination has the same name: choose another")
                });
            }
        }
        self.names.insert(Arc::clone(&mapping.name));
        self.mappings.push(mapping);
    }

    /// Returns a unique name such as `Track Calls (2)`: at Segment mappings may share a name, and many do.
    fn numbered(&self, name: &str) -> Arc<str> {
        let mut number = 2;
        loop {
            let numbered: Arc<str> = format!("{name} ({number})").into();
            if !self.names.contains(&numbered) {
                return numbered;
            }
            number += 1;
        }
    }

    pub(super) fn fault(&mut self, fault: impl FnOnce() -> Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault());
        }
    }

    pub(super) fn warn(&mut self, fault: impl FnOnce() -> Fault) {
        if self.warnings.len() < MAX_FAULTS {
            self.warnings.push(fault());
        }
    }
}

/// Reads a regular file. Opening never blocks: a plain open of a pipe without a writer would block for ever.
fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let nonblock = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(nonblock).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    file.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// Returns `; did you mean track?` if one of the words is similar; otherwise nothing.
pub(super) fn did_you_mean<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> String {
    nearest(word, words).map(|word| format!("; did you mean {word}?")).unwrap_or_default()
}

/// Returns `; did you mean track?`, or a list of all actions.
pub(super) fn action_hint(slug: &str) -> String {
    let slugs = || Action::all().iter().map(|action| action.slug.as_str());
    match nearest(slug, slugs()) {
        Some(near) => format!("; did you mean {near}?"),
        None => format!("; the actions are {}", slugs().collect::<Vec<_>>().join(", ")),
    }
}
