//! Every fenced example of docs/mappings.md and docs/mappings-reference.md is run. Its tag says how:
//!
//! `json mapping`, `json event`, `json output`: what the mapping makes of the event, as `eval mapping` does;
//! `fql trigger` with `json matches` and `json misses`: events that match it and events that do not;
//! `toml file`, `json file`: a mapping file, in force until the next heading; else the presets are;
//! `toml wrong` with `text faults`: one that does not load, and why;
//! `json received` with `json answer` (`strict`) or `json explain`: an event and the output of `map` for it;
//! `console`: after `$` a command, below it what it prints;
//! `toml configuration`: a configuration file, which must be valid.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use accoil_relay::config::{Config, Environment};
use accoil_relay::fault::{Fault, LocatedText};
use accoil_relay::json::Value;
use accoil_relay::mapping::Mappings;
use accoil_relay::mapping::directive::{Directive, transform};
use accoil_relay::mapping::trigger::Trigger;
use tempfile::TempDir;

use crate::commands::{answers, configuration};

const PAGES: [&str; 2] = ["docs/mappings.md", "docs/mappings-reference.md"];

struct Block {
    tag: String,
    text: String,
    line: usize,
    /// The number of headings before the block.
    section: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let (mut blocks, mut open, mut section) = (Vec::new(), None, 0);
    for (index, line) in fs::read_to_string(page).unwrap().lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(tag), None) => {
                open = Some(Block { tag: tag.to_owned(), text: String::new(), line: index + 1, section });
            }
            (Some(_), _) => blocks.extend(open.take()),
            (None, Some(block)) => writeln!(block.text, "{line}").unwrap(),
            (None, None) => section += usize::from(line.starts_with('#')),
        }
    }
    blocks
}

/// Returns the mapping files in the relay's own form.
pub(crate) fn files() -> Vec<String> {
    let blocks = PAGES.iter().flat_map(|page| blocks(page));
    blocks.filter(|block| block.tag == "toml file").map(|block| block.text).collect()
}

#[test]
fn every_example_gives_the_documented_result() {
    let mut run = 0;
    for name in PAGES {
        let mut page = Page { name, folder: tempfile::tempdir().unwrap(), last: Vec::new(), run: 0 };
        for block in blocks(name) {
            page.run(&block);
            page.last.push(block);
        }
        run += page.run;
    }
    assert!(run > 40, "only {run} examples were found");
}

struct Page {
    name: &'static str,
    folder: TempDir,
    last: Vec<Block>,
    run: usize,
}

impl Page {
    /// Returns the last block with this tag.
    fn last(&self, tag: &str) -> &str {
        &self.last.iter().rfind(|block| block.tag == tag).unwrap_or_else(|| panic!("no {tag} before")).text
    }

    fn run(&mut self, block: &Block) {
        let (place, text) = (format!("{}:{}", self.name, block.line), &block.text);
        self.run += 1;
        match block.tag.as_str() {
            "json output" => assert_eq!(self.output(), compact(text), "{place}"),
            "json matches" => assert!(self.matches(text), "{place}"),
            "json misses" => assert!(!self.matches(text), "{place}"),
            "toml file" => {
                self.load("mappings.toml", text).unwrap_or_else(|faults| panic!("{place}: {faults}"));
            }
            "toml configuration" => {
                let file = self.folder.path().join("accoil-relay.toml");
                fs::write(&file, text).unwrap();
                let environment = Environment::new(self.folder.path(), [("ACCOIL_API_KEY", "key")]);
                Config::load(Some(&file), &environment).unwrap_or_else(|faults| panic!("{place}: {faults}"));
            }
            "json file" => {
                self.load("mappings.json", text).unwrap_or_else(|faults| panic!("{place}: {faults}"));
            }
            "text faults" => {
                let wrong = self.load("mappings.toml", self.last("toml wrong"));
                assert_eq!(wrong.unwrap_err(), text.trim_end(), "{place}");
            }
            "json answer" => assert_eq!(self.map(block, &[]), compact(text), "{place}"),
            "json answer strict" => assert_eq!(self.map(block, &["--strict"]), compact(text), "{place}"),
            "json explain" => {
                let answer = self.map(block, &["--explain"]);
                let answer = Value::parse(&answer).unwrap();
                assert_eq!(answer.get("explain").unwrap().to_string(), compact(text), "{place}");
            }
            "console" => assert_eq!(console(text), *text, "{place}"),
            "json mapping" | "json event" | "fql trigger" | "toml wrong" | "json received" => self.run -= 1,
            other => panic!("{place}: nothing is known about {other:?}"),
        }
    }

    fn output(&self) -> String {
        let (mapping, event) = (self.last("json mapping"), self.last("json event"));
        let mapping = Directive::compile_mapping(&Value::parse(mapping).unwrap()).unwrap();
        transform(&mapping, &Value::parse(event).unwrap()).unwrap().to_string()
    }

    fn matches(&self, event: &str) -> bool {
        let trigger = Trigger::parse(self.last("fql trigger").trim()).unwrap();
        trigger.matches(&Value::parse(event).unwrap())
    }

    /// Loads a mapping file; warnings count as faults.
    fn load(&self, name: &str, text: &str) -> Result<(), String> {
        std::fs::write(self.folder.path().join(name), text).unwrap();
        let listed = |faults: &[Fault]| faults.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n");
        match Mappings::load(&[LocatedText::unplaced(name)], self.folder.path()) {
            Ok(mappings) if mappings.warnings.is_empty() => Ok(()),
            Ok(mappings) => Err(listed(&mappings.warnings)),
            Err(faults) => Err(listed(&faults)),
        }
    }

    /// Returns the output of `map` for the last event, with the mapping file of this section or with the presets.
    fn map(&self, block: &Block, more: &[&str]) -> String {
        let own = self.last.iter().rfind(|other| other.section == block.section && other.tag == "toml file");
        let mappings = own.map_or("segment", |own| {
            std::fs::write(self.folder.path().join("mappings.toml"), &own.text).unwrap();
            "mappings.toml"
        });
        let config = configuration(self.folder.path(), &[mappings]);
        let mut arguments = vec!["--config", &config, "map", "--source", "segment"];
        arguments.extend(more);
        answers(&arguments, &compact(self.last("json received"))).concat()
    }
}

fn compact(text: &str) -> String {
    Value::parse(text).unwrap_or_else(|error| panic!("{error}: {text}")).to_string()
}

/// Runs the commands and returns what they print, one after the other.
fn console(text: &str) -> String {
    let binary = Path::new(env!("CARGO_BIN_EXE_accoil-relay")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let mut printed = String::new();
    for command in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let run = Command::new("sh").args(["-c", command]).env("PATH", &path).output().unwrap();
        write!(printed, "$ {command}\n{}", String::from_utf8(run.stdout).unwrap()).unwrap();
    }
    printed
}
