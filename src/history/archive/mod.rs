//! The archive: events that leave the history, in files that `import`, replay and `zstd -dc | jq` read.
//!
//! One file for each hour of receipt, `events-2026-11-26T14.ndjson.zst`: one zstd frame for each block, one line for each event
//! whose payload was kept.

mod read;

use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use read::{ArchiveError, Frames, Place, frames, load};

use super::block::{LateAttempt, Payload, UnreadablePart};
use super::line::{Attempt, Line, Status, time};
use crate::event_id::EventId;

const LEVEL: i32 = 3;

/// One event of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedEvent {
    pub id: EventId,
    /// The time of receipt.
    pub at: DateTime<Utc>,
    pub source: Arc<str>,
    /// The name of its `decode::Form`.
    pub form: Arc<str>,
    /// What had become of it when it left the history; `None` in files of versions that did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
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
                status: Some(line.status()),
                envelope: payload.envelope.as_deref().map(str::to_owned),
                original: payload.original.to_string(),
            };
            let text = texts.entry(read::name_of(archived.at)).or_default();
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
            let packed = pack(text)?;
            let mut file =
                OpenOptions::new().append(true).create(true).mode(0o600).open(folder.join(name))?;
            file.write_all(&packed)?;
            file.sync_data()
        };
        self.texts.iter().try_for_each(append).inspect_err(|_| self.before.restore(folder))
    }
}

/// Packs a frame with a checksum, so that a reader notices every changed byte.
fn pack(text: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    compressor.compress(text)
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

/// A block that was read in order to archive it.
pub(super) struct BlockToArchive {
    lines: Vec<Line>,
    /// The payloads, each with the index of its line.
    payloads: Vec<(usize, Payload)>,
}

/// `late` are the attempts of its events that ended after the block was written.
pub(super) fn unpack(
    lines: &[u8],
    payloads: &[u8],
    late: Vec<LateAttempt>,
) -> Result<BlockToArchive, UnreadablePart> {
    let unpacked = super::block::Lines::unpack(lines)?;
    let mut whole = Vec::new();
    unpacked.each(|_, line| whole.push(unpacked.whole(line)))?;
    let mut lines = whole.into_iter().collect::<Result<Vec<Line>, _>>()?;
    let mut attempts = HashMap::<u64, Vec<Attempt>>::new();
    for LateAttempt { event, attempt } in late {
        attempts.entry(event).or_default().push(attempt);
    }
    for line in &mut lines {
        attempts.remove(&line.id.0).into_iter().flatten().for_each(|attempt| line.add(attempt));
    }
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
