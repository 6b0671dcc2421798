//! The way in to the outbox: a handle that every stage clones. See the contract in the module above.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch};

use super::chunk::Chunk;
use super::command::{Command, JobChange};
use super::damage::{Damage, Stored};
use super::jobs::JobStep;
use super::lane::{Background, Lane};
use super::space::Space;
use super::sqlite::{self, DeadLetter, Filter, From, Kind, OpenError, Parked, Store, StoredReject};
use super::tail::{Next, Tail};
use super::writer::{Shown, Writer};
use super::{AcceptError, NoRoom, Options, Receipt, Replayed, Settlement, Submission, Usage};
use crate::accoil::Fingerprint;
use crate::event_id::EventId;
use crate::facts::{Facts, Received};
use crate::telemetry::Timings;

/// Submissions waiting for their commit may hold this much memory; beyond it senders are told to come again.
const ROOM_KIB: usize = 64 * 1024;
/// The newest chunks kept in memory for destinations that keep up.
const TAIL_BYTES: usize = 16 << 20;

/// Retries asked for by operators that a dispatcher may have before it.
const DUE: usize = 16;

/// Why something could not be read back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the outbox could not be read")]
    Database(#[from] rusqlite::Error),
    #[error("the outbox is closed")]
    Closed,
}

/// Why a replay or a purge was not done; nothing was changed.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("nothing was changed: {0}")]
pub struct ChangeError(#[from] pub AcceptError);

/// A cheap clone; the last one gone closes the outbox.
#[derive(Debug, Clone)]
pub struct Outbox {
    commands: mpsc::UnboundedSender<Command>,
    pub(super) shown: Arc<Shown>,
    reader: Arc<Mutex<Connection>>,
    room: Arc<Semaphore>,
    /// Held while calls are moved to another destination.
    pub(super) moving: Arc<tokio::sync::Mutex<()>>,
    thread: Arc<Mutex<Option<std::thread::JoinHandle<()>>>>,
    facts: Facts,
}

impl Outbox {
    /// Opens or creates it and starts its writer. Blocks on the disk; what was left by the last run is
    /// there to be read.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        Self::open_with(options, Facts::off())
    }

    /// The same; what is received is emitted as a fact after its commit.
    pub fn open_with(options: &Options, facts: Facts) -> Result<Self, OpenError> {
        let path = &options.path;
        let database = |source| OpenError::Database { path: path.clone(), source };
        let store = Store::open(path)?;
        sqlite::warn_of_readers(path);
        let reader = sqlite::open_reader(path)?;
        let damage = Damage::default();
        report_damage(&store.connection, &damage, path).map_err(database)?;
        let last = sqlite::last_id(&store.connection).map_err(database)?;
        let space = space(&store.connection, options).map_err(database)?;
        let shown = Arc::new(Shown {
            tail: Mutex::new(Tail::new(TAIL_BYTES, last)),
            latest: watch::Sender::new(last),
            failed: watch::Sender::new(false),
            space,
            damage,
            commits: Timings::default(),
            due: broadcast::Sender::new(DUE),
            background: Background::default(),
        });
        let writer = Writer::new(store, options, Arc::clone(&shown), facts.clone()).map_err(database)?;
        let (commands, received) = mpsc::unbounded_channel();
        let thread = std::thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || writer.run(received))
            .map_err(|source| OpenError::Writer { path: path.clone(), source })?;
        Ok(Self {
            commands,
            shown,
            reader: Arc::new(Mutex::new(reader)),
            room: Arc::new(Semaphore::new(ROOM_KIB)),
            moving: Arc::default(),
            facts,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Stores all that a post brought. Returns after it is on disk, or after nothing of it was stored.
    pub async fn accept(&self, submission: Submission) -> Result<Receipt, AcceptError> {
        self.store(submission, Lane::Live, None).await
    }

    /// The same for old events: their calls wait until no live call is ready. The caller waits for [`Background::room`] before.
    pub async fn accept_in_background(&self, submission: Submission) -> Result<Receipt, AcceptError> {
        self.store(submission, Lane::Background, None).await
    }

    /// Stores what a reject was replayed into, and removes the reject with the same commit.
    pub async fn replay_reject(&self, id: i64, submission: Submission) -> Result<Receipt, ChangeError> {
        Ok(self.store(submission, Lane::Background, Some(id)).await?)
    }

    async fn store(
        &self,
        submission: Submission,
        lane: Lane,
        replayed: Option<i64>,
    ) -> Result<Receipt, AcceptError> {
        if submission.accepted.is_empty() && submission.rejects.is_empty() && replayed.is_none() {
            // Nothing to commit.
            self.facts.received(Received { submission, duplicates: Vec::new(), is_replay: false });
            return Ok(Receipt::default());
        }
        let size = submission.size();
        self.shown.space.check(size as u64).map_err(|_| AcceptError::Full)?;
        let room = self.room_for(size)?;
        let (reply, receipt) = oneshot::channel();
        self.ask(Command::Accept { submission, replayed, lane, reply, room })?;
        receipt.await.unwrap_or(Err(AcceptError::Failed))
    }

    pub(super) fn ask(&self, command: Command) -> Result<(), AcceptError> {
        self.commands.send(command).map_err(|_| AcceptError::Failed)
    }

    /// Does a step of a job. False if the job is not running: then nothing was changed.
    pub async fn advance_job(&self, step: JobStep) -> Result<bool, ChangeError> {
        let size = step.size();
        self.shown.space.check(size as u64).map_err(|_| AcceptError::Full)?;
        let room = self.room_for(size)?;
        let (reply, moved) = oneshot::channel();
        self.ask(Command::Advance { step, reply, room })?;
        Ok(moved.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    pub(super) async fn change_jobs(
        &self,
        change: impl Fn(&Connection) -> rusqlite::Result<i64> + Send + 'static,
    ) -> Result<i64, ChangeError> {
        let (reply, changed) = oneshot::channel();
        self.ask(Command::ChangeJobs { change: JobChange(Box::new(change)), reply })?;
        Ok(changed.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    /// Room in memory until the commit.
    fn room_for(&self, size: usize) -> Result<OwnedSemaphorePermit, AcceptError> {
        let kib = u32::try_from(size.div_ceil(1024).min(ROOM_KIB)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| AcceptError::Busy)
    }

    /// Stores the requests of these dead letters anew, in this order, behind all that their users have waiting. Damaged
    /// ones stay.
    pub async fn replay_dead_letters(&self, dead_letters: Vec<i64>) -> Result<Replayed, ChangeError> {
        let (reply, changed) = oneshot::channel();
        self.ask(Command::Replay { dead_letters, reply })?;
        Ok(changed.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    /// Removes the dead letters and rejects with these numbers for good; returns how many there were.
    pub async fn purge(&self, ids: Vec<i64>) -> Result<usize, ChangeError> {
        let (reply, changed) = oneshot::channel();
        self.ask(Command::Purge { ids, reply })?;
        Ok(changed.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    /// Removes a batch of what is too old; returns whether more may be left. The owner calls it once a minute, so that an
    /// idle relay keeps nothing longer than promised.
    pub async fn keep_house(&self) -> Result<bool, ChangeError> {
        let (reply, kept) = oneshot::channel();
        self.ask(Command::KeepHouse { reply })?;
        Ok(kept.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    /// The calls in the background, and the room for more.
    pub fn background(&self) -> &Background {
        &self.shown.background
    }

    /// Bytes that wait to be delivered.
    pub fn waiting_bytes(&self) -> u64 {
        self.usage().waiting.bytes
    }

    /// What it holds. Costs a few atomic reads.
    pub fn usage(&self) -> Usage {
        self.shown.space.usage()
    }

    /// The most bytes that may wait, and the least that must stay free on the disk.
    pub fn limits(&self) -> (u64, u64) {
        self.shown.space.limits()
    }

    /// How long commits took.
    pub fn commit_timings(&self) -> &Timings {
        &self.shown.commits
    }

    /// Bytes that its disk has left; `None` if the disk does not answer. Costs one system call.
    pub fn free_disk(&self) -> Option<u64> {
        self.shown.space.free_disk()
    }

    /// Why nothing is accepted at the moment, if so.
    pub fn room(&self) -> Result<(), NoRoom> {
        self.shown.space.room_for_a_post()
    }

    /// When the oldest event of which a call waits was received; `None` if nothing waits, or it is of an earlier version.
    /// Two indexed reads.
    pub async fn oldest_waiting(&self) -> Result<Option<DateTime<Utc>>, ReadError> {
        self.read(|reader| {
            let oldest = [sqlite::oldest_parked(reader)?, sqlite::oldest_in_chunks(reader)?];
            Ok(oldest.into_iter().flatten().filter(|id| id.has_time()).min().map(EventId::time))
        })
        .await
    }

    /// Requests that wait for other destinations than these, by destination: such are no longer configured. Reads
    /// all that waits, a chunk at a time.
    pub async fn waiting_for_others(&self, known: &[&str]) -> Result<BTreeMap<String, u64>, ReadError> {
        let mut others = self.read(sqlite::parked_destinations).await?;
        let mut cursor = 0;
        while let Some(chunk) = self.read(move |reader| sqlite::after(reader, cursor)).await? {
            cursor = chunk.id;
            chunk.count(&mut others);
        }
        others.retain(|name, _| !known.contains(&name.as_str()));
        Ok(others)
    }

    /// Reports what became of requests; durable with the next commit.
    pub fn settle(&self, settlements: Vec<Settlement>) {
        // A closed writer means that the calls are made once more after the next start.
        let _ = self.commands.send(Command::Settle(settlements));
    }

    /// Returns when all that was settled before is on disk.
    pub async fn flush(&self) -> Result<(), ReadError> {
        // Answered with the commit of its group.
        self.parked("", Vec::new()).await.map(drop)
    }

    /// The first chunk after this id, from memory if it is there; `None` when there is none yet.
    pub async fn chunk_after(&self, id: i64) -> Result<Option<Arc<Chunk>>, ReadError> {
        let next = self.shown.tail.lock().unwrap_or_else(PoisonError::into_inner).after(id);
        match next {
            Next::Chunk(chunk) => Ok(Some(chunk)),
            Next::None => Ok(None),
            Next::OnDisk => {
                let chunk = self.read(move |reader| sqlite::after(reader, id)).await?;
                if let Some(damaged) = chunk.as_ref().filter(|chunk| !chunk.is_sound) {
                    self.shown.damage.report(Stored::Chunk, damaged.id);
                }
                Ok(chunk.map(Arc::new))
            }
        }
    }

    /// The users whose parked calls an operator made due. A receiver that misses some must take all as due.
    pub fn made_due(&self) -> broadcast::Receiver<Arc<[(String, String)]>> {
        self.shown.due.subscribe()
    }

    /// Changes whenever a chunk was committed.
    pub fn latest(&self) -> watch::Receiver<i64> {
        self.shown.latest.subscribe()
    }

    /// Turns true, for good, when a commit has failed.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.shown.failed.subscribe()
    }

    /// The first parked requests of each of these users, in order, with all that was settled before.
    pub async fn parked(&self, destination: &str, users: Vec<String>) -> Result<Vec<Parked>, ReadError> {
        let (reply, parked) = oneshot::channel();
        let destination = destination.to_owned();
        self.commands.send(Command::Parked { destination, users, reply }).map_err(|_| ReadError::Closed)?;
        parked.await.map_err(|_| ReadError::Closed)
    }

    /// Users with something parked, and when the first of it is to be tried again.
    pub async fn parked_users(
        &self,
        destination: &str,
    ) -> Result<Vec<(String, Option<DateTime<Utc>>)>, ReadError> {
        let destination = destination.to_owned();
        self.read(move |reader| sqlite::parked_users(reader, &destination)).await
    }

    /// The newest chunk that something parked came from: chunks up to it may hold earlier requests of the same
    /// users, which are to be loaded before theirs go on.
    pub async fn last_parked_chunk(&self, destination: &str) -> Result<Option<i64>, ReadError> {
        let destination = destination.to_owned();
        self.read(move |reader| sqlite::last_parked_chunk(reader, &destination)).await
    }

    /// What derived calls said last, and when that was stored, the oldest first.
    pub async fn said(&self, most: usize) -> Result<Vec<(Fingerprint, DateTime<Utc>)>, ReadError> {
        self.read(move |reader| sqlite::said(reader, most)).await
    }

    /// The newest dead letters first.
    pub async fn dead_letters(&self, most: usize) -> Result<Vec<DeadLetter>, ReadError> {
        let from = From::Before(i64::MAX);
        let found =
            self.read(move |reader| sqlite::dead_letters(reader, &Filter::default(), from, most)).await?;
        self.report(
            Stored::DeadLetter,
            found.iter().filter(|letter| letter.is_damaged).map(|letter| letter.id),
        );
        Ok(found)
    }

    /// The numbers of one kind above `after`, in order.
    pub async fn numbers(
        &self,
        kind: Kind,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<i64>, ReadError> {
        let filter = filter.clone();
        self.read(move |reader| sqlite::numbers(reader, kind, &filter, From::After(after), most)).await
    }

    /// The highest number that was given to a dead letter or a reject.
    pub async fn newest_number(&self) -> Result<i64, ReadError> {
        self.read(sqlite::newest_number).await
    }

    /// One reject, if it is still there.
    pub async fn reject(&self, id: i64) -> Result<Option<StoredReject>, ReadError> {
        let filter = Filter { ids: vec![id], ..Filter::default() };
        let found = self.read(move |reader| sqlite::rejects(reader, &filter, From::After(0), 1)).await?;
        self.report(Stored::Reject, found.iter().filter(|reject| reject.is_damaged).map(|reject| reject.id));
        Ok(found.into_iter().next())
    }

    /// The rejects with numbers above `after`, in order.
    pub async fn rejects_after(
        &self,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<StoredReject>, ReadError> {
        let filter = filter.clone();
        self.read(move |reader| sqlite::rejects(reader, &filter, From::After(after), most)).await
    }

    /// The dead letters with numbers above `after`, in order.
    pub async fn dead_letters_after(
        &self,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let filter = filter.clone();
        self.read(move |reader| sqlite::dead_letters(reader, &filter, From::After(after), most)).await
    }

    /// The newest rejects first.
    pub async fn rejects(&self, most: usize) -> Result<Vec<StoredReject>, ReadError> {
        let from = From::Before(i64::MAX);
        let found = self.read(move |reader| sqlite::rejects(reader, &Filter::default(), from, most)).await?;
        self.report(Stored::Reject, found.iter().filter(|reject| reject.is_damaged).map(|reject| reject.id));
        Ok(found)
    }

    fn report(&self, stored: Stored, damaged: impl Iterator<Item = i64>) {
        damaged.for_each(|id| self.shown.damage.report(stored, id));
    }

    /// How many damaged rows of this kind were found since the start.
    pub fn damaged(&self, stored: Stored) -> u64 {
        self.shown.damage.count(stored)
    }

    /// Commits what is waiting and closes the file. Later accepts fail; blocks until the writer has ended.
    pub async fn close(&self) {
        let _ = self.commands.send(Command::Close);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let reader = Arc::clone(&self.reader);
        let read = move || query(&reader.lock().unwrap_or_else(PoisonError::into_inner));
        let result = tokio::task::spawn_blocking(read).await.map_err(|_| ReadError::Closed)?;
        if let Err(error) = &result
            && sqlite::is_damaged(error)
            && !self.shown.failed.send_replace(true)
        {
            tracing::error!(
                error.message = %error,
                "the outbox's database file is damaged: nothing more is accepted; restart with `serve --recover-outbox`"
            );
        }
        Ok(result?)
    }
}

/// Progress is repaired. In a file of moderate size every row that would be sent is looked at; damage in a larger one is
/// found when its row is read.
fn report_damage(connection: &Connection, damage: &Damage, path: &Path) -> rusqlite::Result<()> {
    for chunk in sqlite::repair_progress(connection)? {
        damage.report(Stored::Progress, chunk);
    }
    if sqlite::is_moderate(path) {
        for id in sqlite::damaged_calls(connection)? {
            damage.report(Stored::Call, id);
        }
        for (kind, stored) in [(Kind::DeadLetter, Stored::DeadLetter), (Kind::Reject, Stored::Reject)] {
            for id in sqlite::damaged_letters(connection, kind)? {
                damage.report(stored, id);
            }
        }
    }
    Ok(())
}

fn space(connection: &Connection, options: &Options) -> rusqlite::Result<Space> {
    let mut waiting = sqlite::chunk_amount(connection)?;
    waiting.add(sqlite::parked_amount(connection)?);
    let usage = Usage {
        waiting,
        dead_letters: sqlite::kept_amount(connection, Kind::DeadLetter)?,
        rejects: sqlite::kept_amount(connection, Kind::Reject)?,
    };
    Ok(Space::new(options, usage, sqlite::reusable_bytes(connection)?))
}
