//! The lanes that a dispatcher works on. It reads the state of a lane that it gains, and drops a lane that it loses.
//!
//! All calls of a user are in one lane, so their order is kept within the lane. The state of a lost lane must not be used if
//! the lane is gained again, because another owner has changed it meanwhile.

use tokio::time::Instant;

use super::super::waiting::Waiting;
use super::super::worker::{EndedCall, Work};
use super::{Dispatcher, READ_RETRY_DELAY, parked, unreadable};
use crate::facts::OutcomeKind;
use crate::outbox::chunk::Chunk;
use crate::outbox::{Lane, LastDelivered, Position, Priority, ReadError, Settlement};
use crate::reasons::Reason;

/// Derived calls whose last delivered content is remembered, in all lanes together.
const MAX_LAST_DELIVERED: usize = 500_000;
/// With this many settlements the dispatcher waits for their commit, so that they do not pile up in memory.
const SETTLEMENTS_TO_WAIT: usize = 1024;

pub(super) struct OwnedLane {
    /// Names this ownership: a lane that is lost and gained again gets a new key.
    pub(super) key: u32,
    pub(super) lane: Lane,
    /// The last chunk that was loaded.
    cursor: Position,
    /// Background calls of chunks up to this one were not counted when they were accepted.
    uncounted: Position,
    /// Users with parked calls. Their later calls are parked behind these.
    pub(super) waiting: Waiting,
    pub(super) last_delivered: LastDelivered,
    pub(super) settlements: Vec<Settlement>,
    /// The number of ended calls whose outcomes are in `settlements`.
    pub(super) ended: usize,
}

impl OwnedLane {
    fn new(key: u32, lane: Lane, uncounted: Position, most_delivered: usize) -> Self {
        Self {
            key,
            cursor: lane.start(),
            uncounted,
            lane,
            waiting: Waiting::default(),
            last_delivered: LastDelivered::new(most_delivered),
            settlements: Vec::new(),
            ended: 0,
        }
    }

    fn is(&self, other: &Lane) -> bool {
        self.lane.id() == other.id() && self.lane.epoch() == other.epoch()
    }

    pub(super) fn send_settlements(&mut self) {
        if !self.settlements.is_empty() {
            self.lane.settle(std::mem::take(&mut self.settlements));
        }
        if self.ended > 0 {
            self.lane.end_calls(std::mem::take(&mut self.ended));
        }
    }
}

/// Whether the outbox has more to load.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum More {
    /// Nothing until a chunk is committed.
    None,
    /// Perhaps, when the window has room again.
    NoRoom,
    /// Yes, now.
    Now,
    /// Perhaps: the outbox could not be read.
    Later,
}

impl Dispatcher {
    /// Returns the lane with this key; `None` if it was lost.
    pub(super) fn lane(&mut self, key: u32) -> Option<&mut OwnedLane> {
        self.lanes.iter_mut().find(|owned| owned.key == key)
    }

    /// Settles a call of this lane, unless it was lost.
    pub(super) fn push(&mut self, key: u32, settlement: Settlement) {
        if let Some(owned) = self.lane(key) {
            owned.settlements.push(settlement);
        }
    }

    /// Gains and loses lanes, so that they are those that this process owns now.
    pub(super) async fn follow_lanes(&mut self) {
        let shown = self.shown_lanes.borrow_and_update().clone();
        let is_lost = |mine: &OwnedLane| mine.lane.lost() || !shown.owned.iter().any(|lane| mine.is(lane));
        let lost: Vec<OwnedLane> = self.lanes.extract_if(.., |mine| is_lost(mine)).collect();
        if !lost.is_empty() {
            self.drop_lanes(lost);
        }
        for lane in &shown.owned {
            if !self.lanes.iter().any(|mine| mine.is(lane)) {
                self.take_over(lane.clone(), MAX_LAST_DELIVERED / usize::from(shown.all.max(1))).await;
            }
        }
        self.limits.share(self.lanes.len(), usize::from(shown.all));
    }

    /// Drops the state of these lanes. Their calls in flight end by themselves; see [`Self::give_up`].
    fn drop_lanes(&mut self, lanes: Vec<OwnedLane>) {
        for OwnedLane { key, lane, waiting, .. } in lanes {
            self.window.drop_lane(key);
            waiting.users().for_each(|user| self.failing.end(user));
            tracing::info!(
                destination.name = &*self.target.name,
                outbox.lane = lane.id(),
                "another relay takes over a lane of the outbox"
            );
        }
        // What the lost lanes had pending is not known exactly. With too low a number a producer only waits less.
        self.outbox.background().reset(&self.target.name, self.window.in_background());
    }

    /// Drops the result of a call that ended after its lane was lost. The new owner makes the call once more.
    pub(super) fn give_up(&mut self, done: &EndedCall) {
        let job = &done.call.work.job;
        self.window.next_turn(job);
        tracing::debug!(
            destination.name = &*self.target.name,
            event.id = %job.event,
            "a call ended after its lane was lost: its new owner makes it once more"
        );
    }

    /// Reads what the last owner left: the waiting users, and the last delivered fingerprints. Without them the order
    /// of users' calls would be lost.
    async fn take_over(&mut self, lane: Lane, most_delivered: usize) {
        let name = &self.target.name;
        let users = retry_read(&lane, || lane.parked_users(name)).await;
        let last_delivered = retry_read(&lane, || lane.last_delivered(most_delivered)).await;
        let resume = retry_read(&lane, || lane.resume_point(name)).await;
        let background = retry_read(&lane, || lane.parked_in_background(name)).await;
        let (Some(users), Some(last_delivered), Some(resume), Some(background)) =
            (users, last_delivered, resume, background)
        else {
            // It was lost again.
            return;
        };
        self.outbox.background().add(name, usize::try_from(background).unwrap_or(usize::MAX));
        self.last_key = self.last_key.wrapping_add(1);
        let uncounted = self.found_lanes.iter().find(|(id, _)| *id == lane.id());
        let uncounted = uncounted.map_or_else(|| lane.start(), |(_, latest)| *latest);
        let mut owned = OwnedLane::new(self.last_key, lane, uncounted, most_delivered);
        let now = Instant::now();
        for (user, retry) in users {
            let wait = self.target.schedule.resume(self.clock.wall(now), retry);
            owned.waiting.due_at(&user, now + wait);
        }
        for (fingerprint, at) in last_delivered {
            owned.last_delivered.insert(&[fingerprint], at);
        }
        let (key, last) = (owned.key, resume.unwrap_or(owned.cursor));
        self.lanes.push(owned);
        self.reload_earlier_chunks(key, last).await;
    }

    /// Loads what the last owner had loaded, up to the newest chunk from which it parked something: a call that was
    /// parked for lack of room may have earlier ones of its user in these chunks. They are no more than the last
    /// owner's window contained.
    async fn reload_earlier_chunks(&mut self, key: u32, last: Position) {
        while let Some(owned) = self.lane(key).filter(|owned| owned.cursor < last) {
            let (lane, cursor) = (owned.lane.clone(), owned.cursor);
            match retry_read(&lane, || lane.next_chunk(cursor)).await {
                Some(Some(chunk)) => self.admit_all(key, &chunk),
                _ => return,
            }
            self.settle().await;
        }
    }

    /// Fills the window from the outbox, chunk by chunk from each lane in turn.
    pub(super) async fn load(&mut self) -> More {
        // Marks the present commits as seen before it reads, so that it wakes for everything that is committed
        // meanwhile.
        self.committed.borrow_and_update();
        let (mut at, mut empty) = (0, 0);
        while empty < self.lanes.len() {
            let Some(owned) = self.lanes.get(at) else {
                at = 0;
                continue;
            };
            let more = if owned.settlements.len() >= SETTLEMENTS_TO_WAIT {
                More::Now
            } else if !self.has_room() {
                More::NoRoom
            } else {
                let key = owned.key;
                match owned.lane.next_chunk(owned.cursor).await {
                    Ok(Some(chunk)) => {
                        self.admit_all(key, &chunk);
                        empty = 0;
                    }
                    Ok(None) => empty += 1,
                    Err(error) => {
                        unreadable(&error);
                        return More::Later;
                    }
                }
                at += 1;
                continue;
            };
            // The next time begins with this lane.
            self.lanes.rotate_left(at);
            return more;
        }
        More::None
    }

    fn has_room(&self) -> bool {
        self.window.has_room() && self.waiting_users() < super::MAX_PARKED_USERS
    }

    /// The number of users with parked calls.
    pub(super) fn waiting_users(&self) -> usize {
        self.lanes.iter().map(|owned| owned.waiting.len()).sum()
    }

    fn admit_all(&mut self, key: u32, chunk: &Chunk) {
        let (Ok(jobs) | Err(jobs)) = chunk.jobs(&self.target.name).inspect_err(|_| {
            tracing::error!(
                chunk.id = %chunk.position(),
                reason.code = Reason::WaitDamaged.code(),
                "a chunk of the outbox is damaged: it is kept, and what cannot be read of it is not sent"
            );
        });
        let Some(owned) = self.lane(key) else { return };
        owned.cursor = chunk.position();
        // What came later was counted when it was accepted, unless another relay may have accepted it.
        let is_uncounted = owned.cursor <= owned.uncounted || owned.lane.valid_until().is_some();
        if !jobs.is_empty() {
            self.window.loaded(chunk.size());
        }
        if is_uncounted {
            let old = jobs.iter().filter(|job| job.priority == Priority::Background);
            self.outbox.background().add(&self.target.name, old.count());
        }
        for job in jobs {
            self.admit(Work::new(job, Vec::new(), key));
        }
    }

    /// Puts a call of a chunk into the window, or parks it behind its user's waiting calls.
    fn admit(&mut self, work: Work) {
        let user = work.job.user.as_str();
        let waits = self.lane(work.lane).is_some_and(|owned| owned.waiting.contains(user));
        let refused = if waits { Some(work) } else { self.window.push(work) };
        if let Some(work) = refused {
            self.emit(&work.job, OutcomeKind::Behind, None, Instant::now());
            if let Some(owned) = self.lane(work.lane) {
                owned.waiting.join(work.job.user.as_str());
                owned.settlements.push(parked(work, None));
            }
        }
    }

    /// Hands over the settlements of all lanes. Waits for their commit if there are many.
    pub(super) async fn settle(&mut self) {
        for owned in &mut self.lanes {
            let many = owned.settlements.len() >= SETTLEMENTS_TO_WAIT;
            owned.send_settlements();
            if many {
                // If the commit fails, `failed` reports it.
                let _ = owned.lane.flush().await;
            }
        }
    }

    pub(super) fn send_settlements(&mut self) {
        self.lanes.iter_mut().for_each(OwnedLane::send_settlements);
    }
}

/// Repeats a read until it succeeds; `None` if the lane is lost.
async fn retry_read<T, F>(lane: &Lane, read: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, ReadError>>,
{
    while !lane.lost() {
        match read().await {
            Ok(found) => return Some(found),
            Err(error) => unreadable(&error),
        }
        tokio::time::sleep(READ_RETRY_DELAY).await;
    }
    None
}
