//! What is kept of every event, and what is hidden of it: `[history]` and `[privacy]`.

use std::path::PathBuf;
use std::time::Duration;

use super::outbox::sqlite_path;
use super::section::Section;
use super::tree::Node;
use super::value::{self, Problem, Reading};

/// The smallest file that holds a few blocks.
const LEAST_BYTES: u64 = 4 << 20;

/// `[history]`
#[derive(Debug, Clone)]
pub struct History {
    pub file: HistoryFile,
    /// How long an event is kept.
    pub keep: Duration,
    /// The most bytes of the file. The oldest events leave first.
    pub max_bytes: u64,
    /// Bytes a second of payloads that are kept.
    pub payload_rate: u64,
    pub payloads: Payloads,
    /// The folder that events are written to when they leave the history. Relative to the current directory.
    pub archive: Option<PathBuf>,
}

/// Which file the history is kept in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HistoryFile {
    /// The file of the outbox with `.history` after its name.
    #[default]
    BesideOutbox,
    /// The SQLite file of `url = "sqlite:PATH"`; relative to the current directory.
    At(PathBuf),
    /// `url = "off"`
    Off,
}

/// What is kept of the events themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payloads {
    /// Whole; what is to be redacted is hidden when it is shown.
    #[default]
    Full,
    /// Without what is to be redacted.
    Redacted,
    /// Nothing.
    None,
}

pub(super) const PAYLOADS: [(&str, Payloads); 3] =
    [("full", Payloads::Full), ("redacted", Payloads::Redacted), ("none", Payloads::None)];

/// `[privacy]`
#[derive(Debug, Clone)]
pub struct Privacy {
    /// Paths into events, such as `traits.email`.
    pub redact: Vec<String>,
    /// Whether the history keeps a hash in place of each user id.
    pub hash_users: bool,
}

impl History {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            file: section.get("url", file).unwrap_or_default(),
            keep: section.require("keep", value::duration),
            max_bytes: section.require("max_bytes", size),
            payload_rate: section.require("payload_rate", value::size_or_zero),
            payloads: section.require("payloads", value::choice(&PAYLOADS)),
            archive: section.get("archive", folder).flatten(),
        }
    }
}

impl Privacy {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            redact: section.get("redact", paths).unwrap_or_default(),
            hash_users: section.require("hash_users", value::switch),
        }
    }
}

fn file(node: &Node) -> Reading<HistoryFile> {
    if value::text(node)? == "off" {
        return Ok(HistoryFile::Off);
    }
    let path = sqlite_path(node).map_err(|problem| {
        Problem::new(problem.what, "write \"sqlite:relay.db.history\", or \"off\" to keep no history")
    });
    path.map(HistoryFile::At)
}

fn size(node: &Node) -> Reading<u64> {
    let bytes = value::size(node)?;
    if bytes < LEAST_BYTES {
        let advice = format!("use {LEAST_BYTES} or more, or url = \"off\"");
        return Err(Problem::new("is too small for a history", advice));
    }
    Ok(bytes)
}

/// None for an empty text.
fn folder(node: &Node) -> Reading<Option<PathBuf>> {
    if matches!(&node.value, super::tree::Value::Text(text) if text.is_empty()) {
        return Ok(None);
    }
    value::text(node).map(|text| Some(PathBuf::from(text)))
}

fn paths(node: &Node) -> Reading<Vec<String>> {
    let paths = value::list(node)?;
    let is_path = |path: &String| path.split('.').all(|key| !key.trim().is_empty());
    if let Some(path) = paths.iter().find(|path| !is_path(path)) {
        return Err(Problem::new(
            format!("has {path:?}, which is not a path into an event"),
            "write keys with dots between them, such as \"traits.email\"; * is any key",
        ));
    }
    Ok(paths)
}
