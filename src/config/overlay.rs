//! The configuration layer from environment variables: `ACCOIL_RELAY_SECTION__KEY`, `ACCOIL_RELAY_SOURCES__0__WRITE_KEY`.
//!
//! Checks only the form of a variable's name. `section` finds the keys that do not exist.

use super::DEFAULTS;
use super::environment::Environment;
use super::tree::{self, Node, Origin, Table, Value};
use crate::fault::{Fault, Place};
use accoil_mapping::nearest;

const PREFIX: &str = "ACCOIL_RELAY_";

/// Variables with our prefix that are not keys: the file's path, and what starts a relay without a file.
const NOT_KEYS: [&str; 4] =
    ["ACCOIL_RELAY_CONFIG", "ACCOIL_RELAY_SEED", "ACCOIL_RELAY_WRITE_KEY", "ACCOIL_RELAY_WRITE_KEY_FILE"];

/// The configuration of a relay without a file, except its keys.
const WITHOUT_FILE: &str = include_str!("without-file.toml");

/// Which keys the variables for a relay without a file set.
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

/// The configuration of a relay without a file. `None` if no variable holds a key for Accoil.
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

/// Overlays the tree with the variables. Returns the name and fault of each variable that cannot be a key.
pub(super) fn overlay_variables(tree: &mut Table, environment: &Environment) -> Vec<(String, Fault)> {
    let mut layer: Vec<(Vec<Segment>, &str, &str)> = environment
        .with_prefix(PREFIX)
        .filter(|(name, rest, value)| !NOT_KEYS.contains(name) && !is_service_link(rest, value))
        .map(|(name, rest, value)| (segments(rest), name, value))
        .collect();
    layer.sort();
    let mut unknown = Vec::new();
    for (path, name, value) in layer {
        let origin = Origin::Variable(name.to_owned());
        if path.len() < 2 || !set(tree, &path, &origin, value) {
            unknown.push((name.to_owned(), unknown_variable(name)));
        }
    }
    unknown
}

fn unknown_variable(name: &str) -> Fault {
    let advice = meant(name).map_or_else(
        || format!("keys are set as {PREFIX}SECTION__KEY, lists of sections as {PREFIX}SOURCES__0__KEY"),
        |meant| format!("did you mean {meant}?"),
    );
    let message = "unknown environment variable".to_owned();
    Fault { place: Place::Variable(name.to_owned()), message, advice }
}

/// The variable that was probably meant: one with a similar name, or else the first with a similar key. One underscore
/// counts as two.
fn meant(name: &str) -> Option<String> {
    let plain = |name: &str| name.replace("__", "_");
    let word = plain(name.strip_prefix(PREFIX)?);
    let mut known: Vec<(String, String)> = vec![
        ("API_KEY".to_owned(), "ACCOIL_API_KEY".to_owned()),
        ("API_KEY_FILE".to_owned(), "ACCOIL_API_KEY_FILE".to_owned()),
    ];
    known.extend(
        NOT_KEYS.iter().filter_map(|own| Some((own.strip_prefix(PREFIX)?.to_owned(), (*own).to_owned()))),
    );
    let keys = documented_keys();
    let variables = keys.iter().map(|(section, key)| variable(section, key));
    known.extend(variables.filter_map(|one| Some((plain(one.strip_prefix(PREFIX)?), one))));
    known.extend(keys.iter().map(|(section, key)| (key.to_ascii_uppercase(), variable(section, key))));
    let near = nearest(&word, known.iter().map(|(plain, _)| plain.as_str()))?;
    known.iter().find(|(plain, meant)| plain == near && meant != name).map(|(_, meant)| meant.clone())
}

/// Section and key of every line of `default.toml`, in force or an example; an entry of a list has the index 0.
fn documented_keys() -> Vec<(String, &'static str)> {
    let (mut keys, mut section) = (Vec::new(), String::new());
    for line in DEFAULTS.lines().map(|line| line.strip_prefix('#').unwrap_or(line)) {
        if let Some(list) = line.strip_prefix("[[") {
            section = format!("{}.0", list.trim_end_matches(']'));
        } else if let Some(one) = line.strip_prefix('[') {
            one.trim_end_matches(']').clone_into(&mut section);
        } else if let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.contains(' ')) {
            keys.push((section.clone(), key));
        }
    }
    keys
}

/// One part of a path. The order puts index 2 before index 10, so that lists are filled without a gap.
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

/// Sets the value at `path`. Returns false if the path cannot be set: an index leaves a gap, or a value has no keys.
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

/// Whether Kubernetes or Docker set the variable for a service named `accoil-relay` or `accoil-relay-…`.
fn is_service_link(rest: &str, value: &str) -> bool {
    let is_port = |part: &str| part.ends_with("PORT") && value.contains("://");
    let is_protocol = |part: &str| ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| part.contains(protocol));
    !rest.contains("__")
        && (rest.ends_with("SERVICE_HOST")
            || rest.contains("SERVICE_PORT")
            || is_port(rest)
            || (rest.contains("PORT_") && is_protocol(rest)))
}
