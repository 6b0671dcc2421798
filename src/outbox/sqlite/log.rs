//! Reads SQLite's write-ahead log without SQLite, which silently drops everything after the first frame that it
//! cannot verify. This module finds out whether that is the torn end of an unconfirmed commit, or damage.
//!
//! The file is a header of 32 bytes and then frames, each with a header of 24 bytes and a page. The checksums form a
//! chain: each frame continues that of the frame before. A frame that ends a commit has the database's size in pages.
//! A commit is synced before the next one is written. Never changes the log.

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
        let mut before = header;
        let mut bytes = vec![0; FRAME_HEADER + self.page_size];
        let mut is_unbroken = self.has_sound_header;
        while fill(reader, &mut bytes)? {
            let (head, page) = bytes.split_at(FRAME_HEADER);
            let stored = [word(head, 16), word(head, 20)];
            let salts = [word(head, 8), word(head, 12)];
            let goes_on = stored == order.sum(order.sum(before, &head[..8]), page);
            if !self.has_sound_header && self.frames.is_empty() && goes_on {
                // The frame continues the header's checksum, so the checksum is right and the salts may be wrong.
                self.salts = salts;
            }
            let is_current = salts == self.salts;
            let is_sound = is_current && goes_on;
            let frame = Frame { page: word(head, 0), commit: word(head, 4), is_current, is_sound };
            is_unbroken &= is_sound;
            self.frames.push(frame);
            if is_unbroken && frame.commit > 0 {
                self.committed = self.frames.len();
            }
            before = stored;
        }
        Ok(())
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
        let rest = self.frames.get(broken..).unwrap_or_default();
        // What follows a commit was written after that commit was synced.
        let commit = rest.iter().position(|frame| frame.is_current && frame.commit > 0);
        let lost = commit.map_or(0, |end| rest.iter().skip(end + 1).filter(|frame| frame.is_sound).count());
        if lost > 0 {
            return Some(format!(
                "its log is damaged at page {} of {}; {lost} sound pages of later commits follow",
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
