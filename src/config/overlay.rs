//! The configuration layer from environment variables: `ACCOIL_RELAY_SECTION__KEY`, `ACCOIL_RELAY_SOURCES__0__WRITE_KEY`.
//!
//! Checks only the form of a variable's name. `section` finds the keys that do not exist.

use super::SECTIONS;
use super::environment::Environment;
use super::table::{Form, Table};
use crate::document::{Document, Step};
use crate::fault::{Fault, Place};
use accoil_mapping::nearest;

const PREFIX: &str = "ACCOIL_RELAY_";

/// Variables with our prefix that are not keys: the file's path, and what starts a relay without a file.
const NOT_KEYS: [&str; 4] =
    ["ACCOIL_RELAY_CONFIG", "ACCOIL_RELAY_SEED", "ACCOIL_RELAY_WRITE_KEY", "ACCOIL_RELAY_WRITE_KEY_FILE"];

/// The configuration of a relay without a file, except its keys.
pub(super) const WITHOUT_FILE: &str = include_str!("without-file.toml");

/// Which keys the variables for a relay without a file set.
const WITHOUT_FILE_KEYS: [(&str, &str); 6] = [
    ("ACCOIL_API_KEY", "destinations__0__api_key"),
    ("ACCOIL_API_KEY_FILE", "destinations__0__api_key_file"),
    ("ACCOIL_RELAY_WRITE_KEY", "sources__0__write_key"),
    ("ACCOIL_RELAY_WRITE_KEY", "sources__1__write_key"),
    ("ACCOIL_RELAY_WRITE_KEY_FILE", "sources__0__write_key_file"),
    ("ACCOIL_RELAY_WRITE_KEY_FILE", "sources__1__write_key_file"),
];

/// The name of the variable that sets `key` of the section at `path`.
pub(super) fn variable(path: &str, key: &str) -> String {
    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    format!("{PREFIX}{}", path.replace('.', "__").to_ascii_uppercase())
}

/// Sets the variables in the document. Returns the name and fault of each variable that cannot be a key.
pub(super) fn overlay_variables(
    document: &mut Document<'_>,
    environment: &Environment,
    has_file: bool,
) -> Vec<(String, Fault)> {
    for (name, path) in WITHOUT_FILE_KEYS.into_iter().filter(|_| !has_file) {
        if let Some(value) = environment.get(name) {
            document.set(&steps(path), name, value);
        }
    }
    let layer: Vec<(String, &str, &str)> = environment
        .with_prefix(PREFIX)
        .filter(|(name, rest, value)| !NOT_KEYS.contains(name) && !is_service_link(rest, value))
        .map(|(name, rest, value)| (rest.to_ascii_lowercase(), name, value))
        .collect();
    let mut layer: Vec<(Vec<Step<'_>>, &str, &str)> =
        layer.iter().map(|(rest, name, value)| (steps(rest), *name, *value)).collect();
    layer.sort();
    let mut unknown = Vec::new();
    for (path, name, value) in layer {
        if !can_be_key(&path) || !document.set(&path, name, value) {
            unknown.push((name.to_owned(), unknown_variable(name)));
        }
    }
    unknown
}

/// Whether the path has the form of a key: of a section, or of an entry of a list of sections.
fn can_be_key(path: &[Step<'_>]) -> bool {
    let is_list = |name: &str| {
        SECTIONS.iter().find(|table| table.name == name).map(|table: &&Table| table.form == Form::List)
    };
    match path {
        [Step::Key(section), Step::Key(_)] => is_list(section) != Some(true),
        [Step::Key(section), Step::Index(_), Step::Key(_)] => is_list(section) != Some(false),
        _ => false,
    }
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

/// Section and name of every key; an entry of a list has the index 0.
fn documented_keys() -> Vec<(String, &'static str)> {
    let keys = |table: &&'static Table| {
        let name = if table.form == Form::List { format!("{}.0", table.name) } else { table.name.to_owned() };
        table.names().map(move |key| (name.clone(), key)).collect::<Vec<_>>()
    };
    SECTIONS.iter().flat_map(keys).collect()
}

/// The order of steps puts index 2 before index 10, so that lists are filled without a gap.
fn steps(path: &str) -> Vec<Step<'_>> {
    path.split("__").map(|part| part.parse().map_or(Step::Key(part), Step::Index)).collect()
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
