//! `backup`: a copy of the outbox and of the memory of the account syncs, while the relay runs or not.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanBytes;

use crate::config::Config;
use crate::outbox;

#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The file to write; never replaces a file
    file: PathBuf,
}

pub fn run(args: &BackupArgs, config: &Config) -> anyhow::Result<ExitCode> {
    let outbox = config.outbox.url.file()?;
    let size = outbox::backup(outbox, &args.file)?;
    super::print_message(&format!(
        "copied the outbox to {} ({}): to use it, stop the relay, and set outbox.url to it or put it in place of {}. \
         Calls that were delivered after the copy was made are then delivered again",
        args.file.display(),
        HumanBytes(size),
        outbox.display()
    ));
    Ok(ExitCode::SUCCESS)
}
