//! `check`: every fault and warning of the configuration and its mappings, then a table of all mappings in force.
//!
//! Reads files only. Never opens a connection.

use std::io::{self, Write};
use std::path::Path;

use crate::config::{Config, Environment};
use crate::fault::{Fault, Faults};
use crate::mapping::{self, Mapping, Mappings};
use crate::plain::one_line;

#[derive(Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// Print the JSON Schema of a mapping file instead, for editors
    #[arg(long)]
    pub schema: bool,
    /// Fail if there is a warning
    #[arg(long)]
    pub deny_warnings: bool,
}

/// One mapping of one destination.
struct Row {
    destination: String,
    mapping: String,
    trigger: String,
    action: String,
    /// The preset or the file that defines the mapping.
    source: String,
}

const HEAD: [&str; 5] = ["destination", "mapping", "trigger", "action", "source"];

/// The result of checking a configuration and its mappings.
#[derive(Default)]
struct Findings {
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    rows: Vec<Row>,
}

/// Prints faults and warnings, one per line, then the table, then the counts. Returns false if the check failed.
pub fn run(
    args: &CheckArgs,
    file: Option<&Path>,
    environment: &Environment,
    out: &mut impl Write,
) -> io::Result<bool> {
    let Findings { faults, warnings, rows } = inspect(file, environment);
    let (faults, warnings) = (Faults::new(faults), Faults::new(warnings));
    faults.iter().try_for_each(|fault| writeln!(out, "{}", one_line(&fault.to_string())))?;
    warnings.iter().try_for_each(|fault| writeln!(out, "warning: {}", one_line(&fault.to_string())))?;
    print_table(&rows, out)?;
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    writeln!(out, "{}, {}", count(faults.iter().len(), "fault"), count(warnings.iter().len(), "warning"))?;
    Ok(faults.iter().len() == 0 && (warnings.iter().len() == 0 || !args.deny_warnings))
}

fn inspect(file: Option<&Path>, environment: &Environment) -> Findings {
    let (config, faults) = Config::inspect(file, environment);
    let mut found = Findings { faults, ..Findings::default() };
    let Some(config) = config else { return found };
    for destination in &config.destinations {
        match Mappings::load(&destination.mappings, &config.directory) {
            Ok(mappings) => {
                found.rows.extend(rows(&destination.name, &mappings));
                found.warnings.extend(mappings.warnings);
            }
            Err(faults) => found.faults.extend(faults),
        }
    }
    found
}

/// The JSON Schema of a mapping file.
pub fn print_schema(out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &mapping::schema())?;
    writeln!(out)
}

/// The rows of one destination.
fn rows(destination: &str, mappings: &Mappings) -> Vec<Row> {
    let row = |mapping: &Mapping| Row {
        destination: destination.to_owned(),
        mapping: mapping.name.to_string(),
        trigger: if mapping.enabled { mapping.trigger.to_string() } else { "(disabled)".to_owned() },
        action: mapping.action.slug.clone(),
        source: mapping.origin.clone(),
    };
    mappings.iter().map(row).collect()
}

/// Prints columns as wide as their widest cell; prints nothing if there are no rows.
fn print_table(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
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

fn cells(row: &Row) -> [String; 5] {
    [&row.destination, &row.mapping, &row.trigger, &row.action, &row.source].map(|text| one_line(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_faults_and_warnings_of_both_kinds_then_the_table_and_the_count() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        file(
            "accoil-relay.toml",
            "[servr]\n[[destinations]]\nname = 'a'\napi_key = 'k'\nmappings = ['own.toml']\n\
             [[destinations]]\nname = 'b'\napi_key = 'k'\nmappings = [\n  'own.toml',\n  'lost.toml',\n  'segmnt',\n]\n",
        );
        file(
            "own.toml",
            "[[mappings]]\nname = \"Track\\u001b[2J\"\ntrigger = 'type = \"track\"'\naction = 'track'\n\
             fields = { event = '$.event', userId = { '@path' = '$.userId' } }\n",
        );
        let environment = Environment::new(directory.path(), [("", "")]);
        let shown = |args: &CheckArgs| {
            let mut out = Vec::new();
            let passed = run(args, None, &environment, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap().replace(&*directory.path().to_string_lossy(), "");
            (passed, text)
        };
        let (passed, text) = shown(&CheckArgs::default());
        assert!(!passed);
        insta::assert_snapshot!(text, @r#"
        /accoil-relay.toml:1:2: unknown section [servr]: did you mean "server"?
        /accoil-relay.toml:11:3: mappings: the file "lost.toml" cannot be read: No such file or directory (os error 2): check the path, which is relative to the configuration file, and its permissions
        /accoil-relay.toml:12:3: mappings: "segmnt" is neither a preset (segment, amplitude) nor a path ending in .toml or .json; did you mean segment?
        warning: own.toml:5:20: is sent as the text "$.event", not as the value there: write { "@path" = "$.event" }, or { "@literal" = "$.event" } if the text is meant
        destination  mapping    trigger         action  source
        a            Track [2J  type = "track"  track   own.toml
        3 faults, 1 warning
        "#);

        file("accoil-relay.toml", "[[destinations]]\nname = 'a'\napi_key = 'k'\nmappings = ['own.toml']\n");
        let (passed, text) = shown(&CheckArgs::default());
        assert!(passed && text.ends_with("\n0 faults, 1 warning\n"), "{text}");
        assert!(!shown(&CheckArgs { deny_warnings: true, ..CheckArgs::default() }).0);
    }
}
