//! The README and the pages beside it must be right: the table of commands names each command and no others,
//! every command line parses, and every example of a configuration is valid.

use std::collections::BTreeSet;
use std::fs;

use accoil_relay::cli::Cli;
use accoil_relay::config::{Config, Environment};
use clap::{Command, CommandFactory as _};

const CONFIGURATION: &str = "docs/configuration.md";
const OPERATIONS: &str = "docs/operations.md";
const ACCOUNTS: &str = "docs/accounts.md";

#[test]
fn the_table_of_commands_is_that_of_the_program() {
    let rows = table(OPERATIONS, "| command | does |");
    let documented: BTreeSet<String> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let mut all = BTreeSet::new();
    collect_commands(&Cli::command(), "", &mut all);
    assert_eq!(documented, all);
}

#[test]
fn every_command_line_parses() {
    let mut pages: Vec<_> = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.retain(|page| page.extension().is_some_and(|extension| extension == "md"));
    pages.push("README.md".into());
    let mut checked = 0;
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for line in command_lines(&text) {
            let words = std::iter::once("accoil-relay".to_owned()).chain(words(line));
            Cli::command()
                .try_get_matches_from(words)
                .unwrap_or_else(|error| panic!("{}: {line}: {error}", page.display()));
            checked += 1;
        }
    }
    assert!(checked >= 20, "only {checked} command lines were found");
}

/// Returns what follows the program's name in the examples: at the beginning of a line, after a prompt or after a
/// pipe.
fn command_lines(page: &str) -> impl Iterator<Item = &str> {
    let examples = page.lines().scan(false, |is_example, line| {
        *is_example ^= line.trim_start().starts_with("```");
        Some((*is_example || line.starts_with("    ")).then_some(line))
    });
    examples.flatten().flat_map(|line| line.split(" | ")).filter_map(|part| {
        let part = part.trim().trim_start_matches("$ ");
        part.strip_prefix("accoil-relay ").or_else(|| part.strip_prefix("cargo run --release -- "))
    })
}

/// Splits a line into words as a shell does, up to a redirection or comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for character in line.chars().chain([' ']) {
        match (character, quote) {
            ('\'' | '"', None) => quote = Some(character),
            (end, Some(start)) if end == start => quote = None,
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    let end = words.iter().position(|word| matches!(&**word, "<" | ">" | "#"));
    words.truncate(end.unwrap_or(words.len()));
    words
}

#[test]
fn the_example_configuration_is_valid() {
    let page = fs::read_to_string(CONFIGURATION).unwrap();
    let (_, rest) = page.split_once("```toml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accoil-relay.toml");
    fs::write(&file, example).unwrap();
    let variables = ["WEB_WRITE_KEY", "WEB_SECRET", "PRODUCT_WRITE_KEY", "ACCOIL_API_KEY"];
    let environment = Environment::new(directory.path(), variables.map(|name| (name, "key")));
    let config = Config::load(Some(&file), &environment).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!((config.sources.len(), config.destinations.len()), (2, 1));
}

/// The first example is complete for the syncs. The second, and `every` at the end of the first, add the schedule.
#[test]
fn the_configuration_of_accounts_is_valid() {
    let page = fs::read_to_string(ACCOUNTS).unwrap();
    let blocks: Vec<String> =
        page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect();
    let [first, second] = &*blocks else { panic!("two examples expected: {blocks:#?}") };
    let whole = format!("{first}every = \"1h\"\n{second}");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("accoil-relay.toml");
    for (text, is_scheduled) in [(first, false), (&whole, true)] {
        fs::write(&file, text).unwrap();
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

/// Returns the cells of the table's rows.
fn table(page: &str, head: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(page).unwrap();
    let (_, rows) = text.split_once(head).unwrap_or_else(|| panic!("{page} has no table {head}"));
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Returns the texts between backquotes.
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
