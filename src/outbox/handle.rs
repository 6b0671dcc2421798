//! The public handle of the outbox, which every stage clones. The contract is in the module above.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch};

use super::chunk::Chunk;
use super::clock::Clock;
use super::command::{Command, JobChange};
use super::damage::{Damage, Stored};
use super::jobs::JobStep;
use super::lane::{Background, Lane};
use super::space::Space;
use super::sqlite::{self, DeadLetter, Filter, From, Kind, OpenError, Parked, Store, StoredReject};
use super::tail::{Next, Tail};
use super::writer::{Shown, Writer};
use super::{AcceptError, NoRoom, Options, Receipt, Replayed, Retry, Settlement, Submission, Usage};
use crate::accoil::Fingerprint;
use crate::event_id::EventId;
use crate::facts::{Facts, Received};
use crate::telemetry::Timings;

/// The memory for submissions that wait for their commit. If it is used up, senders are asked to try again.
const SUBMISSION_MEMORY_KIB: usize = 64 * 1024;
/// The size of the newest chunks that are kept in memory for destinations without a backlog.
const TAIL_BYTES: usize = 16 << 20;

/// The number of operators' retries that may queue for a dispatcher.
const DUE_CAPACITY: usize = 16;

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

/// A cheap clone. The outbox closes when the last clone is dropped.
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
    /// Opens or creates the outbox and starts its writer. Blocks on the disk. What the last run left can be read.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        Self::open_with(options, Facts::off())
    }

    /// Like [`Self::open`]; emits what is received as a fact after its commit.
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
        let clock = Clock::new(sqlite::running_time(&store.connection).map_err(database)?);
        let shown = Arc::new(Shown {
            tail: Mutex::new(Tail::new(TAIL_BYTES, last)),
            latest: watch::Sender::new(last),
            failed: watch::Sender::new(false),
            space,
            damage,
            commits: Timings::default(),
            due: broadcast::Sender::new(DUE_CAPACITY),
            background: Background::default(),
            clock,
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
            room: Arc::new(Semaphore::new(SUBMISSION_MEMORY_KIB)),
            moving: Arc::default(),
            facts,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Stores everything that a post brought. Returns after it is on disk, or after nothing of it was stored.
    pub async fn accept(&self, submission: Submission) -> Result<Receipt, AcceptError> {
        self.store(submission, Lane::Live, None).await
    }

    /// Accepts old events: their calls wait until no live call is ready. The caller must wait for
    /// [`Background::room`] before.
    pub async fn accept_in_background(&self, submission: Submission) -> Result<Receipt, AcceptError> {
        self.store(submission, Lane::Background, None).await
    }

    /// Stores the result of replaying a reject, and removes the reject in the same commit.
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

    /// Stores a step of a job. Returns false if the job is not running; nothing was changed then.
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

    /// Takes memory until the commit.
    fn room_for(&self, size: usize) -> Result<OwnedSemaphorePermit, AcceptError> {
        let kib = u32::try_from(size.div_ceil(1024).min(SUBMISSION_MEMORY_KIB)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| AcceptError::Busy)
    }

    /// Stores the requests of these dead letters again, in this order, after all waiting calls of their users. Damaged
    /// dead letters stay.
    pub async fn replay_dead_letters(&self, dead_letters: Vec<i64>) -> Result<Replayed, ChangeError> {
        let (reply, changed) = oneshot::channel();
        self.ask(Command::Replay { dead_letters, reply })?;
        Ok(changed.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    /// Removes the dead letters and rejects with these numbers permanently; returns how many existed.
    pub async fn purge(&self, ids: Vec<i64>) -> Result<usize, ChangeError> {
        let (reply, changed) = oneshot::channel();
        self.ask(Command::Purge { ids, reply })?;
        Ok(changed.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    /// Removes a batch of expired rows; returns whether more may be left. The owner calls it once a minute, so that
    /// an idle relay keeps nothing longer than promised.
    pub async fn keep_house(&self) -> Result<bool, ChangeError> {
        let (reply, kept) = oneshot::channel();
        self.ask(Command::KeepHouse { reply })?;
        Ok(kept.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    /// Returns the background calls and the room for more.
    pub fn background(&self) -> &Background {
        &self.shown.background
    }

    /// Returns the bytes that wait for delivery.
    pub fn waiting_bytes(&self) -> u64 {
        self.usage().waiting.bytes
    }

    /// Returns what the outbox contains. Costs a few atomic reads.
    pub fn usage(&self) -> Usage {
        self.shown.space.usage()
    }

    /// Returns the most bytes that may wait, and the least that must stay free on the disk.
    pub fn limits(&self) -> (u64, u64) {
        self.shown.space.limits()
    }

    /// How long commits took.
    pub fn commit_timings(&self) -> &Timings {
        &self.shown.commits
    }

    /// Returns the free bytes of its disk; `None` if the disk does not answer. Costs one system call.
    pub fn free_disk(&self) -> Option<u64> {
        self.shown.space.free_disk()
    }

    /// Returns why nothing is accepted at present, if so.
    pub fn room(&self) -> Result<(), NoRoom> {
        self.shown.space.room_for_a_post()
    }

    /// Returns when the oldest event with a waiting call was received; `None` if nothing waits or the event is of an
    /// earlier version. Costs two indexed reads.
    pub async fn oldest_waiting(&self) -> Result<Option<DateTime<Utc>>, ReadError> {
        self.read(|reader| {
            let oldest = [sqlite::oldest_parked(reader)?, sqlite::oldest_in_chunks(reader)?];
            Ok(oldest.into_iter().flatten().filter(|id| id.has_time()).min().map(EventId::time))
        })
        .await
    }

    /// Returns the number of waiting requests by destination, for all destinations except these: the others are no
    /// longer configured. Reads the whole backlog, one chunk at a time.
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

    /// Reports how requests ended; durable with the next commit.
    pub fn settle(&self, settlements: Vec<Settlement>) {
        // If the writer is closed, the calls are made once more after the next start.
        let _ = self.commands.send(Command::Settle(settlements));
    }

    /// Returns when all earlier settlements are on disk.
    pub async fn flush(&self) -> Result<(), ReadError> {
        // Answered with the commit of its group.
        self.parked("", Vec::new()).await.map(drop)
    }

    /// Returns the first chunk after this id, from memory if possible; `None` if there is none yet.
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

    /// Returns the users whose parked calls an operator made due. A receiver that missed some must treat all users as
    /// due.
    pub fn made_due(&self) -> broadcast::Receiver<Arc<[(String, String)]>> {
        self.shown.due.subscribe()
    }

    /// Changes with every committed chunk.
    pub fn latest(&self) -> watch::Receiver<i64> {
        self.shown.latest.subscribe()
    }

    /// Becomes true, permanently, when a commit has failed.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.shown.failed.subscribe()
    }

    /// Returns the first parked requests of each of these users, in order, after all earlier settlements.
    pub async fn parked(&self, destination: &str, users: Vec<String>) -> Result<Vec<Parked>, ReadError> {
        let (reply, parked) = oneshot::channel();
        let destination = destination.to_owned();
        self.commands.send(Command::Parked { destination, users, reply }).map_err(|_| ReadError::Closed)?;
        parked.await.map_err(|_| ReadError::Closed)
    }

    /// The time by which calls become old: it moves only while the relay runs, whatever the wall clock does.
    pub fn running_time(&self) -> DateTime<Utc> {
        self.shown.clock.now().running
    }

    /// Users with parked calls, and when the first of these is tried again.
    pub async fn parked_users(&self, destination: &str) -> Result<Vec<(String, Option<Retry>)>, ReadError> {
        let destination = destination.to_owned();
        self.read(move |reader| sqlite::parked_users(reader, &destination)).await
    }

    /// How many requests of a destination are parked in the background.
    pub async fn parked_in_background(&self, destination: &str) -> Result<u64, ReadError> {
        let destination = destination.to_owned();
        self.read(move |reader| sqlite::parked_in_background(reader, &destination)).await
    }

    /// Returns the newest chunk that a parked request came from. Chunks up to it may contain earlier requests of the
    /// same users, which must be loaded before the parked ones are sent.
    pub async fn last_parked_chunk(&self, destination: &str) -> Result<Option<i64>, ReadError> {
        let destination = destination.to_owned();
        self.read(move |reader| sqlite::last_parked_chunk(reader, &destination)).await
    }

    /// Returns the fingerprints that were delivered last and when each was stored, oldest first.
    pub async fn last_delivered(&self, most: usize) -> Result<Vec<(Fingerprint, DateTime<Utc>)>, ReadError> {
        self.read(move |reader| sqlite::last_delivered(reader, most)).await
    }

    /// Returns the newest dead letters first.
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

    /// Returns the numbers of one kind above `after`, in order.
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

    /// Returns the highest number ever given to a dead letter or a reject.
    pub async fn newest_number(&self) -> Result<i64, ReadError> {
        self.read(sqlite::newest_number).await
    }

    /// Returns one reject, if it still exists.
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

    /// Returns the newest rejects first.
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

    /// Commits what is waiting and closes the file. Later calls of accept fail. Blocks until the writer has ended.
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
