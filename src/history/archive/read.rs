//! Reads the archive, one frame at a time: a damaged frame is noticed before any of its events is used.
//!
//! A frame is the unit of reading, so memory does not depend on the size of a file. What follows a damaged frame in its file cannot be
//! found; the other files can be read.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::ArchivedEvent;
use crate::decode::Form;
use crate::facts::{MAX_BYTES, cut as cut_text};
use crate::history::Filter;
use crate::history::fields::Fields;

const BEGIN: &str = "events-";
const END: &str = ".ndjson.zst";
const HOUR: i64 = 3600;
/// A frame is one block of the history. It is never larger than this when it is unpacked.
const MAX_FRAME: u64 = 64 << 20;

/// The place of a frame in an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file's hour, counted since 1970.
    hour: i64,
    /// Where the frame begins in the file.
    offset: u64,
}

/// A file of the archive that could not be read completely.
#[derive(Debug, thiserror::Error)]
#[error("the archive's file {} is damaged at byte {offset} and was read up to there: {source}", path.display())]
pub struct ArchiveError {
    pub path: PathBuf,
    pub offset: u64,
    pub source: io::Error,
}

/// The name of the file for events that were received at this time.
pub(super) fn name_of(at: DateTime<Utc>) -> String {
    at.format("events-%Y-%m-%dT%H.ndjson.zst").to_string()
}

/// Returns the frames of the files that may have events of this time, the oldest first.
pub fn frames(folder: &Path, from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>) -> io::Result<Frames> {
    let mut hours = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let name = name.to_str().unwrap_or_default();
        let hour = name.strip_prefix(BEGIN).and_then(|name| name.strip_suffix(END)).and_then(hour_of);
        hours.extend(hour.filter(|hour| {
            let (begin, end) = (hour * HOUR, (hour + 1) * HOUR);
            to.is_none_or(|to| begin < to.timestamp().saturating_add(1))
                && from.is_none_or(|from| end > from.timestamp())
        }));
    }
    hours.sort_unstable_by(|one, other| other.cmp(one));
    Ok(Frames { folder: folder.to_owned(), hours, open: None })
}

fn hour_of(name: &str) -> Option<i64> {
    let time = chrono::NaiveDateTime::parse_from_str(&format!("{name}:00"), "%Y-%m-%dT%H:%M").ok()?;
    Some(time.and_utc().timestamp().div_euclid(HOUR))
}

/// Returns the events of one frame.
pub fn load(folder: &Path, place: Place) -> Result<Vec<ArchivedEvent>, ArchiveError> {
    let path = path_of(folder, place.hour);
    let read = || {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(place.offset))?;
        let text = unpack(&mut BufReader::new(file))?;
        events(&text.unwrap_or_default())
    };
    read().map_err(|source| ArchiveError { path: path.clone(), offset: place.offset, source })
}

fn path_of(folder: &Path, hour: i64) -> PathBuf {
    folder.join(name_of(DateTime::from_timestamp(hour * HOUR, 0).unwrap_or_default()))
}

/// Reads the frames of an archive, one after the other.
pub struct Frames {
    folder: PathBuf,
    /// The files that are still to be read, the newest first.
    hours: Vec<i64>,
    open: Option<(i64, BufReader<File>)>,
}

impl Iterator for Frames {
    type Item = Result<(Place, Vec<ArchivedEvent>), ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((hour, mut reader)) = self.open.take() else {
                let hour = self.hours.pop()?;
                let path = path_of(&self.folder, hour);
                match File::open(&path) {
                    Ok(file) => self.open = Some((hour, BufReader::new(file))),
                    Err(source) => return Some(Err(ArchiveError { path, offset: 0, source })),
                }
                continue;
            };
            let offset = reader.stream_position().unwrap_or_default();
            match unpack(&mut reader).and_then(|text| text.map(|text| events(&text)).transpose()) {
                Ok(None) => {}
                Ok(Some(events)) => {
                    self.open = Some((hour, reader));
                    return Some(Ok((Place { hour, offset }, events)));
                }
                Err(source) => {
                    return Some(Err(ArchiveError { path: path_of(&self.folder, hour), offset, source }));
                }
            }
        }
    }
}

/// Unpacks the next frame and compares its checksum; `None` at the end of the file.
fn unpack(reader: &mut BufReader<File>) -> io::Result<Option<Vec<u8>>> {
    if reader.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut text = Vec::new();
    let frame = zstd::Decoder::with_buffer(reader)?.single_frame();
    let size = frame.take(MAX_FRAME + 1).read_to_end(&mut text)?;
    if size as u64 > MAX_FRAME {
        return Err(io::Error::other(format!("a frame has more than {MAX_FRAME} bytes")));
    }
    Ok(Some(text))
}

fn events(text: &[u8]) -> io::Result<Vec<ArchivedEvent>> {
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(io::Error::from)).collect()
}

impl Filter {
    /// Compares what an archive has of an event: everything except its calls and the reasons. An event without a status fits only if no
    /// status is asked for.
    pub fn fits_archived(&self, event: &ArchivedEvent) -> bool {
        let form = Form::named(&event.form).unwrap_or(Form::SegmentBatch);
        let fields = Fields::of(event.original.as_bytes(), form);
        let cut = |wanted: &str| cut_text(wanted, MAX_BYTES).to_owned();
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| cut(wanted) == found);
        let ids = [&*fields.user, &fields.message_id, &fields.group];
        let is_any = |wanted: &String| {
            ids.contains(&cut(wanted).as_str()) || wanted.eq_ignore_ascii_case(&event.id.to_string())
        };
        (self.statuses.is_empty() || event.status.is_some_and(|status| self.statuses.contains(&status)))
            && self.from.is_none_or(|from| event.at >= from)
            && self.to.is_none_or(|to| event.at < to)
            && is(&self.source, &event.source)
            && is(&self.kind, &fields.kind)
            && is(&self.name, &fields.name)
            && is(&self.user, &fields.user)
            && is(&self.message_id, &fields.message_id)
            && is(&self.group, &fields.group)
            && self.any.as_ref().is_none_or(is_any)
            && self.text.as_ref().is_none_or(|text| event.original.contains(text.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_id::EventId;
    use crate::history::archive::pack;

    fn event(frame: u64, number: u64) -> ArchivedEvent {
        let at = DateTime::from_timestamp_millis(1_772_000_000_000).unwrap_or_default();
        ArchivedEvent {
            id: EventId((1_772_000_000_000 << 22) | (frame << 8) | number),
            at,
            source: "web".into(),
            form: "segment track".into(),
            status: None,
            envelope: None,
            original: format!("{{\"userId\":\"user {frame} {number}\"}}"),
        }
    }

    /// Whatever byte changes on the disk: no panic, and no event that was not written.
    #[test]
    fn a_changed_byte_anywhere_costs_events_and_never_changes_one() {
        let folder = tempfile::tempdir().unwrap();
        let written: Vec<Vec<ArchivedEvent>> =
            (0..3).map(|frame| (0..4).map(|number| event(frame, number)).collect()).collect();
        let path = folder.path().join(name_of(written[0][0].at));
        let mut whole = Vec::new();
        for events in &written {
            let lines = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n");
            whole.extend(pack(lines.collect::<String>().as_bytes()).unwrap());
        }
        let read = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            let frames = frames(folder.path(), None, None).unwrap();
            let (found, broken): (Vec<_>, Vec<_>) = frames.partition(Result::is_ok);
            let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
            for (place, events) in &found {
                assert_eq!(&load(folder.path(), *place).unwrap(), events);
            }
            (found.into_iter().map(|(_, events)| events).collect::<Vec<_>>(), broken.len())
        };
        assert_eq!(read(&whole), (written.clone(), 0));
        for place in 0..whole.len() {
            for mask in [0x01, 0x04, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] ^= mask;
                let (found, broken) = read(&damaged);
                assert!(found.iter().all(|frame| written.contains(frame)), "byte {place} ^ {mask:#x}");
                assert!(
                    broken == 1 || found.len() == written.len(),
                    "byte {place} ^ {mask:#x}: {}",
                    found.len()
                );
            }
            // Cut off here, as by a full disk.
            let (found, _) = read(whole.get(..place).unwrap());
            assert_eq!(found, written.get(..found.len()).unwrap(), "cut at {place}");
        }
    }
}
