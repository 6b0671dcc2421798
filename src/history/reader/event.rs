//! One event in full: its lines, its payload, every attempt, and its copies.

use rusqlite::Connection;

use super::late::LateAttempts;
use super::{Filter, Inner, ReadError, search};
use crate::event_id::EventId;
use crate::history::block::{Head, Lines, Payload, Payloads, UnreadablePart};
use crate::history::line::{Line, Status};
use crate::history::store::{self, Part};

/// The most copies of an event that are searched.
const MAX_COPIES: usize = 50;

/// Whether values that `[privacy] redact` hides are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    Hidden,
    /// For a replay, and for an operator who asks for the original.
    Whole,
}

/// Everything that is known of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its receipt and each replay of it, in that order. Never empty.
    pub records: Vec<RecordedEvent>,
    /// The event that was accepted before with the same message id, if this one is a duplicate.
    pub first: Option<EventId>,
    /// Later duplicates of it.
    pub copies: Vec<EventId>,
    /// Damaged blocks: their events are missing from the result.
    pub unreadable_blocks: u32,
}

/// One receipt or replay of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedEvent {
    pub line: Line,
    /// `None` if the payload was beyond the budget, or payloads are not kept.
    pub payload: Option<Payload>,
}

pub(super) fn event(inner: &Inner, id: EventId, show: Show) -> Result<Option<Event>, ReadError> {
    let connection = inner.connect()?;
    let mut unreadable = 0;
    let mut late = LateAttempts::default();
    let mut records = Vec::new();
    let below = match &inner.recording {
        None => i64::MAX,
        Some(recording) => {
            let buffer = recording.buffer();
            late.add(buffer.late.iter().filter(|late| late.event == id.0).cloned());
            let buffered = buffer.events.iter().rev().filter(|buffered| buffered.line.id == id);
            let recorded = |buffered: &crate::history::buffer::BufferedEvent| RecordedEvent {
                line: buffered.line.clone(),
                payload: buffered.payload.as_deref().cloned(),
            };
            records.extend(buffered.map(recorded));
            buffer.block
        }
    };
    store::each_head(&connection, below, |head| -> Result<bool, ReadError> {
        late.pass(&head);
        if head.may_have_event(id) {
            match of_block(&connection, &head, id)? {
                Ok(found) => records.extend(found),
                Err(UnreadablePart) => unreadable += 1,
            }
        }
        Ok(true)
    })?;
    records.reverse();
    for record in &mut records {
        unreadable += late.complete(&mut record.line, &connection)?;
        if show == Show::Hidden
            && let Some(payload) = &mut record.payload
        {
            inner.redactor.hide(payload);
        }
    }
    let Some(record) = records.first() else { return Ok(None) };
    let (first, copies) = copies(inner, &record.line)?;
    Ok(Some(Event { records, first, copies, unreadable_blocks: unreadable }))
}

fn of_block(
    connection: &Connection,
    head: &Head,
    id: EventId,
) -> Result<Result<Vec<RecordedEvent>, UnreadablePart>, ReadError> {
    let lines = store::part(connection, head.id, Part::Lines)?;
    let payloads = store::part(connection, head.id, Part::Payloads)?;
    Ok(records_of(lines, payloads, id))
}

fn records_of(
    lines: Result<Vec<u8>, UnreadablePart>,
    payloads: Result<Vec<u8>, UnreadablePart>,
    id: EventId,
) -> Result<Vec<RecordedEvent>, UnreadablePart> {
    let lines = Lines::unpack(&lines?)?;
    let mut found = Vec::new();
    lines.each(|index, line| {
        if line.id() == id {
            found.push((index, line));
        }
    })?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // The line is useful without its payload.
    let payloads = payloads.and_then(|part| Payloads::unpack(&part)).ok();
    let recorded = found.into_iter().rev().map(|(index, line)| {
        let payload = payloads.as_ref().and_then(|payloads| payloads.of(index).ok().flatten());
        Ok(RecordedEvent { line: lines.whole(line)?, payload })
    });
    recorded.collect()
}

/// Returns the event of which this one is a duplicate, and the duplicates of this one.
fn copies(inner: &Inner, line: &Line) -> Result<(Option<EventId>, Vec<EventId>), ReadError> {
    if line.message_id().is_empty() {
        return Ok((None, Vec::new()));
    }
    let same = Filter {
        message_id: Some(line.message_id().to_owned()),
        source: Some(line.shape.source.to_string()),
        ..Filter::default()
    };
    if line.is_duplicate {
        let statuses = Status::ALL.into_iter().filter(|status| *status != Status::Duplicate).collect();
        let others = search::search(inner, &Filter { statuses, ..same }, None, MAX_COPIES, false)?.lines;
        let first = others.iter().find(|other| other.id < line.id).map(|other| other.id);
        return Ok((first, Vec::new()));
    }
    // Most blocks have no duplicate, and their heads say so.
    let filter = Filter { statuses: vec![Status::Duplicate], from: Some(line.at()), ..same };
    let others = search::search(inner, &filter, None, MAX_COPIES, false)?.lines;
    Ok((None, others.iter().rev().filter(|other| other.id > line.id).map(|other| other.id).collect()))
}
