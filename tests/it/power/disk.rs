//! The possible contents of a disk after a power cut, computed from a record of writes and syncs.
//!
//! A file has the content of its last sync. Of later changes the disk may have kept any part: each sector of 512 bytes has the
//! content of some moment since the sync, and so has the file's size. The names in a folder are those of the folder's last sync,
//! or of some moment since.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use super::record::{Change, Entry};

const SECTOR: usize = 512;

/// A file's content, independent of its name.
#[derive(Debug, Default)]
struct Content {
    synced: Vec<u8>,
    pending: Vec<Change>,
    /// The changes that the running sync covers.
    syncing: Option<usize>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Create(String, usize),
    Remove(String),
}

/// Whether a sync does what it promises. With a disk that ignores it, the test must fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syncs {
    Kept,
    Ignored,
}

/// The outbox's files as the recorded relay has changed them so far.
#[derive(Debug)]
pub(super) struct Disk<'r> {
    bytes: &'r [u8],
    syncs: Syncs,
    contents: Vec<Content>,
    /// The files as a process sees them.
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    syncing_names: Option<usize>,
}

impl<'r> Disk<'r> {
    /// `bytes` is the record, which contains the written bytes.
    pub(super) fn new(bytes: &'r [u8], syncs: Syncs) -> Self {
        Self {
            bytes,
            syncs,
            contents: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            pending_names: Vec::new(),
            syncing_names: None,
        }
    }

    pub(super) fn apply(&mut self, entry: &Entry) {
        match &entry.change {
            Change::Create => {
                self.names.insert(entry.name.clone(), self.contents.len());
                self.pending_names.push(NameChange::Create(entry.name.clone(), self.contents.len()));
                self.contents.push(Content::default());
            }
            Change::Remove => {
                self.names.remove(&entry.name);
                self.pending_names.push(NameChange::Remove(entry.name.clone()));
            }
            Change::End => {
                self.syncing_names = None;
                self.contents.iter_mut().for_each(|content| content.syncing = None);
            }
            Change::Sync | Change::Synced if self.syncs == Syncs::Ignored => {}
            Change::Sync if entry.name == "." => self.syncing_names = Some(self.pending_names.len()),
            Change::Synced if entry.name == "." => {
                let covered = self.syncing_names.take().expect("its sync began");
                for change in self.pending_names.drain(..covered) {
                    change.apply(&mut self.synced_names);
                }
            }
            Change::Sync => {
                let content = self.content(&entry.name);
                content.syncing = Some(content.pending.len());
            }
            Change::Synced => {
                let bytes = self.bytes;
                let content = self.content(&entry.name);
                let covered = content.syncing.take().expect("its sync began");
                for change in content.pending.drain(..covered) {
                    change.apply(bytes, &mut content.synced);
                }
            }
            Change::Write { .. } | Change::Truncate { .. } => {
                self.content(&entry.name).pending.push(entry.change.clone());
            }
        }
    }

    fn content(&mut self, name: &str) -> &mut Content {
        let index = *self.names.get(name).unwrap_or_else(|| panic!("{name} was created before"));
        &mut self.contents[index]
    }

    /// Writes the content that is left after a power cut at this moment into a folder.
    pub(super) fn write_image(&self, folder: &Path, survivors: SurvivingChanges) {
        let mut names = self.synced_names.clone();
        let kept = survivors.kept(0, 0, self.pending_names.len());
        for change in &self.pending_names[..kept] {
            change.clone().apply(&mut names);
        }
        for (name, index) in names {
            std::fs::write(folder.join(name), self.contents[index].image(self.bytes, survivors, index))
                .unwrap();
        }
        if survivors.toss(1) {
            // SQLite's shared memory may be written to disk at any time, so nothing may depend on its content.
            std::fs::write(folder.join("relay.db-shm"), vec![0xA5; 32 << 10]).unwrap();
        }
    }

    /// The files as a process sees them.
    pub(super) fn files(&self) -> BTreeMap<&str, Vec<u8>> {
        let content = |index: &usize| self.contents[*index].image(self.bytes, SurvivingChanges::All, *index);
        self.names.iter().map(|(name, index)| (name.as_str(), content(index))).collect()
    }
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, index) => drop(names.insert(name, index)),
            Self::Remove(name) => drop(names.remove(&name)),
        }
    }
}

impl Change {
    /// Makes the whole change, as a process sees it.
    fn apply(&self, bytes: &[u8], content: &mut Vec<u8>) {
        let length = self.length_after(content.len());
        content.resize(length, 0);
        if let Self::Write { offset, bytes: range } = self {
            content[*offset..*offset + range.len()].copy_from_slice(&bytes[range.clone()]);
        }
    }

    fn length_after(&self, before: usize) -> usize {
        match self {
            Self::Write { offset, bytes } => before.max(offset + bytes.len()),
            Self::Truncate { length } => *length,
            _ => before,
        }
    }

    /// Returns the range of bytes that the change affects.
    fn range(&self, end: usize) -> Range<usize> {
        match self {
            Self::Write { offset, bytes } => *offset..offset + bytes.len(),
            Self::Truncate { length } => *length..end.max(*length),
            _ => 0..0,
        }
    }
}

impl Content {
    fn image(&self, bytes: &[u8], survivors: SurvivingChanges, file: usize) -> Vec<u8> {
        let lengths = self.pending.iter().scan(self.synced.len(), |length, change| {
            *length = change.length_after(*length);
            Some(*length)
        });
        let lengths: Vec<usize> = std::iter::once(self.synced.len()).chain(lengths).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut image = self.synced.clone();
        // A new sector of a file may have any content until its bytes are written.
        image.resize(longest, if survivors.toss(2) { 0xA5 } else { 0 });
        for (index, change) in self.pending.iter().enumerate() {
            let changed = change.range(longest);
            for sector in changed.start / SECTOR..changed.end.div_ceil(SECTOR) {
                if index >= survivors.kept(file + 1, sector, self.pending.len()) {
                    continue;
                }
                let start = changed.start.max(sector * SECTOR);
                let end = changed.end.min((sector + 1) * SECTOR);
                match change {
                    Change::Write { offset, bytes: range } => {
                        let from = range.start + start - offset;
                        image[start..end].copy_from_slice(&bytes[from..from + end - start]);
                    }
                    _ => image[start..end].fill(0),
                }
            }
        }
        image.truncate(lengths[survivors.kept(file + 1, usize::MAX, self.pending.len())]);
        image
    }
}

/// Which of the changes that were not synced survive.
#[derive(Debug, Clone, Copy)]
pub(super) enum SurvivingChanges {
    None,
    All,
    /// A random choice from this seed, different for each file.
    Random(u64),
}

impl SurvivingChanges {
    /// Returns how many of a file's changes, counted from the first, a sector keeps.
    fn kept(self, file: usize, sector: usize, changes: usize) -> usize {
        let seed = match self {
            Self::None => return 0,
            Self::All => return changes,
            Self::Random(seed) => seed,
        };
        let [file, sector] = [file as u64, sector as u64];
        let below = |number: u64, limit: usize| usize::try_from(number % (limit as u64 + 1)).unwrap();
        match mix(seed ^ mix(file)) % 5 {
            0 => 0,
            1 => changes,
            // Three ways: each sector keeps all or none; each sector keeps some; all sectors keep the same number.
            2 => below(mix(seed ^ mix(file) ^ mix(sector ^ 7)), 1) * changes,
            3 => below(mix(seed ^ mix(file) ^ mix(sector ^ 7)), changes),
            _ => below(mix(seed ^ mix(file ^ 3)), changes),
        }
    }

    fn toss(self, question: u64) -> bool {
        matches!(self, Self::Random(seed) if mix(seed ^ mix(question ^ 0xFACE)).is_multiple_of(2))
    }
}

/// Returns a number that looks random and depends only on another (splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

#[test]
fn what_was_synced_is_kept_and_the_rest_is_torn_at_sectors() {
    let record = b"create relay.db 0 0\nwrite relay.db 0 600\n".to_vec();
    let record =
        [record, vec![1; 600], b"sync relay.db 0 0\nwrite relay.db 500 600\n".to_vec(), vec![2; 600]];
    let record = [record.concat(), b"synced relay.db 0 0\nsync . 0 0\nsynced . 0 0\n".to_vec()].concat();
    let entries = super::record::parse(&record, 0);
    let mut disk = Disk::new(&record, Syncs::Kept);
    for entry in &entries {
        disk.apply(entry);
    }
    let whole = [vec![1; 500], vec![2; 600]].concat();
    assert_eq!(disk.files()["relay.db"], whole);
    let mut torn = 0;
    for seed in 0..200 {
        let folder = tempfile::tempdir().unwrap();
        disk.write_image(folder.path(), SurvivingChanges::Random(seed));
        let image = std::fs::read(folder.path().join("relay.db")).unwrap();
        assert!(image.len() == 600 || image.len() == 1100, "seed {seed}: {}", image.len());
        assert_eq!(image[..500], [1; 500], "seed {seed}: what was synced is kept");
        for sector in image.chunks(SECTOR) {
            let is_whole = sector.iter().skip(500).all(|byte| *byte == sector[sector.len() - 1]);
            assert!(is_whole, "seed {seed}: a sector is old or new");
        }
        torn += usize::from(image != whole && image != vec![1; 600]);
    }
    assert!(torn > 20, "{torn} of 200 images are torn");
}
