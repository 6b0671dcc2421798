//! One mapping file: finds the mappings in it.
//!
//! The relay's form is a list `mappings`, and optionally a `source`. Segment's JSON is one mapping, a list of them,
//! or an object with the list under `mappings`, `presets` or `subscriptions`, possibly inside `data` as in an answer
//! of its API.

use super::entry::{Entry, SEGMENT_KEYS};
use super::load::{Loading, did_you_mean};
use crate::document::Node;
use crate::event::SourceKind;
use crate::json::{Object, Value};

const LISTS: [&str; 3] = ["mappings", "presets", "subscriptions"];

/// Finds the mappings of a file and passes each to `loading`.
pub(super) fn read(root: &Node<'_>, loading: &mut Loading) {
    let source = source(root, loading);
    check_unknown_keys(root, loading);
    let list = list(root).or_else(|| root.get("data").map(|data| list(&data).unwrap_or(data)));
    let list = list.unwrap_or_else(|| root.clone());
    match list.value {
        Value::Array(_) => list.items().for_each(|node| loading.entry(&Entry::new(node, source))),
        Value::Object(members) if is_entry(members) => loading.entry(&Entry::new(list, source)),
        _ => loading.fault(|| {
            list.fault("contains no list of mappings: write [[mappings]], or paste Segment's JSON")
        }),
    }
}

fn list<'d>(node: &Node<'d>) -> Option<Node<'d>> {
    LISTS.iter().find_map(|key| node.get(key))
}

/// Reports unknown keys. In the relay's form they are faults. Around a list from Segment's API they are warnings.
fn check_unknown_keys(root: &Node<'_>, loading: &mut Loading) {
    let json = root.document().is_json();
    if json && root.get("mappings").is_none() {
        return;
    }
    for (key, node) in root.members().filter(|(key, _)| !matches!(*key, "source" | "mappings" | "$schema")) {
        let hint = did_you_mean(key, ["source", "mappings"].into_iter());
        let fault = || node.fault_of_key(format!("a mapping file has no key {key}{hint}"));
        if json { loading.warn(fault) } else { loading.fault(fault) }
    }
}

/// Returns the file's `source`.
fn source(root: &Node<'_>, loading: &mut Loading) -> Option<SourceKind> {
    let node = root.get("source")?;
    let kinds = [SourceKind::Segment, SourceKind::Amplitude];
    let kind = kinds.into_iter().find(|kind| node.value.as_str() == Some(kind.name()));
    if kind.is_none() {
        loading.fault(|| node.fault("source must be \"segment\" or \"amplitude\""));
    }
    kind
}

fn is_entry(members: &Object<'_>) -> bool {
    ["name", "trigger", "action"].iter().chain(&SEGMENT_KEYS).any(|key| members.contains_key(key))
}
