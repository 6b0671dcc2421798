//! Past events to replay: finds them in the history and the archive, and reads what is kept of them.
//!
//! They are replayed in the order of their ids, and a job's cursor is the last id, so that a job can continue whatever has moved from
//! the history into the archive meanwhile. Blocks on the disk.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::make::SelectedEvent;
use super::order::{JobError, MAX_PAST, PAST, PastSelect};
use crate::event_id::EventId;
use crate::history::archive::{self, ArchivedEvent};
use crate::history::{Line, PastEvent, Payload, Picked, Reader, has_hidden};

/// No more is read of a page when it has this many bytes.
const MAX_BYTES: usize = 8 << 20;
/// Events of the history that are read at a time; each may have a megabyte.
const MAX_AT_ONCE: usize = 25;

/// Where past events are.
#[derive(Debug, Clone)]
pub struct PastEvents {
    pub history: Reader,
    /// The folder of the archive.
    pub archive: Option<PathBuf>,
}

/// The events of a selection, in the order of their ids.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    events: Vec<(EventId, Place)>,
    pub(super) unreadable_blocks: u64,
    pub(super) unreadable_files: u64,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    History(Picked),
    Archive(archive::Place),
}

/// A past event, and what is kept of it.
pub(super) struct Past {
    pub(super) id: EventId,
    pub(super) source: Arc<str>,
    pub(super) form: Arc<str>,
    pub(super) at: DateTime<Utc>,
    /// `None` if it comes from the archive, which has no calls.
    pub(super) line: Option<Line>,
    pub(super) payload: Result<Payload, Missing>,
}

/// Why a past event cannot be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    NotKept,
    Redacted,
    /// It left the history, or was damaged, after it was counted.
    Gone,
}

impl Chosen {
    pub(super) fn count(&self) -> u64 {
        self.events.len() as u64
    }

    /// The next events after a job's cursor.
    fn after(&self, cursor: i64, most: usize) -> &[(EventId, Place)] {
        let begin = self.events.partition_point(|(id, _)| id.0 <= cursor.cast_unsigned());
        let rest = self.events.get(begin..).unwrap_or_default();
        rest.get(..most).unwrap_or(rest)
    }
}

impl PastEvents {
    /// Finds the events of a selection that were received up to this time.
    pub(super) fn choose(
        &self,
        select: &PastSelect,
        up_to: i64,
        stop: &CancellationToken,
    ) -> Result<Chosen, JobError> {
        let mut filter = select.filter.clone();
        if filter.statuses.is_empty() {
            filter.statuses = PAST.to_vec();
        }
        let end =
            DateTime::from_timestamp_millis(up_to.saturating_add(1)).unwrap_or(DateTime::<Utc>::MAX_UTC);
        filter.to = Some(filter.to.map_or(end, |to| to.min(end)));
        let picks = self.history.pick(&filter, MAX_PAST, || !stop.is_cancelled())?;
        let mut chosen = Chosen { unreadable_blocks: picks.unreadable_blocks, ..Chosen::default() };
        chosen.events.extend(picks.events.into_iter().map(|one| (one.id, Place::History(one))));
        if select.archive {
            let folder = self.archive.as_deref().ok_or(JobError::NoArchive)?;
            filter.statuses.clone_from(&select.filter.statuses);
            for frame in archive::frames(folder, filter.from, filter.to)? {
                match frame {
                    Ok((place, events)) => {
                        let found =
                            events.iter().filter(|event| is_past(event) && filter.fits_archived(event));
                        chosen.events.extend(found.map(|event| (event.id, Place::Archive(place))));
                    }
                    Err(error) => {
                        tracing::warn!(error.message = %error, "a file of the archive is damaged and was skipped from there on");
                        chosen.unreadable_files += 1;
                    }
                }
                if chosen.events.len() > MAX_PAST || stop.is_cancelled() {
                    break;
                }
            }
        }
        // An event that is in both is read from the history, which has its calls. The sort keeps that order.
        chosen.events.sort_by_key(|(id, _)| *id);
        chosen.events.dedup_by_key(|(id, _)| *id);
        if stop.is_cancelled() {
            return Err(JobError::Stopping);
        }
        if chosen.events.len() > MAX_PAST { Err(JobError::TooMany) } else { Ok(chosen) }
    }

    /// Reads the next events after a job's cursor, in order: at most this many, and fewer if they are large.
    pub(super) fn load(
        &self,
        chosen: &Chosen,
        cursor: i64,
        most: usize,
    ) -> Result<Vec<SelectedEvent>, JobError> {
        let wanted = chosen.after(cursor, most);
        let mut loaded = HashMap::new();
        let mut bytes = 0;
        for some in by_place(wanted) {
            if bytes > MAX_BYTES {
                break;
            }
            for past in self.of_place(some)? {
                bytes += past.payload.as_ref().map_or(0, |payload| payload.original.len());
                loaded.insert(past.id, past);
            }
        }
        let found = wanted.iter().map_while(|(id, _)| loaded.remove(id));
        Ok(found.map(|past| SelectedEvent::Past(Box::new(past))).collect())
    }

    fn of_place(&self, wanted: &[(EventId, Place)]) -> Result<Vec<Past>, JobError> {
        let mut picked = Vec::new();
        let mut archived = Vec::new();
        for (id, place) in wanted {
            match place {
                Place::History(one) => picked.push(*one),
                Place::Archive(place) => archived.push((*id, *place)),
            }
        }
        let found = self.history.past(&picked)?;
        let mut past: Vec<Past> =
            picked.iter().zip(found).map(|(one, event)| of_history(one.id, event)).collect();
        if let (Some(folder), Some((_, place))) = (&self.archive, archived.first()) {
            let mut events: HashMap<EventId, ArchivedEvent> = match archive::load(folder, *place) {
                Ok(events) => events.into_iter().map(|event| (event.id, event)).collect(),
                Err(error) => {
                    tracing::warn!(error.message = %error, "a part of the archive was damaged after its events were counted");
                    HashMap::new()
                }
            };
            past.extend(archived.iter().map(|(id, _)| of_archive(*id, events.remove(id))));
        }
        Ok(past)
    }
}

/// A version that did not write the status of its events archived all of them.
fn is_past(event: &ArchivedEvent) -> bool {
    event.status.is_none_or(|status| PAST.contains(&status))
}

/// Cuts a list where the place changes: each frame is read once, and events of the history are read a few at a time.
fn by_place(wanted: &[(EventId, Place)]) -> impl Iterator<Item = &[(EventId, Place)]> {
    let same_place = |(_, one): &(EventId, Place), (_, other): &(EventId, Place)| match (one, other) {
        (Place::History(_), Place::History(_)) => true,
        (Place::Archive(one), Place::Archive(other)) => one == other,
        _ => false,
    };
    wanted.chunk_by(same_place).flat_map(|some| match some.first() {
        Some((_, Place::History(_))) => some.chunks(MAX_AT_ONCE),
        _ => some.chunks(usize::MAX),
    })
}

fn of_history(id: EventId, event: Option<PastEvent>) -> Past {
    let Some(PastEvent { line, payload }) = event else { return gone(id) };
    let payload = payload.ok_or(Missing::NotKept).and_then(whole);
    let (source, form) = (Arc::clone(&line.shape.source), Arc::clone(&line.shape.form));
    Past { id, source, form, at: line.at(), payload, line: Some(line) }
}

fn of_archive(id: EventId, event: Option<ArchivedEvent>) -> Past {
    let Some(ArchivedEvent { at, source, form, envelope, original, .. }) = event else { return gone(id) };
    let envelope = envelope.map(Arc::from);
    let payload = whole(Payload { original: original.into(), envelope, bodies: Vec::new() });
    Past { id, source, form, at, line: None, payload }
}

fn gone(id: EventId) -> Past {
    let none = Arc::<str>::from("");
    let payload = Err(Missing::Gone);
    Past { id, source: Arc::clone(&none), form: none, at: id.time(), line: None, payload }
}

/// A payload without hidden values.
fn whole(payload: Payload) -> Result<Payload, Missing> {
    let texts = payload.bodies.iter().map(|body| &**body).chain([&*payload.original]);
    let is_hidden = texts.chain(payload.envelope.as_deref()).any(has_hidden);
    if is_hidden { Err(Missing::Redacted) } else { Ok(payload) }
}
