//! The files of a configuration: its own, and those that hold a secret. Every read is capped.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::environment::Environment;
use super::fault::{Fault, MOST_FAULTS, Place};
use super::overlay;
use super::tree::{self, Origin, Table};
use super::value::{Complaint, Reading};

/// Looked for where the relay runs when no file is named.
pub(super) const FILE: &str = "accoil-relay.toml";

/// No configuration that a person wrote is larger.
const MOST_BYTES: u64 = 1024 * 1024;

/// Keys and tokens are short; a larger file is the wrong file.
const MOST_SECRET_BYTES: u64 = 64 * 1024;

/// The configuration file's text, to tell lines and columns from.
#[derive(Default)]
pub(super) struct Document {
    file: PathBuf,
    text: String,
    /// The byte at which each line begins.
    lines: Vec<usize>,
    /// Every fault of its syntax.
    pub(super) faults: Vec<Fault>,
}

/// Lays the file over the tree, or what stands in for it.
pub(super) fn lay(
    tree: &mut Table,
    file: Option<&Path>,
    environment: &Environment,
) -> Result<Document, Fault> {
    let named =
        file.map(Path::to_owned).or_else(|| environment.get("ACCOIL_RELAY_CONFIG").map(PathBuf::from));
    let usual = environment.directory().join(FILE);
    if let Some(file) = named.or_else(|| usual.exists().then_some(usual)) {
        let mut document = Document::new(file.clone(), read(&file)?);
        let table = document.parse();
        tree::lay(tree, table);
        return Ok(document);
    }
    let stand_in = overlay::without_file(environment).ok_or_else(nothing_to_run)?;
    tree::lay(tree, stand_in);
    Ok(Document::new(environment.directory().join(FILE), String::new()))
}

impl Document {
    pub(super) fn new(file: PathBuf, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect();
        Self { file, text, lines, faults: Vec::new() }
    }

    /// What can be read of the text; notes what cannot.
    fn parse(&mut self) -> Table {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        let faults = errors.iter().take(MOST_FAULTS).map(|error| Fault {
            place: self.place(&Origin::File(error.span().map_or(0, |span| span.start))),
            // Not the error's own text: that quotes the line, which may hold a secret.
            message: format!("this is not TOML ({})", error.message().trim_end_matches(", expected nothing")),
            advice: "mend the line; text goes in double quotes, a section's name in [brackets]".to_owned(),
        });
        self.faults = faults.collect();
        tree::read_table(table.into_inner(), &Origin::File)
    }

    /// What relative paths in it are relative to.
    pub(super) fn directory(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    pub(super) fn place(&self, origin: &Origin) -> Place {
        match origin {
            Origin::Embedded => Place::Nowhere,
            Origin::Variable(name) => Place::Variable(name.clone()),
            Origin::File(byte) => {
                let line = self.lines.partition_point(|start| start <= byte).max(1);
                let start = self.lines.get(line - 1).copied().unwrap_or_default();
                let column = self.text.get(start..*byte).map_or(1, |before| before.chars().count() + 1);
                Place::File { file: self.file.clone(), line, column }
            }
        }
    }
}

fn read(file: &Path) -> Result<String, Fault> {
    read_capped(file, MOST_BYTES).map_err(|error| Fault {
        place: Place::Nowhere,
        message: format!("cannot read the configuration file {}: {error}", file.display()),
        advice: "check the path and its permissions, or name another file with --config".to_owned(),
    })
}

/// One line of text, without its end.
pub(super) fn read_secret(file: &Path) -> Reading<String> {
    let text = read_capped(file, MOST_SECRET_BYTES).map_err(|error| {
        Complaint::new(
            format!("names a file that cannot be read ({error})"),
            "check its path, which is relative to the configuration file, and its permissions",
        )
    })?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn read_capped(file: &Path, most: u64) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(file)?.take(most + 1).read_to_string(&mut text)?;
    if read as u64 > most {
        return Err(io::Error::other(format!("it is larger than {} KiB", most / 1024)));
    }
    Ok(text)
}

fn nothing_to_run() -> Fault {
    Fault {
        place: Place::Nowhere,
        message: format!("there is nothing to run: no {FILE} here, no --config FILE, and no ACCOIL_API_KEY"),
        advice: format!(
            "write {FILE} (or name your file with --config or ACCOIL_RELAY_CONFIG); or set ACCOIL_API_KEY, \
             and ACCOIL_RELAY_WRITE_KEY for the senders"
        ),
    }
}
