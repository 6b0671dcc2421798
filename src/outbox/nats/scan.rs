//! Reads the chunks of all lanes once, for lists and counts. Any relay may: reading changes nothing.
//!
//! The server that answers may be behind the others. So the relay stores its own record before the scan, and the scan ends when it reads
//! that record: then it has read everything that was stored before.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::super::chunk::{Chunk, Job};
use super::super::{Parked, Place, Position, ReadError, WaitingCall, WaitingFilter, WaitingFor, WaitingPage};
use super::codec;
use super::handle::Outbox;
use super::log::Log;
use super::shared::Shared;
use super::subject::Record;
use crate::decode::Labels;
use crate::event_id::EventId;

const BATCH: usize = 64;
/// The cluster does not answer if nothing comes for this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// A page ends after this many bytes of chunks were scanned, whatever was found.
const MAX_SCANNED: usize = 64 << 20;

/// A scan of the chunks that existed when it began.
pub(super) struct Scan {
    shared: Arc<Shared>,
    log: Log,
    /// The sequence of this relay's record.
    until: u64,
    has_ended: bool,
}

impl Scan {
    /// All chunks, in the order in which they were stored, before `until`: the sequence of this relay's record.
    pub(super) async fn all(shared: &Arc<Shared>, until: u64) -> Result<Self, ReadError> {
        Self::of(shared, shared.subjects.all_chunks(), 1, until).await
    }

    /// The chunks of one lane from this one on.
    async fn lane(shared: &Arc<Shared>, lane: u16, from: i64, until: u64) -> Result<Self, ReadError> {
        Self::of(shared, shared.subjects.chunks(lane), from.unsigned_abs(), until).await
    }

    async fn of(shared: &Arc<Shared>, chunks: String, from: u64, until: u64) -> Result<Self, ReadError> {
        let subjects = vec![chunks, shared.subjects.relay(&shared.relay)];
        let mut log = Log::new(shared.context.clone(), shared.subjects.stream(), subjects, from, BATCH);
        log.open().await.map_err(|_| ReadError::Away)?;
        Ok(Self { shared: Arc::clone(shared), log, until, has_ended: false })
    }

    pub(super) async fn close(self) {
        self.log.close().await;
    }

    /// Returns the next chunk that has unsettled requests.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, ReadError> {
        while !self.has_ended {
            let next = tokio::time::timeout(PATIENCE, self.log.next()).await;
            let entry = next.map_err(|_| ReadError::Away)?;
            self.has_ended = entry.sequence >= self.until;
            let Some(Record::Chunk { lane }) = self.shared.subjects.parse(&entry.subject) else { continue };
            let id = i64::try_from(entry.sequence).unwrap_or(i64::MAX);
            let stored =
                self.shared.with_state(|state| state.progress(lane, id).map(|stored| stored.settled.clone()));
            if let Some(chunk) = codec::read_chunk(lane, id, stored.unwrap_or_default(), &entry.body) {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }
}

/// Returns at most `most` of the waiting calls after `after`, in the order of lanes and positions.
pub(super) async fn page(
    outbox: &Outbox,
    filter: &WaitingFilter,
    after: Option<Position>,
    most: usize,
) -> Result<WaitingPage, ReadError> {
    let lanes = outbox.shared.meta.lanes;
    let mut page = WaitingPage { calls: Vec::new(), next: None };
    let mut until = outbox.mark().await?;
    let first = after.map_or(0, Position::lane);
    for lane in first..lanes {
        if !filter.ids.is_empty() && !filter.ids.iter().any(|id| id.lane == lane) {
            continue;
        }
        let after = after.filter(|after| after.lane == lane).unwrap_or(Position::start(lane));
        let (calls, end) = of_lane(outbox, filter, after, most - page.calls.len(), &mut until).await?;
        page.calls.extend(calls);
        page.next = end.or_else(|| {
            let is_full = page.calls.len() >= most && lane + 1 < lanes;
            is_full.then(|| Position::after_chunk(lane, i64::MAX))
        });
        if page.next.is_some() {
            break;
        }
    }
    Ok(page)
}

/// Returns the calls of one lane after a position, and the position to go on from if there may be more.
async fn of_lane(
    outbox: &Outbox,
    filter: &WaitingFilter,
    after: Position,
    most: usize,
    until: &mut u64,
) -> Result<(Vec<WaitingCall>, Option<Position>), ReadError> {
    if after.chunk == i64::MAX {
        return Ok((Vec::new(), None));
    }
    let shared = &outbox.shared;
    let mut found: BTreeMap<Position, (Job, Option<Parked>)> = BTreeMap::new();
    let mut scan = Scan::lane(shared, after.lane, after.chunk.max(1), *until).await?;
    let (mut scanned, mut end) = (0, None);
    while let Some(chunk) = scan.next().await? {
        scanned += chunk.size();
        let jobs = chunk.all_jobs().into_iter();
        let jobs = jobs.filter(|job| job.place.position() > after && filter.admits(job));
        found.extend(jobs.map(|job| (job.place.position(), (job, None))));
        if found.len() >= most || scanned >= MAX_SCANNED {
            end = Some(Position::after_chunk(after.lane, chunk.id));
            break;
        }
    }
    scan.close().await;
    // A call that was parked meanwhile is no longer in its chunk, so parked calls are read after the chunks.
    *until = outbox.mark().await?;
    let (wanted, users) = (filter.clone(), Arc::clone(shared));
    let rows = shared
        .read(move |mirror| {
            mirror.parked_after(&wanted, after, most, |user| users.lane_of(user) == after.lane)
        })
        .await?;
    if rows.len() >= most
        && let Some(last) = rows.last().map(|row| row.job.place.position())
    {
        end = Some(end.map_or(last, |end: Position| end.min(last)));
    }
    found.extend(rows.into_iter().map(|row| (row.job.place.position(), (row.job.clone(), Some(row)))));
    found.retain(|position, _| end.is_none_or(|end| *position <= end));
    let mut calls = Vec::new();
    let mut heads = HashMap::new();
    for (job, row) in found.into_values() {
        let labels = Labels::of(&job.original);
        if !filter.admits_event(job.event, &labels) {
            continue;
        }
        if calls.len() == most {
            end = calls.last().map(|call: &WaitingCall| call.id);
            break;
        }
        calls.push(call(shared, &mut heads, job, row, labels).await?);
    }
    Ok((calls, end))
}

type Heads = HashMap<(String, String), Option<(Position, EventId)>>;

async fn call(
    shared: &Arc<Shared>,
    heads: &mut Heads,
    job: Job,
    row: Option<Parked>,
    labels: Labels,
) -> Result<WaitingCall, ReadError> {
    let id = job.place.position();
    let key = (job.destination.as_str().to_owned(), job.user.as_str().to_owned());
    let head = if let Some(head) = heads.get(&key) {
        *head
    } else {
        let (destination, user) = key.clone();
        let head = shared.read(move |mirror| mirror.first_parked(&destination, &user, id.lane)).await?;
        heads.insert(key, head);
        head
    };
    let behind = head.filter(|(first, _)| *first < id);
    let (attempts, next_attempt_at) =
        row.map_or((Vec::new(), None), |row| (row.attempts, row.next_attempt_at));
    let waiting_for = match (&job.place, behind) {
        (_, Some(_)) => WaitingFor::Earlier,
        (Place::Parked { .. }, None) if next_attempt_at.is_some() => WaitingFor::Retry,
        _ => WaitingFor::Turn,
    };
    Ok(WaitingCall { id, labels, job, waiting_for, behind, attempts, next_attempt_at })
}
