//! The only task that writes to the stream: it takes whatever waits, stores it as one atomic batch, then answers.
//!
//! One batch is in flight at a time, so that groups grow by themselves under load. The last message of each batch is this relay's
//! own record, which must follow the one before: so an answer that was lost is found out before anything else is stored.
//! Without an answer within [`ANSWER`] senders get 503; settlements are kept until they are stored.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::super::sqlite::Mirror;
use super::super::{AcceptError, NoRoom, Receipt, Retention};
use super::batch::{self, BatchError, Message};
use super::codec::{self, LeaseRecord, RelayRecord};
use super::command::Command;
use super::handle::Outbox;
use super::lane::OwnedLane;
use super::shared::Shared;
use super::stage::{Group, MOST_REJECTS, Outcome};
use crate::facts::{Facts, Received};

/// The time within which the cluster must answer.
const ANSWER: Duration = Duration::from_millis(800);
/// Commands that are taken at a time.
const MAX_COMMANDS: usize = 1024;
/// A group is closed at this many messages or bytes; one command more may fit.
const GROUP_MESSAGES: usize = 350;
const GROUP_BYTES: usize = 4 << 20;
/// Leases are looked at this often.
const TICK: Duration = Duration::from_millis(200);
/// A relay whose leases are longer renews them this often.
const RENEW: Duration = Duration::from_secs(3);
/// After another relay was faster.
const YIELD: Duration = Duration::from_millis(300);

/// What the committer needs of the options.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) lease: Duration,
    pub(super) call_timeout: Duration,
    pub(super) longest_window: Duration,
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
pub(super) struct Held {
    pub(super) lane: Arc<OwnedLane>,
    /// The sequence of its lease.
    pub(super) sequence: u64,
    pub(super) renewed_at: Instant,
    /// When it is given back: its calls in flight have ended by then.
    pub(super) leaves_at: Option<Instant>,
}

pub(super) struct Committer {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) held: HashMap<u16, Held>,
    /// No lane is taken before this time.
    pub(super) takes_after: Instant,
    facts: Facts,
    /// For the lanes, which read and settle through it.
    pub(super) outbox: Outbox,
    /// The sequence of this relay's record, and the record.
    own: u64,
    pub(super) record: RelayRecord,
    recorded_at: Instant,
    number: AtomicU64,
    waiting: Vec<Command>,
    pub(super) house_kept_at: Option<Instant>,
    /// A batch that may have been stored.
    unsure: Option<Unsure>,
    closing: bool,
}

struct Unsure {
    group: Group,
    staged: Vec<(Command, Outcome)>,
    leases: Vec<Change>,
}

/// What a batch changes about a lane's lease.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) lane: u16,
    pub(super) kind: ChangeKind,
    pub(super) epoch: u64,
    /// Its message in the batch.
    pub(super) message: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Renew,
    Take,
    GiveBack,
}

impl Committer {
    pub(super) fn new(shared: Arc<Shared>, settings: Settings, facts: Facts, outbox: Outbox) -> Self {
        let record = RelayRecord { lease_ms: settings.lease_ms(), ..RelayRecord::default() };
        let now = Instant::now();
        Self {
            shared,
            settings,
            held: HashMap::new(),
            takes_after: now,
            facts,
            outbox,
            own: 0,
            record,
            recorded_at: now,
            number: AtomicU64::new(0),
            waiting: Vec::new(),
            house_kept_at: None,
            unsure: None,
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
            // What does not fit into one batch goes into the next ones.
            while self.commit().await && !self.waiting.is_empty() {}
            if self.closing && self.waiting.is_empty() && self.unsure.is_none() {
                return;
            }
        }
    }

    /// Stores one batch; returns whether more can be stored now.
    async fn commit(&mut self) -> bool {
        self.waiting.retain(|command| !command.is_given_up());
        if !self.is_connected() || (self.unsure.is_some() && !self.resolve().await) {
            self.lack();
            return false;
        }
        if let Err(error) = self.store_many_rejects().await {
            return self.failed(Group::default(), Vec::new(), Vec::new(), error).await;
        }
        let mut group = Group::default();
        let staged = self.stage_all(&mut group);
        self.finish(&mut group);
        self.keep_house_if_due(&mut group);
        let leases = self.plan(&mut group);
        let is_due = self.recorded_at.elapsed() >= self.settings.renew_after()
            || self.own == 0
            || self.shared.is_away();
        if group.messages.is_empty() && !is_due {
            // Nothing to store.
            self.answer(staged, None);
            return true;
        }
        self.fence(&mut group, &leases);
        let messages = self.with_record(&group);
        let count = messages.len() as u64;
        let began = Instant::now();
        let id = format!("{}-{}", self.shared.relay, self.next_number());
        match batch::publish(&self.shared.client, &id, messages, ANSWER).await {
            Ok(last) => {
                self.shared.commits.add(began.elapsed());
                self.stored(&group, staged, leases, last, count, began);
                true
            }
            Err(error) => self.failed(group, staged, leases, error).await,
        }
    }

    fn stage_all(&mut self, group: &mut Group) -> Vec<(Command, Outcome)> {
        let mut staged = Vec::new();
        let waiting = std::mem::take(&mut self.waiting);
        let mut waiting = waiting.into_iter();
        while group.messages.len() < GROUP_MESSAGES && group.bytes + group.building_bytes() < GROUP_BYTES {
            let Some(command) = waiting.next() else { break };
            let outcome = self.stage(&command, group);
            self.closing |= matches!(command, Command::Close { .. });
            staged.push((command, outcome));
        }
        self.waiting = waiting.collect();
        staged
    }

    /// Only the owner of a lane may settle its calls. A lease that the batch itself changes is a condition of the batch already.
    fn fence(&self, group: &mut Group, leases: &[Change]) {
        let fenced = group.fenced.iter().map(|(lane, message)| (*lane, *message)).collect::<Vec<_>>();
        for (lane, message) in fenced {
            if let Some(held) = self.held.get(&lane)
                && !leases.iter().any(|change| change.lane == lane)
                && let Some(message) = group.messages.get_mut(message)
            {
                message.expected = Some((self.shared.subjects.lease(lane), held.sequence));
            }
        }
    }

    /// The batch with this relay's record at its end.
    fn with_record(&self, group: &Group) -> Vec<Message> {
        let mut record = self.record.clone();
        record.added.add(group.added.rows, group.added.bytes);
        record.removed.add(group.removed.rows, group.removed.bytes);
        record.is_stopped = self.closing && self.waiting.is_empty();
        let subject = self.shared.subjects.relay(&self.shared.relay);
        let mut messages = group.messages.clone();
        messages.push(Message::new(subject.clone(), codec::json(&record)).expect(subject, self.own));
        messages
    }

    /// A batch of `count` messages was stored, the last of them at `last`.
    fn stored(
        &mut self,
        group: &Group,
        staged: Vec<(Command, Outcome)>,
        leases: Vec<Change>,
        last: u64,
        count: u64,
        began: Instant,
    ) {
        self.shared.set_away(false);
        self.own = last;
        self.recorded_at = began;
        self.record.added.add(group.added.rows, group.added.bytes);
        self.record.removed.add(group.removed.rows, group.removed.bytes);
        let (relay, record) = (self.shared.relay.clone(), self.record.clone());
        self.shared.with_state(|state| state.see_relay(&relay, record, Instant::now()));
        self.shared.note_stored(last);
        self.forget_completed(group);
        let first = last + 1 - count;
        for (lane, message) in &group.chunks {
            if let Some(lane) = self.lane(*lane) {
                lane.note_stored(first + *message as u64);
                self.shared.committed.send_modify(|count| *count += 1);
            }
        }
        for change in leases {
            let sequence = first + change.message as u64;
            self.changed_lease(&change, sequence, last, began);
        }
        for new in &group.dead {
            let id = first + new.message as u64;
            tracing::warn!(
                dead_letter.id = id,
                event.id = %new.event,
                destination.name = new.destination,
                mapping.name = new.mapping,
                reason.code = new.reason.code(),
                http.status = new.status,
                "a call became a dead letter: `accoil-relay dead-letters show {id}` shows it",
            );
        }
        self.answer(staged, Some(last));
    }

    /// Handles a batch that was not stored, or perhaps; returns whether more can be stored now.
    async fn failed(
        &mut self,
        group: Group,
        staged: Vec<(Command, Outcome)>,
        leases: Vec<Change>,
        error: BatchError,
    ) -> bool {
        match error {
            BatchError::NoAnswer => {
                // Senders do not wait; the rest is decided when the cluster answers again.
                let staged = staged.into_iter().filter_map(|(command, outcome)| {
                    command.refuse(AcceptError::Away).map(|command| (command, outcome))
                });
                self.unsure = Some(Unsure { group, staged: staged.collect(), leases });
                self.lack();
                false
            }
            BatchError::Refused => {
                self.give_up(&group, staged);
                self.takes_after = Instant::now() + YIELD;
                self.check().await
            }
            BatchError::Failed(reason) => {
                tracing::warn!(reason, "the NATS cluster did not store a batch; the relay tries again");
                self.give_up(&group, staged);
                self.lack();
                tokio::time::sleep(YIELD).await;
                self.check().await;
                false
            }
        }
    }

    /// Nothing of a batch was stored: its commands wait again, in their order.
    fn give_up(&mut self, group: &Group, staged: Vec<(Command, Outcome)>) {
        self.undo(group);
        let mut waiting: Vec<Command> = staged.into_iter().map(|(command, _)| command).collect();
        waiting.append(&mut self.waiting);
        self.waiting = waiting;
        self.closing = false;
    }

    /// The cluster does not answer: senders do not wait for it.
    fn lack(&mut self) {
        self.shared.set_away(true);
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|command| command.refuse(AcceptError::Away)).collect();
    }

    fn is_connected(&self) -> bool {
        self.shared.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Finds out whether the batch without an answer was stored; returns false if the cluster still does not answer.
    async fn resolve(&mut self) -> bool {
        let subject = self.shared.subjects.relay(&self.shared.relay);
        let Some(found) = self.newest(&subject).await else { return false };
        let Some(Unsure { group, staged, leases }) = self.unsure.take() else { return true };
        match found {
            Some((sequence, _)) if sequence != self.own => {
                let count = group.messages.len() as u64 + 1;
                // When it was stored is unknown: its leases count from long ago, until they are renewed.
                let began = Instant::now().checked_sub(self.settings.lease).unwrap_or_else(Instant::now);
                self.stored(&group, staged, leases, sequence, count, began);
            }
            _ => self.give_up(&group, staged),
        }
        self.check().await
    }

    /// Reads this relay's record and its leases from the cluster's leader: a lane whose lease is another's is lost.
    async fn check(&mut self) -> bool {
        let subject = self.shared.subjects.relay(&self.shared.relay);
        match self.newest(&subject).await {
            Some(Some((sequence, body))) if sequence != self.own => {
                self.own = sequence;
                if let Ok(record) = serde_json::from_slice(&body) {
                    self.record = record;
                }
            }
            Some(_) => {}
            None => return false,
        }
        let mut highest = 0;
        for lane in self.held.keys().copied().collect::<Vec<_>>() {
            let Some(found) = self.newest(&self.shared.subjects.lease(lane)).await else { return false };
            let lease = found.and_then(|(sequence, body)| {
                Some((sequence, serde_json::from_slice::<LeaseRecord>(&body).ok()?))
            });
            match (lease, self.held.get_mut(&lane)) {
                (Some((sequence, lease)), Some(held))
                    if lease.relay == self.shared.relay
                        && lease.epoch == held.lane.epoch
                        && !lease.is_free =>
                {
                    held.sequence = sequence;
                }
                (lease, _) => {
                    highest = highest.max(lease.map_or(0, |(sequence, _)| sequence));
                    self.lose(lane);
                }
            }
        }
        // What made the batch fail may be a record that is not read yet.
        let _ = tokio::time::timeout(ANSWER, self.shared.followed(highest.max(self.own))).await;
        true
    }

    /// The newest message of a subject, from the leader; `None` if it does not answer.
    async fn newest(&self, subject: &str) -> Option<Option<(u64, bytes::Bytes)>> {
        use async_nats::jetstream::stream::LastRawMessageErrorKind::NoMessageFound;
        let stream = self.shared.context.get_stream_no_info(self.shared.subjects.stream());
        let stream = tokio::time::timeout(ANSWER, stream).await.ok()?.ok()?;
        let found = stream.get_last_raw_message_by_subject(subject);
        match tokio::time::timeout(ANSWER, found).await.ok()? {
            Ok(message) => Some(Some((message.sequence, message.payload))),
            Err(error) if error.kind() == NoMessageFound => Some(None),
            Err(_) => None,
        }
    }

    /// Rejects that are too many for one batch with the rest of their submission are stored before it. A repeat of the post keeps
    /// them twice.
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

    /// Emits what was received, and answers the callers: of changes when they are in the local copy, too, where the callers look.
    fn answer(&self, staged: Vec<(Command, Outcome)>, stored: Option<u64>) {
        let mut changes = Vec::new();
        for (command, outcome) in staged {
            match (command, outcome) {
                (
                    Command::Accept { submission, replayed: None, reply, .. },
                    Outcome::Stored { duplicates },
                ) => {
                    let accepted = submission.accepted.len() - duplicates.len();
                    let receipt = Receipt { accepted, duplicates: duplicates.len() };
                    self.facts.received(Received { submission, duplicates, is_replay: false });
                    let _ = reply.send(Ok(receipt));
                }
                (Command::Settle { .. }, _) => {}
                change => changes.push(change),
            }
        }
        if changes.is_empty() {
            return;
        }
        let (shared, facts, sequence) =
            (Arc::clone(&self.shared), self.facts.clone(), stored.unwrap_or(self.own));
        self.shared.spawn("answers of the outbox", async move {
            shared.followed(sequence).await;
            for (command, outcome) in changes {
                command.answer(outcome, &facts);
            }
        });
    }

    pub(super) fn next_number(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn owns(&self, lane: u16, epoch: u64) -> bool {
        self.held.get(&lane).is_some_and(|held| held.lane.epoch == epoch)
    }

    pub(super) fn lane(&self, lane: u16) -> Option<Arc<OwnedLane>> {
        self.held.get(&lane).map(|held| Arc::clone(&held.lane))
    }

    pub(super) const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Reads the local copy; `None` after an error, which is logged.
    pub(super) fn with_mirror<T>(&self, query: impl FnOnce(&mut Mirror) -> rusqlite::Result<T>) -> Option<T> {
        let mut mirror = self.shared.mirror.lock().unwrap_or_else(PoisonError::into_inner);
        query(&mut mirror)
            .inspect_err(|error| tracing::error!(error.message = %error, "the local copy of the outbox could not be read"))
            .ok()
    }

    /// Whether this many more bytes may wait.
    pub(super) fn room_for(&self, bytes: u64) -> Result<(), NoRoom> {
        super::handle::room_for(&self.shared, &self.settings, bytes)
    }
}
