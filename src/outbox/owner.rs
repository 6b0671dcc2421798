//! Where the owner of an outbox can be asked: written into its lock file, read by commands that find it locked.
//!
//! A new owner writes over what the last one left, and empties the file when it gives the lock up.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;

use super::sqlite::beside;

/// What an owner says that cannot be asked, or not yet.
pub(super) const NO_ADDRESS: &str = "owned\n";
/// No address is longer.
const MOST_BYTES: u64 = 64;

/// Says where the process that has this outbox can be asked. By its owner alone.
pub fn announce(path: &Path, address: SocketAddr) -> io::Result<()> {
    write(&mut OpenOptions::new().write(true).open(beside(path, ".lock"))?, &address.to_string())
}

/// Over what is there: at no moment is the file empty.
pub(super) fn write(file: &mut File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.set_len(text.len() as u64)
}

/// What the owner said; `None`: it is a command, or a relay that is only starting.
pub fn owner(path: &Path) -> Option<SocketAddr> {
    let mut address = String::new();
    File::open(beside(path, ".lock")).ok()?.take(MOST_BYTES).read_to_string(&mut address).ok()?;
    address.parse().ok()
}
