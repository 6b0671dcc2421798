//! Reads the waiting calls: those in chunks and those in rows of their own, in order, one page at a time.

use std::collections::HashMap;

use rusqlite::{Connection, Result};

use super::{self as sqlite, LANE};
use crate::decode::Labels;
use crate::event_id::EventId;
use crate::outbox::chunk::Job;
use crate::outbox::{Parked, Place, Position, WaitingCall, WaitingFilter, WaitingFor, WaitingPage};

/// A page ends after this many bytes of chunks were scanned, whatever was found.
const MAX_SCANNED: usize = 64 << 20;

/// Returns at most `most` of the calls after `after`. It reads in one transaction, so that a call that is parked
/// meanwhile is seen once.
pub(in crate::outbox) fn page(
    connection: &Connection,
    filter: &WaitingFilter,
    after: Option<Position>,
    most: usize,
) -> Result<WaitingPage> {
    let transaction = connection.unchecked_transaction()?;
    let after = after.unwrap_or(Position::start(LANE));
    let rows = sqlite::parked_page(&transaction, filter, after, most)?;
    let rows_end = (rows.len() == most).then(|| rows.last().map(|row| row.job.place.position())).flatten();
    let queued = queued(&transaction, filter, after, rows_end, most)?;
    let end = [rows_end, queued.end].into_iter().flatten().min();

    let mut found: Vec<(Job, Option<Parked>)> = queued.jobs.into_iter().map(|job| (job, None)).collect();
    found.extend(rows.into_iter().map(|row| (row.job.clone(), Some(row))));
    found.retain(|(job, _)| end.is_none_or(|end| job.place.position() <= end));
    found.sort_by_key(|(job, _)| job.place.position());

    let mut page = WaitingPage { calls: Vec::new(), next: end };
    let mut heads = HashMap::new();
    for (job, row) in found {
        let labels = Labels::of(&job.original);
        if !filter.admits_event(job.event, &labels) {
            continue;
        }
        if page.calls.len() == most {
            page.next = page.calls.last().map(|call| call.id);
            break;
        }
        page.calls.push(call(&transaction, &mut heads, job, row, labels)?);
    }
    Ok(page)
}

type Heads = HashMap<(String, String), Option<(Position, EventId)>>;

fn call(
    connection: &Connection,
    heads: &mut Heads,
    job: Job,
    row: Option<Parked>,
    labels: Labels,
) -> Result<WaitingCall> {
    let id = job.place.position();
    let key = (job.destination.as_str().to_owned(), job.user.as_str().to_owned());
    let head = if let Some(head) = heads.get(&key) {
        *head
    } else {
        let head = sqlite::first_parked(connection, &key.0, &key.1)?;
        heads.insert(key, head);
        head
    };
    let is_damaged = row.as_ref().is_some_and(|row| row.is_damaged);
    let behind = head.filter(|(first, _)| *first < id && !is_damaged);
    let (attempts, next_attempt_at) =
        row.map_or((Vec::new(), None), |row| (row.attempts, row.next_attempt_at));
    let waiting_for = match (&job.place, behind) {
        _ if is_damaged => WaitingFor::Damaged,
        (_, Some(_)) => WaitingFor::Earlier,
        (Place::Parked { .. }, None) if next_attempt_at.is_some() => WaitingFor::Retry,
        _ => WaitingFor::Turn,
    };
    Ok(WaitingCall { id, labels, job, waiting_for, behind, attempts, next_attempt_at })
}

/// Calls found in chunks.
struct CallsInChunks {
    jobs: Vec<Job>,
    /// The last place that was read; `None` if that was everything.
    end: Option<Position>,
}

fn queued(
    connection: &Connection,
    filter: &WaitingFilter,
    after: Position,
    until: Option<Position>,
    most: usize,
) -> Result<CallsInChunks> {
    let mut found = CallsInChunks { jobs: Vec::new(), end: None };
    let (mut cursor, mut scanned) = (after.chunk - 1, 0);
    loop {
        if !filter.ids.is_empty() {
            // Only the chunks that the filter names.
            let next = filter.ids.iter().map(|id| id.chunk).filter(|chunk| *chunk > cursor).min();
            let Some(next) = next else { return Ok(found) };
            cursor = next - 1;
        }
        let Some(chunk) = sqlite::after(connection, cursor)? else { return Ok(found) };
        cursor = chunk.id;
        if until.is_some_and(|until| chunk.id > until.chunk) {
            return Ok(found);
        }
        found.jobs.extend(
            chunk.all_jobs().into_iter().filter(|job| job.place.position() > after && filter.admits(job)),
        );
        scanned += chunk.size();
        if found.jobs.len() >= most || scanned >= MAX_SCANNED {
            found.end = Some(Position::after_chunk(LANE, chunk.id));
            return Ok(found);
        }
    }
}
