//! The only task that writes to the stream. It takes all waiting commands, stores them as one atomic batch, then answers the callers.
//!
//! One batch is in flight at a time, so that groups grow by themselves under load. The last message of each batch is this relay's
//! own record, and the batch is stored only if the relay's record before it is unchanged. So a later batch never overtakes an earlier
//! one. If another relay took over this relay's lanes, it changed that record, and this relay must read what happened before it stores
//! anything (`unsure`). Senders wait at most [`ANSWER`]; settlements are kept until they are stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::super::sqlite::Mirror;
use super::super::{AcceptError, NoRoom, Retention};
use super::batch::{self, BatchError, Message};
use super::codec::{self, RelayRecord};
use super::command::Command;
use super::fold::Places;
use super::group::{Group, Outcome};
use super::handle::Outbox;
use super::lane::OwnedLane;
use super::lease::LeaseChange;
use super::shared::Shared;
use super::stage::MOST_REJECTS;
use crate::facts::Facts;

/// How long a batch may take until the cluster counts as not answering.
pub(super) const ANSWER: Duration = Duration::from_millis(800);
/// The most commands that one batch takes.
const MAX_COMMANDS: usize = 1024;
/// A group takes no further command when it has this many messages or bytes. The limits leave room for one command more.
const GROUP_MESSAGES: usize = 300;
const GROUP_BYTES: usize = 4 << 20;
/// How often the committer checks its leases.
const TICK: Duration = Duration::from_millis(200);
/// The longest time between two renewals, for long leases.
const RENEW: Duration = Duration::from_secs(3);
/// If the relay has stored nothing for this long beyond its usual time, it stood still or was cut off.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// The options that the committer needs.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) lease: Duration,
    pub(super) call_timeout: Duration,
    pub(super) longest_window: Duration,
    pub(super) deduplication_ids: usize,
    pub(super) largest_event: usize,
    pub(super) max_bytes: u64,
    pub(super) dead_letters: Retention,
    pub(super) rejects: Retention,
}

impl Settings {
    pub(super) fn renew_after(&self) -> Duration {
        RENEW.min(self.lease / 3)
    }

    pub(super) fn lease_ms(&self) -> u64 {
        u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A lane that this relay owns.
pub(super) struct LeasedLane {
    pub(super) lane: Arc<OwnedLane>,
    /// The sequence of its lease.
    pub(super) sequence: u64,
    pub(super) renewed_at: Instant,
    /// Set while the relay gives the lane back: no call begins any more.
    pub(super) leaving: Option<Leaving>,
}

/// The relay gives a lane back when its calls in flight have ended.
pub(super) struct Leaving {
    /// The time by which every call has ended.
    pub(super) latest: Instant,
    pub(super) drained: Drained,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    No,
    /// The calls have ended, but their settlements may still be on their way to the committer. A command was sent behind them.
    Asked,
    /// That command has arrived, so the settlements have too.
    Yes,
}

pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) leased: HashMap<u16, LeasedLane>,
    /// The committer takes no lane before this time.
    pub(super) takes_after: Instant,
    pub(super) facts: Facts,
    /// Given to each lane, which reads and settles through it.
    pub(super) outbox: Outbox,
    /// The sequence of this relay's record, and the record.
    pub(super) own: u64,
    pub(super) record: RelayRecord,
    pub(super) recorded_at: Instant,
    number: AtomicU64,
    pub(super) waiting: Vec<Command>,
    pub(super) house_kept_at: Option<Instant>,
    pub(super) id_places: Places,
    pub(super) fingerprint_places: Places,
    /// The sequence of the batch with which this relay last folded small records.
    pub(super) folded_at: u64,
    /// The last batch, if the relay does not know whether it was stored.
    pub(super) unanswered: Option<UnansweredBatch>,
    /// The committer stores nothing until the records up to this sequence are read.
    pub(super) reads_first: Option<u64>,
    pub(super) closing: bool,
}

/// A batch that may have been stored, or may still be stored later.
pub(super) struct UnansweredBatch {
    pub(super) number: u64,
    pub(super) group: Group,
    pub(super) staged: Vec<(Command, Outcome)>,
    pub(super) leases: Vec<LeaseChange>,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, settings: Settings, facts: Facts, outbox: Outbox) -> Self {
        let record = RelayRecord { lease_ms: settings.lease_ms(), ..RelayRecord::default() };
        let now = Instant::now();
        Self {
            shared,
            settings,
            leased: HashMap::new(),
            takes_after: now,
            facts,
            outbox,
            own: 0,
            record,
            recorded_at: now,
            number: AtomicU64::new(1),
            waiting: Vec::new(),
            house_kept_at: None,
            id_places: Places::default(),
            fingerprint_places: Places::default(),
            folded_at: 0,
            unanswered: None,
            reads_first: None,
            closing: false,
        }
    }

    /// Stores until the outbox is closed.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                taken = commands.recv_many(&mut self.waiting, MAX_COMMANDS) => if taken == 0 { return },
                _ = tick.tick() => {}
            }
            // Commands that do not fit into this batch go into the next ones.
            while self.commit().await && !self.waiting.is_empty() {}
            if self.closing && self.waiting.is_empty() && self.unanswered.is_none() {
                return;
            }
        }
    }

    /// Stores one batch. Returns whether the next batch can be stored at once.
    async fn commit(&mut self) -> bool {
        self.waiting.retain(|command| !command.is_given_up());
        if !self.is_connected() || (self.unanswered.is_some() && !self.resolve().await) {
            self.lack();
            return false;
        }
        if !self.has_read_first().await {
            return false;
        }
        if *self.shared.failed.borrow() {
            self.refuse_all(AcceptError::Failed);
            return false;
        }
        if self.own == 0 || self.recorded_at.elapsed() > self.settings.renew_after() + STOOD_STILL {
            return self.come_back().await;
        }
        if let Err(error) = self.store_many_rejects().await {
            return self.failed(UnansweredBatch::empty(0), error).await;
        }
        let mut group = Group::default();
        let staged = self.stage_all(&mut group);
        self.finish(&mut group);
        let leases = self.plan(&mut group);
        self.keep_house_if_due(&mut group);
        let is_due = group.is_marked
            || self.recorded_at.elapsed() >= self.settings.renew_after()
            || self.shared.is_away();
        if group.messages.is_empty() && !is_due {
            // Nothing to store.
            self.answer(staged, None);
            return true;
        }
        self.fence(&mut group, &leases);
        self.send(group, staged, leases).await
    }

    /// Called when this relay begins or stood still: it must first read what happened meanwhile. It stores its own record alone, and then
    /// reads all records up to that one.
    async fn come_back(&mut self) -> bool {
        if self.own > 0 {
            self.let_others_renew();
        }
        let is_stored = self.send(Group::default(), Vec::new(), Vec::new()).await;
        self.reads_first = self.reads_first.max(Some(self.own));
        is_stored
    }

    async fn send(
        &mut self,
        group: Group,
        staged: Vec<(Command, Outcome)>,
        leases: Vec<LeaseChange>,
    ) -> bool {
        let number = self.next_number();
        let messages = self.with_record(&group, number);
        let count = messages.len() as u64;
        let began = Instant::now();
        let id = format!("{}-{number}", self.shared.relay);
        let batch = UnansweredBatch { number, group, staged, leases };
        match batch::publish(&self.shared.client, &id, messages, ANSWER).await {
            Ok(last) => {
                self.shared.commits.add(began.elapsed());
                self.stored(batch, last, count, began);
                true
            }
            Err(error) => self.failed(batch, error).await,
        }
    }

    fn stage_all(&mut self, group: &mut Group) -> Vec<(Command, Outcome)> {
        let mut staged = Vec::new();
        let waiting = std::mem::take(&mut self.waiting);
        let mut waiting = waiting.into_iter();
        while group.most_messages() < GROUP_MESSAGES && group.bytes + group.building_bytes() < GROUP_BYTES {
            let Some(command) = waiting.next() else { break };
            let outcome = self.stage(&command, group);
            self.closing |= matches!(command, Command::Close { .. });
            staged.push((command, outcome));
        }
        self.waiting = waiting.collect();
        staged
    }

    /// Makes the leases conditions of the batch, because only the owner of a lane may settle its calls. A lease that the batch itself
    /// changes is a condition already.
    fn fence(&self, group: &mut Group, leases: &[LeaseChange]) {
        let fenced = group.fenced.iter().map(|(lane, message)| (*lane, *message)).collect::<Vec<_>>();
        for (lane, message) in fenced {
            if let Some(leased) = self.leased.get(&lane)
                && !leases.iter().any(|change| change.lane == lane)
                && let Some(message) = group.messages.get_mut(message)
            {
                message.expected = Some((self.shared.subjects.lease(lane), leased.sequence));
            }
        }
    }

    /// Returns the batch with this relay's record at its end.
    pub(super) fn with_record(&self, group: &Group, number: u64) -> Vec<Message> {
        let mut record = self.record.clone();
        record.added.add(group.added.rows, group.added.bytes);
        record.removed.add(group.removed.rows, group.removed.bytes);
        record.is_stopped = self.closing && self.waiting.is_empty();
        (record.batch, record.is_fenced) = (number, false);
        let subject = self.shared.subjects.relay(&self.shared.relay);
        let mut messages = group.messages.clone();
        messages.push(Message::new(subject.clone(), codec::json(&record)).expect(subject, self.own));
        messages
    }

    pub(super) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn owns(&self, lane: u16, epoch: u64) -> bool {
        self.leased.get(&lane).is_some_and(|leased| leased.lane.epoch == epoch)
    }

    pub(super) fn lane(&self, lane: u16) -> Option<Arc<OwnedLane>> {
        self.leased.get(&lane).map(|leased| Arc::clone(&leased.lane))
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Reads the local copy. Logs an error and returns `None`.
    pub(super) fn with_mirror<T>(&self, query: impl FnOnce(&mut Mirror) -> rusqlite::Result<T>) -> Option<T> {
        let mut mirror = self.shared.mirror.lock().unwrap_or_else(PoisonError::into_inner);
        query(&mut mirror)
            .inspect_err(|error| tracing::error!(error.message = %error, "the local copy of the outbox could not be read"))
            .ok()
    }

    /// Returns whether this many more bytes may wait.
    pub(super) fn room_for(&self, bytes: u64) -> Result<(), NoRoom> {
        super::handle::room_for(&self.shared, &self.settings, bytes)
    }

    /// Stores the rejects of a submission that has too many of them for one batch, before the rest of the submission. If the sender repeats
    /// the post, these rejects are kept twice.
    async fn store_many_rejects(&mut self) -> Result<(), BatchError> {
        for at in 0..self.waiting.len() {
            while let Some(Command::Accept { submission, rejects_stored, .. }) = self.waiting.get(at) {
                let from = *rejects_stored;
                if submission.rejects.len() - from <= MOST_REJECTS {
                    break;
                }
                let mut group = Group::default();
                let waiting = std::mem::take(&mut self.waiting);
                if let Some(Command::Accept { submission, .. }) = waiting.get(at) {
                    self.rejects(submission, from, MOST_REJECTS, &mut group);
                }
                self.waiting = waiting;
                let id = format!("{}-{}", self.shared.relay, self.next_number());
                let last = batch::publish(&self.shared.client, &id, group.messages, ANSWER).await?;
                self.shared.note_stored(last);
                if let Some(Command::Accept { rejects_stored, .. }) = self.waiting.get_mut(at) {
                    *rejects_stored = from + MOST_REJECTS;
                }
            }
        }
        Ok(())
    }
}
