//! Reads the configuration file and the files that hold a secret. Every read is capped.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::overlay::WITHOUT_FILE;
use super::value::{Problem, Reading};
use crate::fault::{Fault, Place, SourceText};

/// The file that is read from the current directory if no file is named.
pub(super) const FILE: &str = "accoil-relay.toml";

/// A larger file was not written by a person, so it is the wrong file.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Keys and tokens are short; a larger file is the wrong file.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// The text of the configuration file. Without one, the text for a relay that is configured by the environment.
pub(super) fn source(file: Option<&Path>, environment: &Environment) -> Result<SourceText, Fault> {
    if let Some(file) = path(file, environment) {
        return Ok(SourceText::new(&file, read(&file)?));
    }
    let key = environment.get("ACCOIL_API_KEY").or(environment.get("ACCOIL_API_KEY_FILE"));
    key.map(|_| SourceText::new("", WITHOUT_FILE)).ok_or_else(no_configuration)
}

/// The file that is named, or else the usual one if it exists.
fn path(file: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    let named =
        file.map(Path::to_owned).or_else(|| environment.get("ACCOIL_RELAY_CONFIG").map(PathBuf::from));
    let usual = environment.directory().join(FILE);
    named.or_else(|| usual.exists().then_some(usual))
}

/// The text of the configuration file; empty if it cannot be read.
pub(super) fn text(file: Option<&Path>, environment: &Environment) -> String {
    path(file, environment).and_then(|file| read(&file).ok()).unwrap_or_default()
}

fn read(file: &Path) -> Result<String, Fault> {
    read_capped(file, MAX_FILE_BYTES).map_err(|error| Fault {
        place: Place::Unknown,
        message: format!("cannot read the configuration file {}: {error}", file.display()),
        advice: "check the path and its permissions, or name another file with --config".to_owned(),
    })
}

/// Reads one line of text, without its line end.
pub(super) fn read_secret(file: &Path) -> Reading<String> {
    let text = read_capped(file, MAX_SECRET_BYTES).map_err(|error| {
        Problem::new(
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

fn no_configuration() -> Fault {
    Fault {
        place: Place::Unknown,
        message: format!("no configuration found: no {FILE} here, no --config FILE, and no ACCOIL_API_KEY"),
        advice: format!(
            "write {FILE} (or name your file with --config or ACCOIL_RELAY_CONFIG); or set ACCOIL_API_KEY, \
             and ACCOIL_RELAY_WRITE_KEY for the senders"
        ),
    }
}
