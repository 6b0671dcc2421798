//! `config show` prints the effective configuration without its secrets. `config init` writes a first file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use crate::config::{self, Config};

pub fn show(config: &Config, out: &mut impl Write) -> io::Result<()> {
    out.write_all(config::show(config).as_bytes())
}

/// Writes the file, unless it exists.
pub fn init(file: &Path) -> anyhow::Result<ExitCode> {
    let text = config::first_file();
    if file == Path::new("-") {
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let cannot = || format!("cannot write {}: check the folder and its permissions", file.display());
    let mut new = match OpenOptions::new().write(true).create_new(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
            "{} exists and was not changed: move it away, or give another name: `accoil-relay config init FILE`",
            file.display()
        ),
        opened => opened.with_context(cannot)?,
    };
    new.write_all(text.as_bytes()).with_context(cannot)?;
    super::print_message(&format!(
        "wrote {}: set WEB_WRITE_KEY and ACCOIL_API_KEY, then run `accoil-relay check` and `accoil-relay serve`",
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}
