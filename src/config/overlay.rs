//! The environment as a layer: `ACCOIL_RELAY_SECTION__KEY`, `ACCOIL_RELAY_SOURCES__0__WRITE_KEY`.
//!
//! It knows the shape of a variable's name and no key; keys that do not exist are found by `section`.

use super::DEFAULTS;
use super::environment::Environment;
use super::fault::{Fault, Place};
use super::tree::{self, Node, Origin, Table, Value};
use crate::nearest::nearest;

const PREFIX: &str = "ACCOIL_RELAY_";

/// What begins like the rest and is no key: the file's path, and what starts a relay without a file.
const OWN: [&str; 4] =
    ["ACCOIL_RELAY_CONFIG", "ACCOIL_RELAY_SEED", "ACCOIL_RELAY_WRITE_KEY", "ACCOIL_RELAY_WRITE_KEY_FILE"];

/// What a relay without a file runs, but for its keys (DESIGN section 4).
const WITHOUT_FILE: &str = include_str!("without-file.toml");

/// Where the variables that start a relay without a file go.
const WITHOUT_FILE_KEYS: [(&str, &str); 6] = [
    ("ACCOIL_API_KEY", "DESTINATIONS__0__API_KEY"),
    ("ACCOIL_API_KEY_FILE", "DESTINATIONS__0__API_KEY_FILE"),
    ("ACCOIL_RELAY_WRITE_KEY", "SOURCES__0__WRITE_KEY"),
    ("ACCOIL_RELAY_WRITE_KEY", "SOURCES__1__WRITE_KEY"),
    ("ACCOIL_RELAY_WRITE_KEY_FILE", "SOURCES__0__WRITE_KEY_FILE"),
    ("ACCOIL_RELAY_WRITE_KEY_FILE", "SOURCES__1__WRITE_KEY_FILE"),
];

/// The name of the variable that sets `key` of the section at `path`.
pub(super) fn variable(path: &str, key: &str) -> String {
    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}

/// What stands in for a file when there is a key for Accoil; `None` when there is none.
pub(super) fn without_file(environment: &Environment) -> Option<Table> {
    environment.get("ACCOIL_API_KEY").or(environment.get("ACCOIL_API_KEY_FILE"))?;
    let mut tree = tree::embedded(WITHOUT_FILE);
    for (name, path) in WITHOUT_FILE_KEYS {
        if let Some(value) = environment.get(name) {
            set(&mut tree, &segments(path), &Origin::Variable(name.to_owned()), value);
        }
    }
    Some(tree)
}

/// Lays the variables over the tree; gives back those that cannot be a key, by name, each with its fault.
pub(super) fn lay(tree: &mut Table, environment: &Environment) -> Vec<(String, Fault)> {
    let mut layer: Vec<(Vec<Segment>, &str, &str)> = environment
        .beginning(PREFIX)
        .filter(|(name, rest, value)| !OWN.contains(name) && !is_service_link(rest, value))
        .map(|(name, rest, value)| (segments(rest), name, value))
        .collect();
    layer.sort();
    let mut strangers = Vec::new();
    for (path, name, value) in layer {
        let origin = Origin::Variable(name.to_owned());
        if path.len() < 2 || !set(tree, &path, &origin, value) {
            strangers.push(name);
        }
    }
    if strangers.is_empty() {
        return Vec::new();
    }
    let mut known: Vec<String> = OWN.map(str::to_owned).to_vec();
    names(&tree::embedded(DEFAULTS), "", &mut known);
    strangers.into_iter().map(|name| (name.to_owned(), stranger(name, &known))).collect()
}

fn stranger(name: &str, known: &[String]) -> Fault {
    let advice = nearest(name, known.iter().map(String::as_str).filter(|known| *known != name)).map_or_else(
        || format!("keys are set as {PREFIX}SECTION__KEY, lists of sections as {PREFIX}SOURCES__0__KEY"),
        |meant| format!("did you mean {meant}?"),
    );
    Fault { place: Place::Variable(name.to_owned()), message: "this sets no key".to_owned(), advice }
}

/// A part of a path; ordered so that index 2 is laid before index 10, and so never leaves a gap.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Index(usize),
    Key(String),
}

fn segments(path: &str) -> Vec<Segment> {
    let segment =
        |text: &str| text.parse().map_or_else(|_| Segment::Key(text.to_ascii_lowercase()), Segment::Index);
    path.split("__").map(segment).collect()
}

/// False when the path fits nothing: an index with a gap before it, a section within a value.
fn set(table: &mut Table, path: &[Segment], origin: &Origin, value: &str) -> bool {
    let new = |value| Node { key: origin.clone(), origin: origin.clone(), value };
    match path {
        [Segment::Key(key)] => {
            table.insert(key.clone(), new(Value::Text(value.to_owned())));
            true
        }
        [Segment::Key(section), Segment::Key(_)] => {
            let node = table.entry(section.clone()).or_insert_with(|| new(Value::Table(Table::new())));
            match &mut node.value {
                Value::Table(inner) => set(inner, path.get(1..).unwrap_or_default(), origin, value),
                _ => false,
            }
        }
        [Segment::Key(sections), Segment::Index(index), Segment::Key(_)] => {
            let node = table.entry(sections.clone()).or_insert_with(|| new(Value::List(Vec::new())));
            let Value::List(items) = &mut node.value else { return false };
            if *index == items.len() {
                items.push(new(Value::Table(Table::new())));
            }
            match items.get_mut(*index).map(|item| &mut item.value) {
                Some(Value::Table(inner)) => set(inner, path.get(2..).unwrap_or_default(), origin, value),
                _ => false,
            }
        }
        _ => false,
    }
}

/// The variables that set what a tree holds.
fn names(table: &Table, path: &str, known: &mut Vec<String>) {
    for (key, node) in table {
        let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match &node.value {
            Value::Table(table) => names(table, &inner, known),
            Value::List(_) => {}
            _ => known.push(variable(path, key)),
        }
    }
}

/// What Kubernetes and Docker set in every container for a service called `accoil-relay` or `accoil-relay-…`.
fn is_service_link(rest: &str, value: &str) -> bool {
    let is_port = |part: &str| part.ends_with("PORT") && value.contains("://");
    let is_protocol = |part: &str| ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| part.contains(protocol));
    !rest.contains("__")
        && (rest.ends_with("SERVICE_HOST")
            || rest.contains("SERVICE_PORT")
            || is_port(rest)
            || (rest.contains("PORT_") && is_protocol(rest)))
}
