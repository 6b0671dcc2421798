//! The handle of an outbox in a NATS cluster: every operation, as commands to the committer or as reads of the local copy.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::chunk::Job;
use super::super::jobs::{Job as Task, JobChange, JobStep};
use super::super::priority::Background;
use super::super::recent::Recent;
use super::super::sqlite::Mirror;
use super::super::{
    AcceptError, Archive, ChangeError, DeadLetter, Filter, Group, Kind, Lanes, NoRoom,
    OpenError as AnyOpenError, PageFrom, Position, Priority, ReadError, Receipt, Replayed, Stored,
    StoredReject, Submission, Usage, WaitingFilter, WaitingPage,
};
use super::command::{Command, Reply};
use super::commit::{Committer, Settings};
use super::error::OpenError;
use super::options::Options;
use super::scan::{self, Scan};
use super::shared::Shared;
use super::subject::Subjects;
use super::{connect, copy_folder, follow, stream};
use crate::event_id::EventId;
use crate::facts::{Facts, Received};
use crate::tasks::Tasks;
use crate::telemetry::Timings;

/// The memory for submissions that wait for their batch.
const SUBMISSION_MEMORY_KIB: usize = 64 * 1024;
/// A sender gets its answer within a second.
const ANSWER: Duration = Duration::from_millis(950);
/// How long a read waits for what this relay stored before it.
pub(super) const READ_ANSWER: Duration = Duration::from_secs(5);
/// Records that one command changes: each may be three messages of a batch, and a batch has a limit.
pub(super) const AT_A_TIME: usize = 100;
/// How long the last batch may take when the relay stops.
const CLOSE: Duration = Duration::from_secs(5);

/// A cheap clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    room: Arc<Semaphore>,
    moving: Arc<tokio::sync::Mutex<()>>,
    settings: Settings,
    facts: Facts,
    /// Ends the tasks with the last handle outside of them.
    end: Option<Arc<DropGuard>>,
}

impl Outbox {
    /// Connects, reads what the relays share, and begins to take lanes.
    pub async fn open(
        options: &Options,
        facts: Facts,
        broken: &CancellationToken,
    ) -> Result<Self, OpenError> {
        let (client, context) = connect::connect(options).await?;
        let meta = stream::open(&client, &context, options).await?;
        let relay = uuid::Uuid::new_v4().simple().to_string()[..12].to_owned();
        let failed = |source| OpenError::Stream { stream: options.stream.clone(), source };
        let folder = copy_folder::create(&relay).map_err(|error| failed(Box::new(error)))?;
        let mirror = Mirror::create(&folder.join("copy.db")).map_err(|error| failed(Box::new(error)))?;
        let recent = Recent::new(options.deduplication_ids, options.longest_window, Utc::now());
        let subjects = Subjects::new(&options.stream);
        let shared = Arc::new(Shared::new(
            client,
            context,
            subjects,
            meta,
            relay,
            mirror,
            folder,
            recent,
            Tasks::new(broken),
        ));
        let log = follow::catch_up(&shared).await.map_err(failed)?;
        let settings = Settings {
            lease: options.lease,
            call_timeout: options.call_timeout,
            longest_window: options.longest_window,
            max_bytes: options.max_bytes,
            dead_letters: options.dead_letters,
            rejects: options.rejects,
        };
        let (commands, received) = mpsc::unbounded_channel();
        let mut outbox = Self {
            shared: Arc::clone(&shared),
            commands,
            room: Arc::new(Semaphore::new(SUBMISSION_MEMORY_KIB)),
            moving: Arc::default(),
            settings: settings.clone(),
            facts: facts.clone(),
            end: None,
        };
        let committer = Committer::new(Arc::clone(&shared), settings, facts, outbox.clone());
        outbox.end = Some(Arc::new(shared.end_with_me()));
        shared.spawn("follower of the outbox", follow::follow(Arc::clone(&shared), log));
        shared.spawn("committer of the outbox", committer.run(received));
        Ok(outbox)
    }

    pub async fn accept(
        &self,
        submission: Submission,
        priority: Priority,
        replayed: Option<i64>,
    ) -> Result<Receipt, AcceptError> {
        if submission.accepted.is_empty() && submission.rejects.is_empty() && replayed.is_none() {
            // Nothing to store.
            self.facts.received(Received { submission, duplicates: Vec::new(), is_replay: false });
            return Ok(Receipt::default());
        }
        if self.shared.is_away() {
            return Err(AcceptError::Away);
        }
        let size = submission.size();
        room_for(&self.shared, &self.settings, size as u64).map_err(|_| AcceptError::Full)?;
        let room = self.memory_for(size)?;
        let (reply, receipt) = oneshot::channel();
        self.ask(Command::Accept { submission, replayed, priority, rejects_stored: 0, reply, room })?;
        tokio::time::timeout(ANSWER, receipt)
            .await
            .map_or(Err(AcceptError::Away), |receipt| receipt.unwrap_or(Err(AcceptError::Failed)))
    }

    fn ask(&self, command: Command) -> Result<(), AcceptError> {
        self.commands.send(command).map_err(|_| AcceptError::Failed)
    }

    fn memory_for(&self, size: usize) -> Result<OwnedSemaphorePermit, AcceptError> {
        let kib = u32::try_from(size.div_ceil(1024).min(SUBMISSION_MEMORY_KIB)).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| AcceptError::Busy)
    }

    async fn change<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, ChangeError> {
        let (reply, changed) = oneshot::channel();
        self.ask(command(reply))?;
        Ok(changed.await.unwrap_or(Err(AcceptError::Failed))?)
    }

    pub async fn replay_dead_letters(&self, dead_letters: Vec<i64>) -> Result<Replayed, ChangeError> {
        let mut all = Replayed::default();
        for some in dead_letters.chunks(AT_A_TIME) {
            let dead_letters = some.to_vec();
            let replayed = self.change(|reply| Command::Replay { dead_letters, reply }).await?;
            all.calls += replayed.calls;
            all.damaged.extend(replayed.damaged);
        }
        Ok(all)
    }

    pub async fn purge(&self, ids: Vec<i64>) -> Result<usize, ChangeError> {
        let mut purged = 0;
        for ids in ids.chunks(AT_A_TIME) {
            purged += self.change(|reply| Command::Purge { ids: ids.to_vec(), reply }).await?;
        }
        Ok(purged)
    }

    pub async fn change_job(&self, change: JobChange) -> Result<i64, ChangeError> {
        self.change(|reply| Command::ChangeJob { change, reply }).await
    }

    pub async fn advance_job(&self, step: JobStep) -> Result<bool, ChangeError> {
        let size = step.size();
        room_for(&self.shared, &self.settings, size as u64).map_err(|_| AcceptError::Full)?;
        let room = self.memory_for(size)?;
        self.change(|reply| Command::Advance { step, reply, room }).await
    }

    pub async fn keep_value(&self, name: String, value: Option<i64>) -> Result<(), ChangeError> {
        self.change(|reply| Command::KeepValue { name, value, reply }).await
    }

    pub async fn keep_house(&self) -> Result<bool, ChangeError> {
        self.change(|reply| Command::KeepHouse { reply }).await
    }

    pub async fn retry_users(&self, users: Vec<(String, String)>) -> Result<usize, ChangeError> {
        for some in users.chunks(AT_A_TIME) {
            self.change(|reply| Command::Retry { users: some.to_vec(), reply }).await?;
        }
        Ok(users.len())
    }

    /// Only calls that are parked can be moved; [`Self::waiting`] gives no others.
    pub async fn move_calls(&self, jobs: Vec<Job>, to: Option<String>) -> Result<usize, ChangeError> {
        let mut moved = 0;
        for jobs in jobs.chunks(AT_A_TIME) {
            let (jobs, to) = (jobs.to_vec(), to.clone());
            moved += self.change(|reply| Command::Move { jobs, to, reply }).await?;
        }
        Ok(moved)
    }

    pub fn moving(&self) -> &tokio::sync::Mutex<()> {
        &self.moving
    }

    /// Reads the local copy, with everything that this relay stored before.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&mut Mirror) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let stored = self.shared.followed(self.shared.stored());
        tokio::time::timeout(READ_ANSWER, stored).await.map_err(|_| ReadError::Away)?;
        self.shared.read(query).await
    }

    pub async fn jobs(&self, most: usize) -> Result<Vec<Task>, ReadError> {
        self.read(move |mirror| mirror.jobs(most)).await
    }

    pub async fn job(&self, id: i64) -> Result<Option<Task>, ReadError> {
        self.read(move |mirror| mirror.job(id)).await
    }

    pub async fn kept_values(&self, begin: &'static str) -> Result<Vec<(String, i64)>, ReadError> {
        self.read(move |mirror| mirror.values(begin)).await
    }

    pub async fn dead_letters(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<DeadLetter>, ReadError> {
        let filter = filter.clone();
        self.read(move |mirror| mirror.dead_letters_page(&filter, from, most)).await
    }

    pub async fn rejects(
        &self,
        filter: &Filter,
        from: PageFrom,
        most: usize,
    ) -> Result<Vec<StoredReject>, ReadError> {
        let filter = filter.clone();
        self.read(move |mirror| mirror.rejects_page(&filter, from, most)).await
    }

    pub async fn numbers(
        &self,
        kind: Kind,
        filter: &Filter,
        after: i64,
        most: usize,
    ) -> Result<Vec<i64>, ReadError> {
        let filter = filter.clone();
        self.read(move |mirror| mirror.numbers(kind, &filter, after, most)).await
    }

    pub async fn newest_number(&self) -> Result<i64, ReadError> {
        self.read(|mirror| mirror.newest_number()).await
    }

    pub async fn groups(&self) -> Result<Vec<Group>, ReadError> {
        self.read(|mirror| mirror.groups()).await
    }

    pub fn archive(&self) -> Result<Archive, AnyOpenError> {
        let path = self.shared.mirror.lock().unwrap_or_else(PoisonError::into_inner).path().to_owned();
        Archive::open(&path)
    }

    /// Returns the waiting calls of all lanes, also of those that other relays own.
    pub async fn waiting(
        &self,
        filter: WaitingFilter,
        after: Option<Position>,
        most: usize,
    ) -> Result<WaitingPage, ReadError> {
        tokio::time::timeout(READ_ANSWER, self.flush()).await.map_err(|_| ReadError::Away)??;
        scan::page(&self.shared, &filter, after, most).await
    }

    pub async fn waiting_by_destination(&self) -> Result<BTreeMap<String, u64>, ReadError> {
        let mut counts = self.read(|mirror| mirror.parked_destinations()).await?;
        let mut scan = Scan::all(&self.shared).await?;
        while let Some(chunk) = scan.next().await? {
            chunk.count(&mut counts);
        }
        Ok(counts)
    }

    pub async fn oldest_waiting(&self) -> Result<Option<DateTime<Utc>>, ReadError> {
        let parked = self.read(|mirror| mirror.oldest_parked()).await?;
        let first = Scan::all(&self.shared).await?.next().await?;
        let in_chunks = first.and_then(|chunk| chunk.all_jobs().first().map(|job| job.event));
        let oldest = [parked, in_chunks].into_iter().flatten().filter(|id| id.has_time());
        Ok(oldest.min().map(EventId::time))
    }

    pub async fn flush(&self) -> Result<(), ReadError> {
        let (reply, done) = oneshot::channel();
        self.commands.send(Command::Flush { reply }).map_err(|_| ReadError::Closed)?;
        done.await.map_err(|_| ReadError::Closed)
    }

    /// Gives back the lanes, and stores what waits.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Close { reply }).is_ok() {
            let _ = tokio::time::timeout(CLOSE, done).await;
        }
        self.shared.stop(Duration::from_secs(1)).await;
        // A lane has a handle of its own.
        self.shared.lanes.send_modify(|lanes| lanes.owned.clear());
        let _ = std::fs::remove_dir_all(&self.shared.folder);
    }

    pub fn lanes(&self) -> watch::Receiver<Lanes> {
        self.shared.lanes.subscribe()
    }

    pub fn committed(&self) -> watch::Receiver<i64> {
        self.shared.committed.subscribe()
    }

    pub fn made_due(&self) -> broadcast::Receiver<Arc<[(String, String)]>> {
        self.shared.due.subscribe()
    }

    /// Never true: a cluster that does not answer is waited for.
    pub fn failed(&self) -> watch::Receiver<bool> {
        self.shared.failed.subscribe()
    }

    pub fn room(&self) -> Result<(), NoRoom> {
        room_for(&self.shared, &self.settings, 0)
    }

    pub fn usage(&self) -> Usage {
        let (dead_letters, rejects) = *self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.with_state(|state| state.usage(dead_letters, rejects))
    }

    /// The most bytes that may wait; the disks are the cluster's own.
    pub const fn limits(&self) -> (u64, u64) {
        (self.settings.max_bytes, 0)
    }

    pub const fn free_disk(&self) -> Option<u64> {
        None
    }

    pub fn background(&self) -> &Background {
        &self.shared.background
    }

    pub fn commit_timings(&self) -> &Timings {
        &self.shared.commits
    }

    pub fn damaged(&self, stored: Stored) -> u64 {
        self.shared.damage.count(stored)
    }

    /// The cluster has no running time: ages count the wall clock's.
    pub fn running_time(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Whether this many more bytes may wait.
pub(super) fn room_for(shared: &Shared, settings: &Settings, bytes: u64) -> Result<(), NoRoom> {
    let waiting = shared.with_state(|state| state.waiting());
    if waiting.bytes + bytes > settings.max_bytes {
        return Err(NoRoom::Waiting);
    }
    let (dead_letters, _) = *shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
    if dead_letters.bytes > settings.dead_letters.bytes { Err(NoRoom::DeadLetters) } else { Ok(()) }
}
