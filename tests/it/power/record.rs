//! The record that `recorder.c` writes, read back as entries.

use std::ops::Range;

/// One call that changed a file, or a step of a sync.
#[derive(Debug)]
pub(super) struct Entry {
    /// The name of the file in the outbox's folder; `.` is the folder itself.
    pub(super) name: String,
    pub(super) change: Change,
    /// The offset at which the next entry begins.
    pub(super) end: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Create,
    Remove,
    /// `bytes` is their range in the record.
    Write {
        offset: usize,
        bytes: Range<usize>,
    },
    Truncate {
        length: usize,
    },
    /// A sync begins, and has ended.
    Sync,
    Synced,
    /// The process has ended, and with it the syncs that it had begun.
    End,
}

/// Reads the entries from an offset on. The last one may be cut off by a kill; its change was not made then.
pub(super) fn parse(record: &[u8], from: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut at = from;
    while let Some(length) = record[at..].iter().position(|byte| *byte == b'\n') {
        let line = std::str::from_utf8(&record[at..at + length]).unwrap();
        let [kind, name, offset, size] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (offset, size): (usize, usize) = (offset.parse().unwrap(), size.parse().unwrap());
        let start = at + length + 1;
        let (change, end) = match kind {
            "create" => (Change::Create, start),
            "unlink" => (Change::Remove, start),
            "write" => (Change::Write { offset, bytes: start..start + size }, start + size),
            "truncate" => (Change::Truncate { length: offset }, start),
            "sync" => (Change::Sync, start),
            "synced" => (Change::Synced, start),
            _ => panic!("{line}"),
        };
        if end > record.len() {
            break;
        }
        entries.push(Entry { name: name.to_owned(), change, end });
        at = end;
    }
    entries
}
