//! Reads SQLite's write-ahead log without SQLite, which silently drops everything after the first frame that it
//! cannot verify. This module finds out whether that is the torn end of an unconfirmed commit, or damage.
//!
//! The file is a header of 32 bytes and then frames, each with a header of 24 bytes and a page. The checksums form a
//! chain: each frame continues that of the frame before. A frame that ends a commit has the database's size in pages.
//! A commit is synced before the next one is written. After a kill or a power cut, SQLite overwrites the torn end of the log, and
//! frames of the torn commit may stay behind the new ones. Never changes the log.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::owner::Mark;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The first number of the log's header. Its last bit gives the byte order of the checksums.
const MAGIC: u32 = 0x377F_0682;
/// The only version of the format.
const FORMAT: u32 = 3_007_000;

/// A log as it is on disk.
#[derive(Debug)]
pub(super) struct Log {
    page_size: usize,
    salts: [u32; 2],
    has_sound_header: bool,
    frames: Vec<Frame>,
    /// Frames up to the end of the last commit that SQLite can read.
    committed: usize,
}

/// The properties of one frame.
#[derive(Debug, Clone, Copy)]
struct Frame {
    page: u32,
    /// The size of the database in pages after the commit that this frame ends; 0 if it ends none.
    commit: u32,
    /// True if it was written since the log was last started from its beginning.
    is_current: bool,
    /// True if it is current and its checksum continues that of the frame before.
    is_sound: bool,
    /// True if it is current and was written right after the frame before, even if the checksum of that frame was damaged later.
    is_next: bool,
}

impl Log {
    /// Reads the log at a path; returns `None` if there is none, or nothing was written to it.
    pub(super) fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut header = [0; HEADER];
        if !fill(&mut reader, &mut header)? {
            return Ok(None);
        }
        let page_size = word(&header, 8) as usize;
        let is_possible = page_size.is_power_of_two() && (512..=65_536).contains(&page_size);
        let order = Order { is_big: word(&header, 0) & 1 == 1 };
        let stored = [word(&header, 24), word(&header, 28)];
        let has_sound_header = is_possible
            && word(&header, 0) & !1 == MAGIC
            && word(&header, 4) == FORMAT
            && order.sum([0, 0], &header[..24]) == stored;
        let mut log = Self {
            page_size: if is_possible { page_size } else { 8192 },
            salts: [word(&header, 16), word(&header, 20)],
            has_sound_header,
            frames: Vec::new(),
            committed: 0,
        };
        log.read_frames(&mut reader, order, stored)?;
        Ok(Some(log))
    }

    fn read_frames(&mut self, reader: &mut impl Read, order: Order, header: [u32; 2]) -> io::Result<()> {
        // The checksum in the frame before, and the checksum that it should have.
        let (mut before, mut right_before) = (header, header);
        let mut bytes = vec![0; FRAME_HEADER + self.page_size];
        let mut is_unbroken = self.has_sound_header;
        while fill(reader, &mut bytes)? {
            let (head, page) = bytes.split_at(FRAME_HEADER);
            let stored = [word(head, 16), word(head, 20)];
            let salts = [word(head, 8), word(head, 12)];
            let sum = |before| order.sum(order.sum(before, &head[..8]), page);
            let right = sum(before);
            let goes_on = stored == right;
            if !self.has_sound_header && self.frames.is_empty() && goes_on {
                // The frame continues the header's checksum, so the checksum is right and the salts may be wrong.
                self.salts = salts;
            }
            let is_current = salts == self.salts;
            // A frame of zeros continues a header of zeros. A disk may leave them in place of what was never synced.
            let is_sound = is_current && goes_on && word(head, 0) > 0;
            let is_next = is_sound || (is_current && right_before != before && stored == sum(right_before));
            let frame = Frame { page: word(head, 0), commit: word(head, 4), is_current, is_sound, is_next };
            is_unbroken &= is_sound;
            self.frames.push(frame);
            if is_unbroken && frame.commit > 0 {
                self.committed = self.frames.len();
            }
            (before, right_before) = (stored, right);
        }
        Ok(())
    }

    /// Returns the index of the last frame that ends a commit which was whole once: the log goes on after it. Frames of a torn commit
    /// that were left behind newer ones do not continue them.
    fn last_whole_commit(&self) -> Option<usize> {
        let is_whole = |pair: &[Frame]| pair[0].is_current && pair[0].commit > 0 && pair[1].is_next;
        self.frames.windows(2).rposition(is_whole)
    }

    /// Returns in what way the log differs from what its owner left. Returns `None` if it does not differ, except for
    /// a commit that was cut off.
    pub(super) fn fault(&self, mark: Option<Mark>) -> Option<String> {
        if !self.has_sound_header {
            let frames = self.frames.iter().filter(|frame| frame.is_sound).count();
            return (frames > 0)
                .then(|| format!("the header of its log is damaged; {frames} written pages follow it"));
        }
        let broken = self.frames.iter().position(|frame| !frame.is_sound).unwrap_or(self.frames.len());
        // What follows a commit was written after that commit was synced.
        if self.last_whole_commit().is_some_and(|end| end >= broken) {
            let lost = self.frames.iter().skip(broken).filter(|frame| frame.is_sound).count();
            return Some(format!(
                "its log is damaged at page {} of {}; {lost} sound pages of this and later commits follow",
                broken + 1,
                self.frames.len()
            ));
        }
        let promised = mark.filter(|mark| mark.salts == self.salts).map_or(0, |mark| mark.frames as usize);
        (self.committed < promised).then(|| {
            format!(
                "its log is damaged or cut off: {promised} pages were committed to it, {} of them can be read",
                self.committed
            )
        })
    }

    /// Writes the log's pages into a copy of the database, including those after a damaged one, because rows have
    /// checksums of their own. On request it writes the damaged ones too. Pages that no commit ends are left out.
    pub(super) fn write_into(&self, log: &Path, copy: &Path, with_damaged: bool) -> io::Result<()> {
        let ends_commit = |frame: &Frame| frame.is_current && frame.commit > 0;
        let end = self.frames.iter().rposition(ends_commit).map_or(0, |last| last + 1);
        let mut log = File::open(log)?;
        let copy = OpenOptions::new().write(true).open(copy)?;
        let mut page = vec![0; self.page_size];
        // Each page beyond the database's end is in the log.
        let most = copy.metadata()?.len() / self.page_size as u64 + self.frames.len() as u64;
        for (index, frame) in self.frames.iter().enumerate().take(end) {
            let is_wanted = frame.is_sound || (with_damaged && frame.is_current);
            if !is_wanted || frame.page == 0 || u64::from(frame.page) > most {
                continue;
            }
            let start = HEADER + index * (FRAME_HEADER + self.page_size) + FRAME_HEADER;
            log.seek(SeekFrom::Start(start as u64))?;
            log.read_exact(&mut page)?;
            copy.write_all_at(&page, (u64::from(frame.page) - 1) * self.page_size as u64)?;
        }
        Ok(())
    }
}

/// The salts of a log that is in use.
pub(super) fn salts(log: &File) -> io::Result<[u32; 2]> {
    let mut bytes = [0; 8];
    log.read_exact_at(&mut bytes, 16)?;
    Ok([word(&bytes, 0), word(&bytes, 4)])
}

/// The byte order in which checksums are computed.
#[derive(Debug, Clone, Copy)]
struct Order {
    is_big: bool,
}

impl Order {
    /// Continues SQLite's checksum from another.
    fn sum(self, [mut first, mut second]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        let number = if self.is_big { u32::from_be_bytes } else { u32::from_le_bytes };
        let (pairs, _) = bytes.as_chunks::<8>();
        for &[a, b, c, d, e, f, g, h] in pairs {
            first = first.wrapping_add(number([a, b, c, d])).wrapping_add(second);
            second = second.wrapping_add(number([e, f, g, h])).wrapping_add(first);
        }
        [first, second]
    }
}

/// Reads a big-endian number.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.iter().skip(at).take(4).fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

/// Fills the buffer; returns false if there are not enough bytes.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: usize = FRAME_HEADER + 4096;

    /// Commits rows of about a page each, and returns the log.
    fn commit(database: &Path, rows: usize) -> Vec<u8> {
        let connection = rusqlite::Connection::open(database).unwrap();
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (a); BEGIN")
            .unwrap();
        for _ in 0..rows {
            connection.execute("INSERT INTO t VALUES (randomblob(3500))", []).unwrap();
        }
        connection.execute_batch("COMMIT").unwrap();
        std::fs::read(beside(database)).unwrap()
    }

    fn beside(database: &Path) -> std::path::PathBuf {
        database.with_extension("db-wal")
    }

    /// Returns the fault that is found in a log with these bytes.
    fn fault(database: &Path, bytes: &[u8]) -> Option<String> {
        std::fs::write(beside(database), bytes).unwrap();
        Log::read(&beside(database)).unwrap().unwrap().fault(None)
    }

    #[test]
    fn a_log_of_zeros_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        assert_eq!(fault(&database, &vec![0; HEADER + 45 * (FRAME_HEADER + 8192)]), None);
    }

    /// A commit is cut off twice: its frames are left behind those of the next one, which is cut off, too. No commit that was synced
    /// is lost, so a relay may start.
    #[test]
    fn frames_left_of_a_torn_commit_are_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("a.db");
        let synced = commit(&database, 1);
        let whole = commit(&database, 12);
        for length in [whole.len() - FRAME, whole.len()] {
            // All frames of the first commit that was cut off but its first, and perhaps its last.
            let mut torn = whole[..length].to_vec();
            torn[synced.len()..synced.len() + FRAME].fill(0);
            assert_eq!(fault(&database, &torn), None);
            let _ = std::fs::remove_file(database.with_extension("db-shm"));
            // SQLite goes on behind what it can read.
            let first = commit(&database, 1);
            let second = commit(&database, 4);
            assert_eq!((first.len(), second.len()), (length, length), "the torn commit is longer");
            assert_eq!(fault(&database, &second), None);
            let begun =
                (0..length).step_by(8).position(|at| first[at..at + 8] != second[at..at + 8]).unwrap() * 8;
            let mut cut = second.clone();
            cut[begun..begun + 512].copy_from_slice(&first[begun..begun + 512]);
            assert_eq!(fault(&database, &cut), None);
            // The same in a commit that was synced, because one more was written after it, is damage.
            std::fs::write(beside(&database), &second).unwrap();
            let mut damaged = commit(&database, 1);
            assert_eq!(fault(&database, &damaged), None);
            damaged[begun..begun + 512].copy_from_slice(&first[begun..begun + 512]);
            assert!(fault(&database, &damaged).is_some());
            std::fs::write(beside(&database), &whole[..synced.len()]).unwrap();
            let _ = std::fs::remove_file(database.with_extension("db-shm"));
        }
    }
}
