//! The content of the lock file: the address of the outbox's owner, and how far its log was committed.
//!
//! It has two lines at fixed places: the address, and a [`Mark`] that the owner writes after each commit. An owner
//! that closes the outbox in order empties the file. Any other content is from an owner that was killed. Never
//! follows a symbolic link.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::{beside, canonical};

/// The bytes of the first line, after which the second begins. No address is longer.
const FIRST_LINE: usize = 64;
/// The first line of an owner that has no address, or none yet.
const NO_ADDRESS: &str = "owned";
/// Longer than any mark.
const MAX_BYTES: usize = 512;

/// How far the outbox was committed when its owner wrote this mark. The disk always has at least these commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    /// The salts of the log. SQLite changes them when it starts the log again from its beginning.
    pub(super) salts: [u32; 2],
    /// The number of frames in the log up to the end of the last commit.
    pub(super) frames: u32,
    /// The newest chunk and the newest reject.
    pub(super) chunk: i64,
    pub(super) reject: i64,
}

impl Mark {
    pub(super) fn to_line(self) -> String {
        let Self { salts: [first, second], frames, chunk, reject } = self;
        let text =
            format!("log {first:08x} {second:08x} frames {frames:010} chunk {chunk:019} reject {reject:019}");
        let checksum = crc32fast::hash(text.as_bytes());
        format!("{text} {checksum:08x}\n")
    }

    /// Returns `None` for a line that is missing or incomplete.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (text, checksum) = line.trim_end().rsplit_once(' ')?;
        let words: Vec<&str> = text.split(' ').collect();
        let ["log", first, second, "frames", frames, "chunk", chunk, "reject", reject] = words[..] else {
            return None;
        };
        let hexadecimal = |word| u32::from_str_radix(word, 16).ok();
        (hexadecimal(checksum)? == crc32fast::hash(text.as_bytes())).then_some(())?;
        Some(Self {
            salts: [hexadecimal(first)?, hexadecimal(second)?],
            frames: frames.parse().ok()?,
            chunk: chunk.parse().ok()?,
            reject: reject.parse().ok()?,
        })
    }
}

/// Writes the address of the process that owns this outbox. Only the owner may call this.
pub fn announce(path: &Path, address: SocketAddr) -> io::Result<()> {
    write_address(&open(path)?, &address.to_string())
}

/// Returns the address of the owner. `None` means that the owner is a command, or a relay that is still starting.
pub fn owner(path: &Path) -> Option<SocketAddr> {
    let flags = NO_LINKS | OFlags::NONBLOCK;
    let file =
        OpenOptions::new().read(true).custom_flags(bits(flags)).open(beside(&canonical(path), ".lock"));
    text(&file.ok()?).lines().next()?.trim_end().parse().ok()
}

/// Opens the lock file of an outbox, or creates it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600).custom_flags(bits(NO_LINKS));
    options.open(beside(&canonical(path), ".lock"))
}

const NO_LINKS: OFlags = OFlags::NOFOLLOW;

fn bits(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Writes that the outbox has an owner. The mark of the last owner stays valid until there is a newer one.
pub(super) fn write_owned(file: &File) -> io::Result<()> {
    write_address(file, NO_ADDRESS)
}

fn write_address(file: &File, address: &str) -> io::Result<()> {
    file.write_all_at(format!("{address:<width$}\n", width = FIRST_LINE - 1).as_bytes(), 0)
}

/// Writes how far the outbox is committed, after a commit. It is not synced, so that it costs almost nothing.
pub(super) fn write_mark(file: &File, mark: Mark) -> io::Result<()> {
    file.write_all_at(mark.to_line().as_bytes(), FIRST_LINE as u64)
}

/// Reads the mark at its place, whatever the first line contains: a start that is refused must not change what the
/// next one reads.
pub(super) fn mark(file: &File) -> Option<Mark> {
    let mut line = [0; MAX_BYTES];
    let read = file.read_at(&mut line, FIRST_LINE as u64).ok()?;
    let line = line.get(..read)?;
    Mark::parse(String::from_utf8_lossy(line).lines().next()?)
}

fn text(file: &File) -> String {
    let mut bytes = Vec::new();
    // A file that cannot be read has no reachable owner.
    let _ = file.take(MAX_BYTES as u64).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written_and_a_torn_one_is_none() {
        let mark = Mark { salts: [7, u32::MAX], frames: 12, chunk: i64::MAX, reject: 3 };
        let line = mark.to_line();
        assert_eq!(Mark::parse(&line), Some(mark));
        for length in 0..line.len() - 1 {
            assert_eq!(Mark::parse(&line[..length]), None);
        }
        assert_eq!(Mark::parse(&line.replace("frames 0000000012", "frames 0000000013")), None);
    }
}
