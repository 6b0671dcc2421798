//! The one thread that writes the outbox: it takes whatever waits, commits it as one group, then answers.
//!
//! No timer: while one commit is being synced the next group gathers. Whatever a group stages is undone with
//! its transaction if the commit fails, and then nothing more is written until a restart. Never blocks on
//! anything but the disk.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use super::chunk::Chunk;
use super::recent::{self, Identity, Recent};
use super::sqlite::{self, Parked, Progress, Store};
use super::tail::Tail;
use super::{AcceptError, Accepted, Options, Place, Receipt, Settlement, Submission, frame};

/// Commands taken into one commit at most.
const MOST_COMMANDS: usize = 1024;
/// One user's parked requests handed out at a time.
const MOST_PARKED: usize = 16;
/// A chunk is closed at this size: it is what a reader holds in memory at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Old ids are looked for this often.
const HOUSEKEEPING: chrono::Duration = chrono::Duration::minutes(1);
/// A derived call that was not repeated for this long is sent again.
const SAID_FOR: chrono::Duration = chrono::Duration::days(30);

/// Where the sender waits for the commit.
pub(super) type Reply = oneshot::Sender<Result<Receipt, AcceptError>>;

/// What the handle asks of the writer.
#[derive(Debug)]
pub(super) enum Command {
    Accept {
        submission: Submission,
        reply: Reply,
        /// Room in memory, given back after the commit.
        room: OwnedSemaphorePermit,
    },
    Settle(Vec<Settlement>),
    /// Through the writer, so that what was settled before is seen.
    Parked {
        destination: String,
        users: Vec<String>,
        reply: oneshot::Sender<Vec<Parked>>,
    },
    Close,
}

/// What the writer shows to everybody else.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) tail: Mutex<Tail>,
    /// Id of the newest committed chunk; a reader waits on it.
    pub(super) latest: watch::Sender<i64>,
    /// Set once a commit has failed.
    pub(super) failed: watch::Sender<bool>,
}

pub(super) struct Writer {
    store: Store,
    shown: Arc<Shown>,
    recent: Recent,
    /// Chunks of which some requests are settled and some are not.
    progress: HashMap<i64, Progress>,
    reject_bytes: u64,
    most_reject_bytes: u64,
    housekept_at: DateTime<Utc>,
}

/// What one commit group has staged.
#[derive(Default)]
struct Group {
    /// The chunk being filled.
    bytes: Vec<u8>,
    requests: u32,
    /// Chunks already written.
    chunks: Vec<Chunk>,
    identities: Vec<Identity>,
    touched: HashSet<i64>,
    receipts: Vec<(Reply, Receipt, OwnedSemaphorePermit)>,
    parked: Vec<(oneshot::Sender<Vec<Parked>>, Vec<Parked>)>,
}

impl Writer {
    pub(super) fn new(store: Store, options: &Options, shown: Arc<Shown>) -> rusqlite::Result<Self> {
        let now = now();
        let mut recent = Recent::new(options.deduplication_ids, options.longest_window, now);
        let horizon = recent.horizon(now);
        sqlite::remembered(&store.connection, |at, ids| at >= horizon && recent.restore(ids, at))?;
        let progress = sqlite::progress(&store.connection)?.into_iter().collect();
        let reject_bytes = sqlite::reject_bytes(&store.connection)?;
        let most_reject_bytes = options.reject_bytes;
        Ok(Self { store, shown, recent, progress, reject_bytes, most_reject_bytes, housekept_at: now })
    }

    /// Writes until it is told to close or every handle is gone.
    pub(super) fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut waiting = Vec::new();
        let mut open = true;
        while open && commands.blocking_recv_many(&mut waiting, MOST_COMMANDS) > 0 {
            open = !waiting.iter().any(|command| matches!(command, Command::Close));
            if *self.shown.failed.borrow() {
                refuse(&mut waiting);
            } else {
                self.commit(&mut waiting);
            }
        }
        // Leaves a file that is whole by itself; if it cannot, the log beside it is read at the next start.
        let _ = self.store.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE");
    }

    fn commit(&mut self, waiting: &mut Vec<Command>) {
        let at = now();
        let mut group = Group::default();
        match self.stage_all(waiting, &mut group, at).and_then(|()| self.finish(&mut group, at)) {
            Ok(()) => self.publish(group),
            Err(error) => self.fail(group, &error),
        }
    }

    fn stage_all(
        &mut self,
        waiting: &mut Vec<Command>,
        group: &mut Group,
        at: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        self.store.connection.execute_batch("BEGIN IMMEDIATE")?;
        for command in waiting.drain(..) {
            match command {
                Command::Accept { submission, reply, room } => {
                    let receipt = self.stage(&submission, group, at)?;
                    group.receipts.push((reply, receipt, room));
                }
                Command::Settle(settlements) => {
                    for settlement in settlements {
                        self.settle(settlement, group, at)?;
                    }
                }
                Command::Parked { destination, users, reply } => {
                    let mut parked = Vec::new();
                    for user in users {
                        parked.extend(sqlite::parked(
                            &self.store.connection,
                            &destination,
                            &user,
                            MOST_PARKED,
                        )?);
                    }
                    group.parked.push((reply, parked));
                }
                Command::Close => {}
            }
        }
        Ok(())
    }

    fn stage(
        &mut self,
        submission: &Submission,
        group: &mut Group,
        at: DateTime<Utc>,
    ) -> rusqlite::Result<Receipt> {
        let mut receipt = Receipt::default();
        for event in &submission.accepted {
            if let Some(identity) = self.identity(submission, event) {
                if !self.recent.insert(&identity, at) {
                    receipt.duplicates += 1;
                    continue;
                }
                group.identities.push(identity);
            }
            frame::write_event(&mut group.bytes, &submission.source, event);
            group.requests += u32::try_from(event.requests.len()).unwrap_or(u32::MAX);
            receipt.accepted += 1;
            if group.bytes.len() >= CHUNK_BYTES {
                self.write_chunk(group)?;
            }
        }
        for reject in &submission.rejects {
            sqlite::reject(&self.store.connection, &submission.source, submission.received_at, reject)?;
            self.reject_bytes += (reject.original.len() + reject.reasons.len()) as u64;
        }
        Ok(receipt)
    }

    fn identity(&self, submission: &Submission, event: &Accepted) -> Option<Identity> {
        let id = event.message_id.as_deref()?;
        let window = submission.deduplication_window;
        (!window.is_zero()).then(|| Identity::new(self.store.key, &submission.source, id, window))
    }

    fn write_chunk(&self, group: &mut Group) -> rusqlite::Result<()> {
        if group.requests == 0 {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut group.bytes));
        let requests = std::mem::take(&mut group.requests);
        let id = sqlite::insert(&self.store.connection, requests, &bytes)?;
        group.chunks.push(Chunk { id, requests, settled: Vec::new(), bytes });
        Ok(())
    }

    fn settle(
        &mut self,
        settlement: Settlement,
        group: &mut Group,
        at: DateTime<Utc>,
    ) -> rusqlite::Result<()> {
        let connection = &self.store.connection;
        let place = match settlement {
            Settlement::Delivered { place, said } => {
                sqlite::say(connection, &said, at)?;
                place
            }
            Settlement::Parked { job, attempts, next_attempt_at } => {
                sqlite::park(connection, &job, &attempts, next_attempt_at)?;
                match job.place {
                    Place::Parked { .. } => return Ok(()),
                    place @ Place::Chunk { .. } => place,
                }
            }
            Settlement::Dead { job, attempts } => {
                sqlite::bury(connection, &job, &attempts, at)?;
                job.place
            }
        };
        match place {
            Place::Parked { row, .. } => sqlite::unpark(connection, row)?,
            Place::Chunk { chunk, index, of } => {
                self.progress.entry(chunk).or_insert_with(|| Progress::new(of)).settle(index);
                group.touched.insert(chunk);
            }
        }
        Ok(())
    }

    /// Writes what the group gathered and commits: the fsync is in here.
    fn finish(&mut self, group: &mut Group, at: DateTime<Utc>) -> rusqlite::Result<()> {
        self.write_chunk(group)?;
        let connection = &self.store.connection;
        if !group.identities.is_empty() {
            let ids: Vec<u8> = group.identities.iter().flat_map(recent::bytes).collect();
            sqlite::remember(connection, at, &ids)?;
        }
        for chunk in &group.touched {
            match self.progress.get(chunk) {
                Some(progress) if !progress.is_complete() => {
                    sqlite::save_progress(connection, *chunk, progress)?
                }
                _ => {
                    sqlite::delete(connection, *chunk)?;
                    self.progress.remove(chunk);
                }
            }
        }
        while self.reject_bytes > self.most_reject_bytes {
            let freed = sqlite::drop_oldest_rejects(connection)?;
            self.reject_bytes = if freed == 0 { 0 } else { self.reject_bytes.saturating_sub(freed) };
        }
        if at - self.housekept_at > HOUSEKEEPING {
            sqlite::forget(connection, self.recent.horizon(at), at - SAID_FOR)?;
            self.housekept_at = at;
        }
        connection.execute_batch("COMMIT")
    }

    fn publish(&self, group: Group) {
        if let Some(latest) = group.chunks.last().map(|chunk| chunk.id) {
            let mut tail = self.shown.tail.lock().unwrap_or_else(PoisonError::into_inner);
            for chunk in group.chunks {
                tail.push(Arc::new(chunk));
            }
            drop(tail);
            self.shown.latest.send_replace(latest);
        }
        // A receiver that is gone hung up before its answer; what it sent is stored all the same.
        for (reply, receipt, _room) in group.receipts {
            let _ = reply.send(Ok(receipt));
        }
        for (reply, parked) in group.parked {
            let _ = reply.send(parked);
        }
    }

    fn fail(&mut self, group: Group, error: &rusqlite::Error) {
        tracing::error!(
            error.message = %error,
            "the outbox could not store to disk: nothing more is accepted until the relay is restarted; check the disk"
        );
        let _ = self.store.connection.execute_batch("ROLLBACK");
        for identity in &group.identities {
            self.recent.forget(identity);
        }
        self.shown.failed.send_replace(true);
        for (reply, ..) in group.receipts {
            let _ = reply.send(Err(AcceptError::Failed));
        }
    }
}

/// After a failure: whoever asks is told so; settlements are dropped, their calls will be made once more.
fn refuse(waiting: &mut Vec<Command>) {
    for command in waiting.drain(..) {
        if let Command::Accept { reply, .. } = command {
            let _ = reply.send(Err(AcceptError::Failed));
        }
    }
}

fn now() -> DateTime<Utc> {
    Utc::now()
}
