//! The README tells the truth: its tables name each key, default and command that there is and no other, its command
//! lines parse, and its configuration is valid; docs/accounts.md likewise.

use std::collections::{BTreeMap, BTreeSet};

use accoil_relay::cli::Cli;
use accoil_relay::config::{Config, Environment};
use clap::{Command, CommandFactory as _};

const README: &str = include_str!("../../README.md");
const ACCOUNTS: &str = include_str!("../../docs/accounts.md");
const DEFAULTS: &str = include_str!("../../src/config/default.toml");

#[test]
fn the_table_of_keys_is_that_of_the_defaults() {
    let keys = keys();
    let mut told = BTreeSet::new();
    for row in table("| key | default | meaning |") {
        let (names, defaults) = (quoted(row[0]), quoted(row[1]));
        for (place, name) in names.iter().enumerate() {
            assert!(told.insert(name.clone()), "{name} is told twice");
            let in_force = keys.get(name).unwrap_or_else(|| panic!("there is no key {name}"));
            if let Some(default) = in_force {
                assert_eq!(defaults.get(place), Some(default), "the default of {name}");
            }
        }
    }
    let untold: Vec<_> = keys.keys().filter(|key| !told.contains(*key)).collect();
    assert!(untold.is_empty(), "the README's table lacks {untold:?}");
}

#[test]
fn the_table_of_commands_is_that_of_the_program() {
    let told: BTreeSet<String> = table("| command | does |").flat_map(|row| quoted(row[0])).collect();
    let mut all = BTreeSet::new();
    collect_commands(&Cli::command(), "", &mut all);
    assert_eq!(told, all);
}

#[test]
fn every_command_line_is_one() {
    for page in [README, ACCOUNTS] {
        command_lines_parse(page);
    }
}

fn command_lines_parse(page: &str) {
    let lines: Vec<&str> = page
        .lines()
        .flat_map(|line| line.split(" | "))
        .filter_map(|part| {
            let part = part.trim();
            part.strip_prefix("accoil-relay ").or_else(|| part.strip_prefix("cargo run --release -- "))
        })
        .collect();
    assert!(lines.len() >= 4, "the README's command lines are not found: {lines:?}");
    for line in lines {
        let words =
            ["accoil-relay"].into_iter().chain(line.split_whitespace().map(|word| word.trim_matches('\'')));
        Cli::command().try_get_matches_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn the_example_configuration_is_valid() {
    let (_, rest) = README.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accoil-relay.toml");
    std::fs::write(&file, example).unwrap();
    let variables = ["WEB_WRITE_KEY", "WEB_SECRET", "PRODUCT_WRITE_KEY", "ACCOIL_API_KEY"];
    let environment = Environment::new(directory.path(), variables.map(|name| (name, "key")));
    let config = Config::load(Some(&file), &environment).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((config.sources.len(), config.destinations.len()), (2, 1));
}

/// Its first example is all that the syncs need; the second, and `every` at the end of the first, make the schedule.
#[test]
fn the_configuration_of_accounts_is_valid() {
    let blocks: Vec<String> = ACCOUNTS
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect();
    let [first, second] = &*blocks else { panic!("two examples expected: {blocks:#?}") };
    let whole = format!("{first}every = \"1h\"\n{second}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accoil-relay.toml");
    for (text, is_scheduled) in [(first, false), (&whole, true)] {
        std::fs::write(&file, text).unwrap();
        let variables =
            [("ACCOIL_API_KEY", "key"), ("ACCOIL_API_TOKEN", "accoil_t"), ("VITALLY_SECRET", "sk_live_s")];
        let config = Config::load(Some(&file), &Environment::new(directory.path(), variables));
        let config = config.unwrap_or_else(|faults| panic!("{faults}"));
        assert!(config.accounts.is_some() && config.vitally.is_some());
        assert_eq!(
            config.accoil_to_vitally.every.is_some() && config.vitally_to_accoil.every.is_some(),
            is_scheduled
        );
    }
}

/// Every key of default.toml as `section.key`, with its default where one is in force.
fn keys() -> BTreeMap<String, Option<String>> {
    let mut keys = BTreeMap::new();
    let mut section = "";
    for line in DEFAULTS.lines() {
        // A key that is commented out follows its comment sign at once; a sentence does not.
        let (line, in_force) = line.strip_prefix('#').map_or((line, true), |rest| (rest, false));
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']);
        } else if let Some((key, default)) = line.split_once(" = ")
            && !key.contains(' ')
        {
            keys.insert(format!("{section}.{key}"), in_force.then(|| default.to_owned()));
        }
    }
    keys
}

/// The cells of the table's rows.
fn table(head: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let (_, rows) = README.split_once(head).unwrap_or_else(|| panic!("the README has no table {head}"));
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect())
}

/// What stands between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn collect_commands(command: &Command, path: &str, all: &mut BTreeSet<String>) {
    for child in command.get_subcommands() {
        let path = format!("{path} {}", child.get_name());
        if child.has_subcommands() {
            collect_commands(child, &path, all);
        } else {
            all.insert(path.trim_start().to_owned());
        }
    }
}
