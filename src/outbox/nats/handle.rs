//! The handle of an outbox in a NATS cluster: it opens and closes it, and gives commands to the committer.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::chunk::Job;
use super::super::jobs::{JobChange, JobStep};
use super::super::priority::Background;
use super::super::recent::Recent;
use super::super::sqlite::Mirror;
use super::super::{
    AcceptError, ChangeError, Lanes, NoRoom, Priority, ReadError, Receipt, Replayed, Stored, Submission,
    Usage,
};
use super::command::{Command, Reply};
use super::commit::{Committer, Settings};
use super::error::OpenError;
use super::ids::AcceptedIds;
use super::options::Options;
use super::shared::Shared;
use super::subject::Subjects;
use super::{catch_up, connect, copy_folder, fits, follow, stream};
use crate::facts::{Facts, Received};
use crate::tasks::Tasks;
use crate::telemetry::Timings;

/// The most bytes of submissions that wait for their batch.
const SUBMISSION_MEMORY_KIB: usize = 64 * 1024;
/// A sender gets its answer within this time.
const ANSWER: Duration = Duration::from_millis(950);
/// The most records that one command changes. Each may need three messages, and a batch has a limit.
pub(super) const AT_A_TIME: usize = 100;
/// How long the last batch may take when the relay stops.
const CLOSE: Duration = Duration::from_secs(5);

/// The handle of an open outbox. Clones share it.
#[derive(Debug, Clone)]
pub struct Outbox {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    room: Arc<Semaphore>,
    moving: Arc<tokio::sync::Mutex<()>>,
    settings: Settings,
    facts: Facts,
    /// Ends the tasks when the last handle outside of them is dropped.
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
        let ids =
            AcceptedIds::new(Recent::new(options.deduplication_ids, options.longest_window, Utc::now()));
        let subjects = Subjects::new(&options.stream);
        let shared = Arc::new(Shared::new(
            client,
            context,
            subjects,
            meta,
            relay,
            mirror,
            folder,
            ids,
            Tasks::new(broken),
            options.moves_to.clone(),
        ));
        let log = catch_up::catch_up(&shared).await.map_err(failed)?;
        let settings = Settings {
            lease: options.lease,
            call_timeout: options.call_timeout,
            longest_window: options.longest_window,
            deduplication_ids: options.deduplication_ids,
            largest_event: fits::largest_event(shared.client.server_info().max_payload),
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
            self.facts.received(&Received::new(&submission));
            return Ok(Receipt::default());
        }
        if self.shared.is_away() {
            return Err(AcceptError::Away);
        }
        let submission = self.fitting(submission).await?;
        let size = submission.size();
        room_for(&self.shared, &self.settings, size as u64).map_err(|_| AcceptError::Full)?;
        let room = self.memory_for(size)?;
        let (reply, receipt) = oneshot::channel();
        self.ask(Command::Accept { submission, replayed, priority, rejects_stored: 0, reply, room })?;
        tokio::time::timeout(ANSWER, receipt)
            .await
            .map_or(Err(AcceptError::Away), |receipt| receipt.unwrap_or(Err(AcceptError::Failed)))
    }

    /// Returns the submission if each of its events fits into a message.
    async fn fitting(&self, submission: Submission) -> Result<Submission, AcceptError> {
        let largest = self.settings.largest_event;
        if !fits::is_doubtful(&submission, largest) {
            return Ok(submission);
        }
        let check = move || fits::fits(&submission, largest).then_some(submission);
        let checked = tokio::task::spawn_blocking(check).await.map_err(|_| AcceptError::Failed)?;
        checked.ok_or(AcceptError::TooLarge)
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

    pub async fn advance_job(&self, step: JobStep) -> Result<Option<usize>, ChangeError> {
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

    /// Waits until this process owns all lanes. Returns false if another relay still works.
    pub async fn owns_all_lanes(&self, within: Duration) -> bool {
        let mut lanes = self.lanes();
        let all = lanes.wait_for(|lanes| lanes.owned.len() >= usize::from(lanes.all));
        tokio::time::timeout(within, all).await.is_ok_and(|all| all.is_ok())
    }

    /// From now on no relay works on this outbox.
    pub async fn mark_moved(&self, to: String) -> Result<(), ChangeError> {
        self.change(|reply| Command::MarkMoved { to, reply }).await
    }

    pub fn moving(&self) -> &tokio::sync::Mutex<()> {
        &self.moving
    }

    pub async fn flush(&self) -> Result<(), ReadError> {
        let (reply, done) = oneshot::channel();
        self.commands.send(Command::Flush { reply }).map_err(|_| ReadError::Closed)?;
        done.await.map_err(|_| ReadError::Closed)
    }

    /// Stores all waiting commands, and gives back the lanes.
    pub async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::Close { reply }).is_ok() {
            let _ = tokio::time::timeout(CLOSE, done).await;
        }
        self.shared.stop(Duration::from_secs(1)).await;
        // Each lane holds a handle too.
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

    /// Returns whether the outbox was moved. Waits for the cluster if it does not answer.
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

    /// The most bytes that may wait. The disks are the cluster's and not watched by the relay.
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

    /// A cluster has no running time, so ages are differences of wall time.
    pub fn running_time(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// Returns whether this many more bytes may wait.
pub(super) fn room_for(shared: &Shared, settings: &Settings, bytes: u64) -> Result<(), NoRoom> {
    let waiting = shared.with_state(|state| state.waiting());
    if waiting.bytes + bytes > settings.max_bytes {
        return Err(NoRoom::Waiting);
    }
    let (dead_letters, _) = *shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
    if dead_letters.bytes > settings.dead_letters.bytes { Err(NoRoom::DeadLetters) } else { Ok(()) }
}
