//! What is kept of every event, and what is hidden of it.

use std::path::PathBuf;
use std::time::Duration;

use super::outbox::sqlite_path;
use super::show::Show;
use super::table::section;
use super::value::{self, Problem, Reading, Word};
use crate::document::Node;

/// The smallest file that holds a few blocks.
const LEAST_BYTES: u64 = 4 << 20;

section! {
    /// What became of every event: a line for each, and payloads as far as `payload_rate` allows. The history never delays
    /// an event, and no event is lost without it.
    Always [history] pub struct History {
        /// `sqlite:` and the path of a file, or `"off"`: then only failures are recorded, by the outbox.
        url: Option<HistoryUrl> = optional(
            "sqlite:relay.db.history", "the outbox file with `.history` after its name"
        ), history_url;
        /// How long events are kept.
        keep: Duration = default("7d"), value::duration;
        /// The most bytes of the file; the oldest events leave first. 1 GiB.
        max_bytes: u64 = default(1073741824), size;
        /// Bytes of payloads that are kept per second; beyond it some events are kept without a payload. 0: none. 4 MiB.
        payload_rate: u64 = default(4194304), value::size_or_zero;
        /// `"full"`: whole, and `privacy.redact` hides values when they are shown. `"redacted"`: without those values, so that
        /// such events cannot be sent again. `"none"`: no payloads.
        payloads: Payloads = default("full"), value::choice;
        /// A folder. Events that leave the history are written there, as `events-2026-11-26T14.ndjson.zst`. Empty: none.
        archive: Option<PathBuf> = default(""), folder;
    }
}

section! {
    /// What is never shown of an event, in no answer, page, export or log.
    Always [privacy] pub struct Privacy {
        /// Paths into events; `*` is any key. Their values are also hidden wherever else the event repeats them.
        redact: Vec<String> = otherwise(["traits.email", "properties.*.iban", "context.ip"], "none", Vec::new()), paths;
        /// `true`: the history keeps a hash in place of each user id. A search by the id still finds its events.
        hash_users: bool = default(false), value::switch;
    }
}

/// Which file the history is kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryUrl {
    /// `sqlite:PATH`; relative to the current directory.
    At(PathBuf),
    Off,
}

impl Show for HistoryUrl {
    fn show(&self) -> Option<toml::Value> {
        match self {
            Self::At(path) => format!("sqlite:{}", path.display()).show(),
            Self::Off => "off".to_owned().show(),
        }
    }
}

/// What is kept of the events themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payloads {
    /// Whole; redacted values are hidden when they are shown.
    #[default]
    Full,
    /// Without redacted values.
    Redacted,
    /// Nothing.
    None,
}

impl Word for Payloads {
    const WORDS: &'static [(&'static str, Self)] =
        &[("full", Self::Full), ("redacted", Self::Redacted), ("none", Self::None)];
}

fn history_url(node: &Node<'_>) -> Reading<HistoryUrl> {
    let url = value::text(node)?;
    if url == "off" {
        return Ok(HistoryUrl::Off);
    }
    let path = sqlite_path(&url).map_err(|problem| {
        Problem::new(problem.what, "write \"sqlite:relay.db.history\", or \"off\" to keep no history")
    });
    path.map(HistoryUrl::At)
}

fn size(node: &Node<'_>) -> Reading<u64> {
    let bytes = value::size(node)?;
    if bytes < LEAST_BYTES {
        let advice = format!("use {LEAST_BYTES} or more, or url = \"off\"");
        return Err(Problem::new("is too small for a history", advice));
    }
    Ok(bytes)
}

/// `None` for an empty text.
fn folder(node: &Node<'_>) -> Reading<Option<PathBuf>> {
    if node.value.as_str() == Some("") { Ok(None) } else { value::text(node).map(|text| Some(text.into())) }
}

fn paths(node: &Node<'_>) -> Reading<Vec<String>> {
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
