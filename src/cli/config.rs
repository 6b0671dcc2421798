//! `config show`: the configuration in force, its secrets hidden. `config init`: a file to start from.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::{self, Config};

pub fn show(config: &Config, out: &mut impl Write) -> io::Result<()> {
    out.write_all(config::show(config).as_bytes())
}

/// Writes the file, unless there is one.
pub fn init(file: &Path) -> anyhow::Result<ExitCode> {
    let text = config::first_file();
    if file == Path::new("-") {
        io::stdout().lock().write_all(text.as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let cannot = || format!("cannot write {}: it is kept as it is", file.display());
    let mut new = OpenOptions::new().write(true).create_new(true).open(file).with_context(cannot)?;
    new.write_all(text.as_bytes()).with_context(cannot)?;
    super::say(&format!(
        "wrote {}: set WEB_WRITE_KEY and ACCOIL_API_KEY, then run `accoil-relay check` and `accoil-relay serve`",
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}
