//! A destination's mappings: presets by name and files by path, read when the configuration loads.
//!
//! All faults of all files are reported at once; a destination with one does not start.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Document;
use super::entry::Entry;
use super::file;
use super::{Action, Mapping};
use crate::fault::{Fault, Located, MAX_FAULTS, SourceText};
use accoil_mapping::nearest;

/// Mappings that one destination may have, as at Segment (`docs/segment.md#mappings`), the disabled ones included.
pub const MOST_MAPPINGS: usize = 50;

/// The presets, by the name under which a destination asks for them.
pub const PRESETS: [(&str, &str); 2] = [
    ("segment", include_str!("../../mappings/segment.toml")),
    ("amplitude", include_str!("../../mappings/amplitude.toml")),
];

/// What the sync from Vitally sends; no destination asks for it by name.
const VITALLY: &str = include_str!("../../mappings/vitally.toml");

/// A mapping file may not be larger.
const MOST_BYTES: u64 = 1 << 20;

/// One destination's mappings, in the order in which they were listed.
#[derive(Default)]
pub struct Mappings {
    list: Vec<Mapping>,
    /// What loads, but may not be meant: keys that the action does not have, a required field left unmapped.
    pub warnings: Vec<Fault>,
    /// Where they came from, to be read again.
    listed: Vec<Located>,
    directory: PathBuf,
}

impl Mappings {
    /// Reads presets (by name) and files (by path, `.toml` or `.json`, relative to the configuration's folder).
    pub fn load(listed: &[Located], relative_to: &Path) -> Result<Mappings, Vec<Fault>> {
        let mut loading = Loading::default();
        for one in listed {
            loading.source(one, relative_to);
        }
        let (listed, directory) = (listed.to_vec(), relative_to.to_owned());
        Ok(Mappings { listed, directory, ..loading.conclude()? })
    }

    /// The mapping by which Vitally's accounts become group calls.
    pub fn of_vitally() -> Result<Mappings, Vec<Fault>> {
        let mut loading = Loading::default();
        loading.toml("mapping vitally", VITALLY);
        loading.conclude()
    }

    /// Reads the same presets and files once more, as they are now.
    pub fn reload(&self) -> Result<Mappings, Vec<Fault>> {
        Self::load(&self.listed, &self.directory)
    }

    /// These mappings as their files are now, with those of a draft: each replaces the one of its name, or is added.
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

/// What has been read so far.
#[derive(Default)]
pub(super) struct Loading {
    mappings: Vec<Mapping>,
    names: HashSet<Arc<str>>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    /// Mappings met, the faulty ones too.
    met: usize,
}

impl Loading {
    fn conclude(self) -> Result<Mappings, Vec<Fault>> {
        let Self { mappings: list, faults, warnings, .. } = self;
        if faults.is_empty() { Ok(Mappings { list, warnings, ..Mappings::default() }) } else { Err(faults) }
    }

    fn source(&mut self, listed: &Located, relative_to: &Path) {
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
        let source = SourceText::new(file, text);
        self.document(Document::from_toml(&source));
    }

    fn json(&mut self, file: &str, text: &str) {
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

    /// Adds a mapping once its file has been understood, and holds it against those before it.
    pub(super) fn entry(&mut self, entry: &Entry<'_>) {
        self.met += 1;
        if self.met == MOST_MAPPINGS + 1 {
            let message = format!("is mapping {}: a destination has {MOST_MAPPINGS} at most", self.met);
            self.fault(|| entry.node.fault(message));
        }
        if self.met > MOST_MAPPINGS {
            return;
        }
        let Some(mut mapping) = entry.compile(self) else { return };
        if self.names.contains(&mapping.name) {
            if entry.is_of_segment() {
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

    /// `Track Calls (2)`: at Segment mappings may share a name, and many do.
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

fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {MOST_BYTES} bytes")));
    }
    Ok(text)
}

/// `; did you mean x?`, where one of the words is near.
pub(super) fn did_you_mean<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> String {
    nearest(word, words).map(|word| format!("; did you mean {word}?")).unwrap_or_default()
}

/// `; did you mean track?`, or all the actions.
pub(super) fn action_hint(slug: &str) -> String {
    let slugs = || Action::all().iter().map(|action| action.slug.as_str());
    match nearest(slug, slugs()) {
        Some(near) => format!("; did you mean {near}?"),
        None => format!("; there are {}", slugs().collect::<Vec<_>>().join(", ")),
    }
}
