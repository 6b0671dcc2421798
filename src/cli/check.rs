//! `check`: every fault of the configuration and of its mappings, then which event goes where and as what.
//!
//! Reads files only; never calls anybody.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use crate::config::{Config, Destination, Environment, Faults};
use crate::mapping::{self, Mapping, Mappings};

#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// Print the JSON Schema of a mapping file instead, for editors
    #[arg(long)]
    pub schema: bool,
}

/// One mapping of one destination, as it is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub destination: String,
    pub mapping: String,
    pub trigger: String,
    pub action: String,
    /// The preset or the file that it comes from.
    pub source: String,
}

const HEAD: [&str; 5] = ["destination", "mapping", "trigger", "action", "source"];

/// Prints the faults, one a line, then the table; false if there was a fault (exit code [`Faults::EXIT_CODE`]).
///
/// `mappings` loads those of one destination, their paths relative to the given directory: its rows, or every
/// fault in them.
pub fn run<F: Display>(
    file: Option<&Path>,
    environment: &Environment,
    mappings: impl Fn(&Destination, &Path) -> Result<Vec<Row>, Vec<F>>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let (config, faults) = Config::inspect(file, environment);
    let mut sound = faults.is_empty();
    if !sound {
        writeln!(out, "{}", Faults::new(faults))?;
    }
    let Some(config) = config else { return Ok(false) };
    let mut rows = Vec::new();
    for destination in &config.destinations {
        match mappings(destination, &config.directory) {
            Ok(more) => rows.extend(more),
            Err(faults) => {
                sound = false;
                faults.iter().try_for_each(|fault| writeln!(out, "{fault}"))?;
            }
        }
    }
    print_table(&rows, out)?;
    Ok(sound)
}

/// The JSON Schema of a mapping file.
pub fn print_schema(out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &mapping::schema())?;
    writeln!(out)
}

/// The rows of one destination.
pub fn rows(destination: &str, mappings: &Mappings) -> Vec<Row> {
    let row = |mapping: &Mapping| Row {
        destination: destination.to_owned(),
        mapping: mapping.name.to_string(),
        trigger: if mapping.enabled { mapping.trigger.to_string() } else { "(disabled)".to_owned() },
        action: mapping.action.slug.clone(),
        source: mapping.origin.clone(),
    };
    mappings.iter().map(row).collect()
}

/// Columns as wide as their widest cell; nothing at all without a row.
pub fn print_table(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let cells: Vec<[String; 5]> =
        std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let mut widths = [0; 5];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in &cells {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// On one line each, and without what would steer a terminal: a mapping's text may come from anywhere.
fn cells(row: &Row) -> [String; 5] {
    [&row.destination, &row.mapping, &row.trigger, &row.action, &row.source].map(|text| {
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_faults_of_both_kinds_then_the_table() {
        let directory = tempfile::tempdir().unwrap();
        let text = "[servr]\n[[destinations]]\nname = 'a'\napi_key = 'k'\n[[destinations]]\nname = 'b'\napi_key = 'k'\n";
        std::fs::write(directory.path().join("accoil-relay.toml"), text).unwrap();
        let environment = Environment::new(directory.path(), [("", "")]);
        let row = |destination: &Destination| Row {
            destination: destination.name.clone(),
            mapping: "Track calls".to_owned(),
            trigger: "type = \"track\"\u{1b}[2J".to_owned(),
            action: "track".to_owned(),
            source: "segment".to_owned(),
        };
        let mappings = |destination: &Destination, _: &Path| match destination.name.as_str() {
            "a" => Ok(vec![row(destination), row(destination)]),
            _ => Err(vec!["mine.toml:1:1: unknown action"]),
        };
        let mut out = Vec::new();
        assert!(!run(None, &environment, mappings, &mut out).unwrap());
        let shown = String::from_utf8(out).unwrap().replace(&*directory.path().to_string_lossy(), "");
        insta::assert_snapshot!(shown, @r#"
        /accoil-relay.toml:1:2: unknown section [servr]: did you mean "server"?
        mine.toml:1:1: unknown action
        destination  mapping      trigger             action  source
        a            Track calls  type = "track" [2J  track   segment
        a            Track calls  type = "track" [2J  track   segment
        "#);
    }
}
