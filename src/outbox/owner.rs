//! Where the owner of an outbox can be asked: written into its lock file, read by commands that find it locked.
//!
//! Whoever takes the lock empties it: what is there was written by the one who has it now.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::sqlite::beside;

/// No address is longer.
const MOST_BYTES: u64 = 256;

/// Says where the process that has this outbox can be asked, as `host:port`. By its owner alone.
pub fn announce(path: &Path, address: &str) -> io::Result<()> {
    std::fs::write(beside(path, ".lock"), address)
}

/// What the owner said; `None`: nothing yet, or it has nothing to say.
pub fn owner(path: &Path) -> Option<String> {
    let mut address = String::new();
    File::open(beside(path, ".lock")).ok()?.take(MOST_BYTES).read_to_string(&mut address).ok()?;
    Some(address).filter(|address| !address.is_empty())
}
