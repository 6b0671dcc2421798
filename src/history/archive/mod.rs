//! The archive: events that leave the history, in files that `import`, replay and `zstd -dc | jq` read.
//!
//! One file for each hour of receipt, `events-2026-11-26T14.ndjson.zst`: one zstd frame for each block, one line for each event
//! whose payload was kept.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::block::{Payload, UnreadablePart};
use super::line::{Line, time};
use crate::event_id::EventId;

const LEVEL: i32 = 3;
const BEGIN: &str = "events-";
const END: &str = ".ndjson.zst";

/// One event of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedEvent {
    pub id: EventId,
    /// The time of receipt.
    pub at: DateTime<Utc>,
    pub source: Arc<str>,
    /// The name of its `decode::Form`.
    pub form: Arc<str>,
    /// The members of its batch that apply to all events, if there were any.
    #[serde(with = "embedded", default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
    /// The event as the sender wrote it: JSON, or a string if it is not JSON.
    #[serde(with = "embedded_text")]
    pub original: String,
}

/// The text that a block adds to the archive, and the data to undo the addition.
pub(super) struct Addition {
    /// The text of each file, by the file's name.
    texts: BTreeMap<String, Vec<u8>>,
    pub(super) before: LengthsBefore,
}

/// The length of each file before a block was appended. It is stored until the block is removed from the history. If the relay
/// is killed in between, the next start cuts the files to these lengths; otherwise the archive would have the events twice, or
/// a part of them.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LengthsBefore {
    pub(super) block: i64,
    lengths: Vec<(String, u64)>,
}

impl Addition {
    /// Sorts the events into the files of their hours. Replays are not archived, because their events are already.
    pub(super) fn new(folder: &Path, id: i64, block: &BlockToArchive) -> io::Result<Self> {
        let mut texts = BTreeMap::<String, Vec<u8>>::new();
        for (index, payload) in &block.payloads {
            let Some(line) = block.lines.get(*index).filter(|line| !line.is_replay) else { continue };
            let archived = ArchivedEvent {
                id: line.id,
                at: time(line.received_at),
                source: Arc::clone(&line.shape.source),
                form: Arc::clone(&line.shape.form),
                envelope: payload.envelope.as_deref().map(str::to_owned),
                original: payload.original.to_string(),
            };
            let text =
                texts.entry(archived.at.format("events-%Y-%m-%dT%H.ndjson.zst").to_string()).or_default();
            serde_json::to_writer(&mut *text, &archived)?;
            text.push(b'\n');
        }
        let length = |name: &String| {
            let length = std::fs::metadata(folder.join(name)).map_or(0, |file| file.len());
            (name.clone(), length)
        };
        let lengths = texts.keys().map(length).collect();
        Ok(Self { texts, before: LengthsBefore { block: id, lengths } })
    }

    /// Appends and syncs the files. After an error nothing of the addition is left.
    pub(super) fn append(&self, folder: &Path) -> io::Result<()> {
        let append = |(name, text): (&String, &Vec<u8>)| {
            std::fs::create_dir_all(folder)?;
            let packed = zstd::bulk::compress(text, LEVEL)?;
            let mut file =
                OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(name))?;
            file.write_all(&packed)?;
            file.sync_data()
        };
        self.texts.iter().try_for_each(append).inspect_err(|_| self.before.restore(folder))
    }
}

impl LengthsBefore {
    /// Cuts the files to their former lengths.
    pub(super) fn restore(&self, folder: &Path) {
        for (name, length) in &self.lengths {
            let path = folder.join(name);
            let file = OpenOptions::new().write(true).open(&path);
            let cut = file.and_then(|file| match file.metadata()?.len() {
                longer if longer > *length => file.set_len(*length),
                _ => Ok(()),
            });
            match cut {
                Err(error) if error.kind() != io::ErrorKind::NotFound => tracing::warn!(
                    error.message = %error,
                    file = %path.display(),
                    "a file of the archive may end with a broken part; zstd reads it up to there"
                ),
                _ => {}
            }
        }
    }
}

/// Returns the archived events of this time, in the order of the files.
pub fn read(folder: &Path, from: DateTime<Utc>, to: DateTime<Utc>) -> io::Result<Events> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let hour = name.strip_prefix(BEGIN).and_then(|name| name.strip_suffix(END));
        if let Some(hour) = hour.and_then(hour_of)
            && hour < to
            && hour + chrono::Duration::hours(1) > from
        {
            files.push(path);
        }
    }
    files.sort_unstable_by(|one, other| other.cmp(one));
    Ok(Events { files, open: None, from, to })
}

fn hour_of(name: &str) -> Option<DateTime<Utc>> {
    let time = chrono::NaiveDateTime::parse_from_str(&format!("{name}:00"), "%Y-%m-%dT%H:%M").ok()?;
    Some(time.and_utc())
}

/// Reads an archive line by line.
pub struct Events {
    /// The files that are still to be read, the newest first.
    files: Vec<PathBuf>,
    open: Option<(PathBuf, BufReader<zstd::Decoder<'static, BufReader<File>>>)>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

/// Why an archive could not be read completely. The files after the broken place can still be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}; the events before this place were read", path.display())]
pub struct ArchiveError {
    pub path: PathBuf,
    pub source: io::Error,
}

impl Iterator for Events {
    type Item = Result<ArchivedEvent, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((path, reader)) = &mut self.open else {
                let path = self.files.pop()?;
                match File::open(&path).and_then(zstd::Decoder::new) {
                    Ok(decoder) => self.open = Some((path, BufReader::new(decoder))),
                    Err(source) => return Some(Err(ArchiveError { path, source })),
                }
                continue;
            };
            let mut text = String::new();
            let read = reader.read_line(&mut text);
            let archived = match read {
                Ok(0) => {
                    self.open = None;
                    continue;
                }
                Ok(_) => serde_json::from_str::<ArchivedEvent>(&text).map_err(io::Error::from),
                Err(error) => Err(error),
            };
            match archived {
                Ok(event) if (self.from..self.to).contains(&event.at) => {
                    return Some(Ok(event));
                }
                Ok(_) => {}
                Err(source) => {
                    let path = path.clone();
                    self.open = None;
                    return Some(Err(ArchiveError { path, source }));
                }
            }
        }
    }
}

/// A block that was read in order to archive it.
pub(super) struct BlockToArchive {
    lines: Vec<Line>,
    /// The payloads, each with the index of its line.
    payloads: Vec<(usize, Payload)>,
}

pub(super) fn unpack(lines: &[u8], payloads: &[u8]) -> Result<BlockToArchive, UnreadablePart> {
    let unpacked = super::block::Lines::unpack(lines)?;
    let mut whole = Vec::new();
    unpacked.each(|_, line| whole.push(unpacked.whole(line)))?;
    let lines = whole.into_iter().collect::<Result<_, _>>()?;
    Ok(BlockToArchive { lines, payloads: super::block::Payloads::unpack(payloads)?.all()? })
}

/// Writes JSON text as a part of the line, not as a string in it.
mod embedded {
    use serde::de::Deserialize as _;
    use serde::{Deserializer, Serialize as _, Serializer};
    use serde_json::value::RawValue;

    #[expect(clippy::ref_option, reason = "serde passes the field")]
    pub(super) fn serialize<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = text.as_ref().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        raw.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<String>, D::Error> {
        Ok(Option::<Box<RawValue>>::deserialize(deserializer)?.map(|raw| raw.get().to_owned()))
    }
}

/// The same, but a text that is not JSON, or has line breaks outside of strings, stays a string.
mod embedded_text {
    use serde::de::Deserialize as _;
    use serde::{Deserializer, Serialize as _, Serializer};
    use serde_json::value::RawValue;

    pub(super) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) if text.starts_with('{') && !text.contains(['\n', '\r']) => raw.serialize(serializer),
            _ => text.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned()))
    }
}
