//! A lane that this relay owns: the progress of its chunks, and the readers of its chunks.
//!
//! Each destination reads the lane at its own pace, so each has a reader of its own. A reader reads the stream in order. When it has read
//! the lease with which this relay took the lane, or a later lease, it has read everything that earlier owners stored. Until then the
//! server that it reads may be behind the others, and may still have a chunk that an earlier owner has settled. So the reader looks up
//! each of these chunks at the leader.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::chunk::Chunk;
use super::super::{Lease, ReadError, Stored};
use super::codec;
use super::log::{Entry, Log};
use super::shared::Shared;
use super::subject::Record;

/// How many chunks a reader reads ahead.
const AHEAD: usize = 4;
/// The most messages on their way to a reader.
const BATCH: usize = 16;
/// The most readers of a lane. If there are more, the one that was unused for longest is closed.
const MAX_READERS: usize = 16;
/// How long a read waits for a chunk that this relay has just stored.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long the first read of a lane waits for the cluster.
const ANSWER: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct OwnedLane {
    pub(super) id: u16,
    pub(super) epoch: u64,
    pub(super) lease: Lease,
    /// The sequence of the lease with which this relay took the lane.
    gained: u64,
    newest: AtomicI64,
    /// The newest chunk that this relay itself stored.
    stored: AtomicI64,
    open: Mutex<HashMap<i64, OpenChunk>>,
    readers: tokio::sync::Mutex<Vec<Reader>>,
}

/// A chunk with requests that are not settled.
#[derive(Debug)]
pub(super) struct OpenChunk {
    pub(super) subject: String,
    pub(super) bytes: u64,
    pub(super) of: u32,
    pub(super) settled: Vec<u8>,
}

impl OpenChunk {
    /// Marks a request; returns false if it was settled before.
    pub(super) fn settle(&mut self, index: u32) -> bool {
        let bit = 1 << (index % 8);
        match self.settled.get_mut(index as usize / 8) {
            Some(byte) if *byte & bit == 0 => {
                *byte |= bit;
                true
            }
            _ => false,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.settled.iter().map(|byte| byte.count_ones()).sum::<u32>() >= self.of
    }
}

impl OwnedLane {
    pub(super) fn new(id: u16, epoch: u64, lease: Lease, gained: u64) -> Self {
        Self {
            id,
            epoch,
            lease,
            gained,
            newest: AtomicI64::new(0),
            stored: AtomicI64::new(0),
            open: Mutex::default(),
            readers: tokio::sync::Mutex::default(),
        }
    }

    /// The newest chunk that was read.
    pub(super) fn newest(&self) -> i64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Notes a chunk that this relay stored. A reader has not reached the end before it has read this chunk.
    pub(super) fn note_stored(&self, chunk: u64) {
        self.stored.fetch_max(i64::try_from(chunk).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Calls a function with the chunks that have unsettled requests.
    pub(super) fn with_open<T>(&self, work: impl FnOnce(&mut HashMap<i64, OpenChunk>) -> T) -> T {
        work(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the first chunk after this one, or `None` if there is none yet.
    pub(super) async fn next_chunk(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        after: i64,
    ) -> Result<Option<Arc<Chunk>>, ReadError> {
        let mut readers = self.readers.lock().await;
        let mut reader = match readers.iter().position(|reader| reader.after == after) {
            Some(place) => readers.remove(place),
            None => Reader::start(Arc::clone(self), shared, after),
        };
        // The lock is held for long only by the first reads of a new reader.
        let chunk = reader.next().await;
        if let Ok(Some(chunk)) = &chunk {
            reader.after = chunk.id;
        }
        readers.push(reader);
        if readers.len() > MAX_READERS {
            readers.remove(0);
        }
        chunk
    }

    /// Ends the readers.
    pub(super) async fn close(&self) {
        self.readers.lock().await.clear();
    }
}

/// Reads chunks from one position on.
#[derive(Debug)]
struct Reader {
    /// The last chunk that the reader returned, or the position at which it began.
    after: i64,
    chunks: mpsc::Receiver<Arc<Chunk>>,
    /// The sequence up to which the reader has read.
    seen: watch::Receiver<u64>,
    lane: Arc<OwnedLane>,
    /// Ends the task that reads.
    _end: DropGuard,
}

impl Reader {
    fn start(lane: Arc<OwnedLane>, shared: &Arc<Shared>, after: i64) -> Self {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let (see, seen) = watch::channel(after.unsigned_abs());
        let end = CancellationToken::new();
        let (ended, owned, outbox) = (end.clone(), Arc::clone(&lane), Arc::clone(shared));
        shared.spawn("reader of a lane", async move {
            let subjects = vec![outbox.subjects.chunks(owned.id), outbox.subjects.lease(owned.id)];
            let next = after.unsigned_abs() + 1;
            let mut log = Log::new(outbox.context.clone(), outbox.subjects.stream(), subjects, next, BATCH);
            ended.run_until_cancelled(read(&owned, &outbox, &mut log, sender, see)).await;
            log.close().await;
        });
        Self { after, chunks, seen, lane, _end: end.drop_guard() }
    }

    /// Waits for the next chunk, until everything is read that earlier owners and this relay have stored.
    async fn next(&mut self) -> Result<Option<Arc<Chunk>>, ReadError> {
        let began = Instant::now();
        loop {
            let seen = *self.seen.borrow_and_update();
            if let Ok(chunk) = self.chunks.try_recv() {
                return Ok(Some(chunk));
            }
            let is_gained = seen >= self.lane.gained;
            let stored = self.lane.stored.load(Ordering::Relaxed).unsigned_abs();
            let until = began + if is_gained { PATIENCE } else { ANSWER };
            if is_gained && seen >= stored {
                return Ok(None);
            }
            if Instant::now() >= until {
                return if is_gained { Ok(None) } else { Err(ReadError::Away) };
            }
            tokio::select! {
                biased;
                chunk = self.chunks.recv() => return Ok(chunk),
                changed = self.seen.changed() => if changed.is_err() { return Ok(None) },
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}

async fn read(
    lane: &OwnedLane,
    shared: &Shared,
    log: &mut Log,
    chunks: mpsc::Sender<Arc<Chunk>>,
    seen: watch::Sender<u64>,
) {
    loop {
        let entry = log.next().await;
        let is_chunk = matches!(shared.subjects.parse(&entry.subject), Some(Record::Chunk { .. }));
        // An empty one was removed.
        if is_chunk && !entry.body.is_empty() && !was_removed(lane, shared, &entry).await {
            let id = i64::try_from(entry.sequence).unwrap_or(i64::MAX);
            if let Some(chunk) = admit(lane, shared, id, entry.subject, &entry.body) {
                if chunks.send(Arc::new(chunk)).await.is_err() {
                    return;
                }
                shared.committed.send_modify(|count| *count += 1);
            }
        }
        seen.send_replace(entry.sequence);
    }
}

/// Whether an earlier owner has settled all of a chunk. Only the empty message in its place says so: a leader that does not know the
/// chunk may be one that is no longer the leader.
async fn was_removed(lane: &OwnedLane, shared: &Shared, entry: &Entry) -> bool {
    if entry.sequence > lane.gained {
        return false;
    }
    loop {
        match shared.newest(&entry.subject).await {
            Some(found) => return found.is_some_and(|(sequence, _)| sequence > entry.sequence),
            None => tokio::time::sleep(PATIENCE).await,
        }
    }
}

/// Notes a chunk that was read. Returns `None` if all its requests are settled.
fn admit(lane: &OwnedLane, shared: &Shared, id: i64, subject: String, body: &bytes::Bytes) -> Option<Chunk> {
    let stored = shared.with_state(|state| state.progress(lane.id, id).map(|stored| stored.settled.clone()));
    let mut chunk = codec::read_chunk(lane.id, id, stored.unwrap_or_default(), body)?;
    lane.newest.fetch_max(id, Ordering::Relaxed);
    if !chunk.is_sound {
        shared.damage.report(Stored::Chunk, id);
    }
    lane.with_open(|open| {
        let known = open.entry(id).or_insert_with(|| OpenChunk {
            subject,
            bytes: body.len() as u64,
            of: chunk.requests,
            settled: chunk.settled.clone(),
        });
        known.settled.resize(chunk.requests.div_ceil(8) as usize, 0);
        // This relay may have settled requests whose record is not stored yet.
        chunk.settled.clone_from(&known.settled);
    });
    Some(chunk)
}
