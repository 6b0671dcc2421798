//! Schedules deliveries: one task per destination decides order, retries and pauses.
//!
//! It holds a bounded window of the outbox in memory. A user has at most one call in flight; the next ones wait behind it in the
//! window, or, if the call must be retried later, in rows of their own in the outbox. No lock, task or timer per request.
//! Never keeps a user in memory who has nothing loaded or parked.

mod outcome;
mod record;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Target;
use super::clock::Clock;
use super::control::Wishes;
use super::failing::Failing;
use super::limits::Limits;
use super::status::Status;
use super::waiting::Waiting;
use super::window::Window;
use super::worker::{Call, Done, Work};
use crate::facts::{Facts, Outcome, Verdict};
use crate::outbox::chunk::Chunk;
use crate::outbox::{
    Delivered, Held, Lane, Lease, Outbox, Parked, Position, Priority, ReadError, Settlement,
};
use crate::reasons::Reason;

/// With this many users waiting for a retry, nothing more is loaded: their number bounds memory, and such a
/// destination is failing anyway.
const MAX_PARKED_USERS: usize = 10_000;
/// Derived calls whose last delivered content is remembered.
const MAX_LAST_DELIVERED: usize = 500_000;
/// Delay between a failed read of the outbox and the next.
const READ_RETRY_DELAY: Duration = Duration::from_secs(5);
/// Answers that one turn handles.
const ANSWERS_PER_TURN: usize = 256;
/// With this many settlements the dispatcher waits for their commit, so that they do not pile up in memory.
const SETTLEMENTS_TO_WAIT: usize = 1024;

pub(super) struct Dispatcher {
    target: Arc<Target>,
    outbox: Outbox,
    lane: Lane,
    committed: watch::Receiver<i64>,
    failed: watch::Receiver<bool>,
    /// Receives the users whose waiting calls an operator made due.
    due: broadcast::Receiver<Arc<[(String, String)]>>,
    /// The operator's wishes for the destination.
    wishes: watch::Receiver<Wishes>,
    /// The number of probes that were asked for so far.
    probes: u64,
    work: async_channel::Sender<Call>,
    answers: mpsc::UnboundedReceiver<Done>,
    /// The last chunk that was loaded.
    cursor: Position,
    /// The newest chunk of earlier runs.
    found: Position,
    window: Window,
    /// Users with parked requests. Their later requests are parked behind these.
    waiting: Waiting,
    failing: Failing,
    /// The running time at which the destination last began to accept calls again. Failures before it do not count.
    excused_until: Option<DateTime<Utc>>,
    last_delivered: Delivered,
    limits: Limits,
    clock: Clock,
    in_flight: usize,
    settlements: Vec<Settlement>,
    facts: Facts,
    /// The outcomes of calls in this turn; empty if nothing records them.
    outcomes: Vec<Outcome>,
    status: Status,
    shown: watch::Sender<Status>,
}

/// Whether the outbox has more to load.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    /// Nothing until a chunk is committed.
    None,
    /// Perhaps, when the window has room again.
    NoRoom,
    /// Yes, now.
    Now,
    /// Perhaps: the outbox could not be read.
    Later,
}

/// How a turn ends.
struct Next {
    more: More,
    /// When to continue if nothing happens.
    at: Option<Instant>,
}

impl Dispatcher {
    pub(super) fn new(
        target: Arc<Target>,
        outbox: Outbox,
        facts: Facts,
        work: async_channel::Sender<Call>,
        answers: mpsc::UnboundedReceiver<Done>,
        shown: watch::Sender<Status>,
    ) -> Self {
        let clock = Clock::read(&outbox);
        let status = shown.borrow().clone();
        let lane = Lane::new(0, 0, Lease::FOR_EVER, outbox.clone());
        let found = lane.latest();
        outbox.background().register(&target.name);
        Self {
            committed: outbox.committed(),
            cursor: lane.start(),
            found,
            lane,
            failed: outbox.failed(),
            due: outbox.made_due(),
            wishes: target.control.wishes(),
            probes: 0,
            limits: Limits::new(&target),
            target,
            outbox,
            work,
            answers,
            window: Window::default(),
            waiting: Waiting::default(),
            failing: Failing::default(),
            excused_until: None,
            last_delivered: Delivered::new(MAX_LAST_DELIVERED),
            clock,
            in_flight: 0,
            settlements: Vec::new(),
            facts,
            outcomes: Vec::new(),
            status,
            shown,
        }
    }

    /// Delivers until it is stopped, then waits for the answers to the calls in flight.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.recover() => {}
        }
        let mut answers = Vec::new();
        while !stop.is_cancelled() && !*self.failed.borrow() {
            let next = tokio::select! {
                biased;
                // The outbox may delay it, above all on a full disk.
                () = stop.cancelled() => break,
                next = self.turn() => next,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = self.answers.recv_many(&mut answers, ANSWERS_PER_TURN) => match received {
                    // Every worker has ended: the relay is about to stop.
                    0 => break,
                    _ => self.record_all(&mut answers),
                },
                _ = self.committed.changed(), if next.more == More::None => {}
                due = self.due.recv() => self.make_due(due),
                _ = self.wishes.changed() => self.obey(),
                () = sleep_until(next.at) => {}
                _ = self.failed.changed() => {}
            }
        }
        self.finish(&mut answers).await;
    }

    /// Does what an operator has asked for since the last time.
    fn obey(&mut self) {
        let Wishes { probes, .. } = *self.wishes.borrow_and_update();
        if std::mem::replace(&mut self.probes, probes) == probes {
            return;
        }
        let now = Instant::now();
        if self.limits.open_until(now).is_some() {
            self.limits.probe(now);
            // A probe needs a call that is due.
            self.waiting.due_now(|_| true, now);
        }
    }

    fn is_paused(&self) -> bool {
        self.wishes.borrow().paused_since.is_some()
    }

    /// Does everything that needs no answer.
    async fn turn(&mut self) -> Next {
        // Parked requests come first: a full window must not keep out those that have waited longest.
        self.unpark_due().await;
        let more = self.load().await;
        let dispatched_at = self.dispatch();
        self.settle().await;
        self.send_outcomes();
        self.report_failing_users();
        self.show();
        Next { more, at: self.wake_at(more, dispatched_at) }
    }

    /// Reads what the last run left: the waiting users, and the last delivered fingerprints. Without them the order
    /// of users' calls would be lost.
    async fn recover(&mut self) {
        let name = &self.target.name;
        let users = retry_read(|| {
            let (outbox, name) = (self.lane.clone(), Arc::clone(name));
            async move { outbox.parked_users(&name).await }
        });
        let last_delivered = retry_read(|| {
            let outbox = self.lane.clone();
            async move { outbox.last_delivered(MAX_LAST_DELIVERED).await }
        });
        let last = retry_read(|| {
            let (outbox, name) = (self.lane.clone(), Arc::clone(name));
            async move { outbox.resume_point(&name).await }
        });
        let background = retry_read(|| {
            let (outbox, name) = (self.lane.clone(), Arc::clone(name));
            async move { outbox.parked_in_background(&name).await }
        });
        let (users, last_delivered, last) = (users.await, last_delivered.await, last.await);
        let background = usize::try_from(background.await).unwrap_or(usize::MAX);
        self.outbox.background().add(name, background);
        let now = Instant::now();
        for (user, retry) in users {
            let wait = self.target.schedule.resume(self.clock.wall(now), retry);
            self.waiting.due_at(&user, now + wait);
        }
        for (fingerprint, at) in last_delivered {
            self.last_delivered.insert(&[fingerprint], at);
        }
        self.reload_earlier_chunks(last.unwrap_or(self.lane.start())).await;
    }

    /// Loads what the last run had loaded, up to the newest chunk from which it parked something: a request that was
    /// parked for lack of room may have earlier ones of its user in these chunks. They are no more than the last
    /// run's window contained.
    async fn reload_earlier_chunks(&mut self, last: Position) {
        while self.cursor < last {
            let (lane, cursor) = (self.lane.clone(), self.cursor);
            match retry_read(|| lane.next_chunk(cursor)).await {
                Some(chunk) => self.admit_all(&chunk),
                None => return,
            }
            self.settle().await;
        }
    }

    /// Fills the window from the outbox.
    async fn load(&mut self) -> More {
        // Marks the present commits as seen before it reads, so that it wakes for everything that is committed
        // meanwhile.
        self.committed.borrow_and_update();
        while self.has_room() {
            if self.settlements.len() >= SETTLEMENTS_TO_WAIT {
                return More::Now;
            }
            match self.lane.next_chunk(self.cursor).await {
                Ok(Some(chunk)) => self.admit_all(&chunk),
                Ok(None) => return More::None,
                Err(error) => {
                    unreadable(&error);
                    return More::Later;
                }
            }
        }
        More::NoRoom
    }

    fn has_room(&self) -> bool {
        self.window.has_room() && self.waiting.len() < MAX_PARKED_USERS
    }

    fn admit_all(&mut self, chunk: &Chunk) {
        self.cursor = chunk.position();
        let (Ok(jobs) | Err(jobs)) = chunk.jobs(&self.target.name).inspect_err(|_| {
            tracing::error!(
                chunk.id = %chunk.position(),
                reason.code = Reason::WaitDamaged.code(),
                "a chunk of the outbox is damaged: it is kept, and what cannot be read of it is not sent"
            );
        });
        if !jobs.is_empty() {
            self.window.loaded(chunk.size());
        }
        if chunk.position() <= self.found {
            let old = jobs.iter().filter(|job| job.priority == Priority::Background);
            self.outbox.background().add(&self.target.name, old.count());
        }
        for job in jobs {
            self.admit(Work::new(job, Vec::new()));
        }
    }

    /// Puts a request of a chunk into the window, or parks it behind its user's waiting requests.
    fn admit(&mut self, work: Work) {
        let refused =
            if self.waiting.holds(work.job.user.as_str()) { Some(work) } else { self.window.push(work) };
        if let Some(work) = refused {
            self.waiting.join(work.job.user.as_str());
            self.emit(&work.job, Verdict::Behind, None, Instant::now());
            self.settlements.push(parked(work, None));
        }
    }

    /// An operator asked to try these users' calls now.
    fn make_due(&mut self, due: Result<Arc<[(String, String)]>, RecvError>) {
        let now = Instant::now();
        match due {
            Ok(due) => {
                let name = &*self.target.name;
                let users: HashSet<&str> =
                    due.iter().filter(|(to, _)| to == name).map(|(_, user)| user.as_str()).collect();
                self.waiting.due_now(|user| users.contains(user), now);
            }
            Err(RecvError::Lagged(_)) => self.waiting.due_now(|_| true, now),
            // The outbox is closed; `failed` or `stop` reports that.
            Err(RecvError::Closed) => {}
        }
    }

    /// Reads back the requests of users whose next attempt is due.
    async fn unpark_due(&mut self) {
        let now = Instant::now();
        if !self.may_unpark(now) {
            return;
        }
        let users = self.waiting.take_due(now, self.target.concurrency);
        if users.is_empty() {
            return;
        }
        // So that the read sees all settlements up to now.
        self.send_settlements();
        match self.lane.parked(&self.target.name, users.clone()).await {
            Ok(rows) => self.readmit(users, rows),
            Err(error) => {
                unreadable(&error);
                for user in users {
                    self.waiting.due_at(&user, now + READ_RETRY_DELAY);
                }
            }
        }
    }

    /// While nothing may be sent, or the window is full, due requests stay in the outbox.
    fn may_unpark(&self, now: Instant) -> bool {
        !self.is_paused() && self.window.has_room() && self.limits.open_until(now).is_none()
    }

    fn readmit(&mut self, users: Vec<String>, rows: Vec<Parked>) {
        let mut done: HashSet<String> = users.into_iter().collect();
        for row in rows {
            done.remove(row.job.user.as_str());
            // The user has nothing else in the window, so there is room behind it.
            let _ = self.window.push(Work::new(row.job, row.attempts));
        }
        for user in done {
            self.waiting.leave(&user);
        }
    }

    /// Hands out as many requests as may be in flight; returns the time at which it decided that.
    fn dispatch(&mut self) -> Instant {
        let now = Instant::now();
        let at = self.clock.wall(now);
        while !self.is_paused()
            && self.limits.allow(self.in_flight, now)
            && let Some(work) = self.window.next()
        {
            if let Some(held) = self.last_delivered.holds(&work.job.fingerprints, at) {
                let fingerprints = match held {
                    Held::Stored => Vec::new(),
                    Held::Old => {
                        self.last_delivered.insert(&work.job.fingerprints, at);
                        work.job.fingerprints.clone()
                    }
                };
                self.window.leave(&work.job);
                self.emit(&work.job, Verdict::Held, None, now);
                self.settlements.push(Settlement::Delivered { place: work.job.place, fingerprints });
                self.next_turn(&work.job, now);
                continue;
            }
            self.limits.started(now);
            self.in_flight += 1;
            // This cannot fail: the channel is unbounded and the workers outlive this task.
            let _ = self.work.try_send(Call { work, began: now });
        }
        now
    }

    async fn settle(&mut self) {
        let many = self.settlements.len() >= SETTLEMENTS_TO_WAIT;
        self.send_settlements();
        if many {
            // If the commit fails, `failed` reports it.
            let _ = self.lane.flush().await;
        }
    }

    fn send_settlements(&mut self) {
        if !self.settlements.is_empty() {
            self.lane.settle(std::mem::take(&mut self.settlements));
        }
    }

    /// Returns when to continue if nothing happens: when due requests may be unparked or ready ones sent. The limits
    /// are asked for the time at which requests were handed out, so that a moment that has passed since is not
    /// missed.
    fn wake_at(&self, more: More, dispatched_at: Instant) -> Option<Instant> {
        let now = Instant::now();
        let load = match more {
            More::Now => Some(now),
            More::Later => Some(now + READ_RETRY_DELAY),
            More::None | More::NoRoom => None,
        };
        let due = self.waiting.next_due().filter(|_| self.window.has_room());
        let due = due.max(due.and(self.limits.open_until(now)));
        let ready = self.limits.wake_at(dispatched_at).filter(|_| self.window.has_ready());
        let [due, ready] = if self.is_paused() { [None; 2] } else { [due, ready] };
        [load, due, ready, self.failing.next_due()].into_iter().flatten().min()
    }

    fn show(&mut self) {
        let (now, state) = (Instant::now(), self.limits.state());
        if self.status.state != state {
            self.status.since = self.clock.wall(now);
        }
        self.status.state = state;
        self.status.paused_since = self.wishes.borrow().paused_since;
        self.status.next_probe_at = self.limits.open_until(now).map(|at| self.clock.wall(at));
        self.status.concurrency = self.limits.concurrency();
        self.status.loaded = self.window.len();
        self.status.in_flight = self.in_flight;
        self.status.waiting_users = self.waiting.len();
        self.status.failing_users = self.failing.long();
        self.shown.send_replace(self.status.clone());
    }

    /// Hands out no more requests, and settles the calls in flight when they are answered. The rest stays in the
    /// outbox.
    async fn finish(mut self, answers: &mut Vec<Done>) {
        self.work.close();
        while self.in_flight > 0 && self.answers.recv_many(answers, ANSWERS_PER_TURN).await > 0 {
            self.record_all(answers);
            self.send_settlements();
        }
        self.send_settlements();
        self.send_outcomes();
        self.show();
    }
}

/// Repeats a read until it succeeds.
async fn retry_read<T, F>(read: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, ReadError>>,
{
    loop {
        match read().await {
            Ok(found) => return found,
            Err(error) => unreadable(&error),
        }
        tokio::time::sleep(READ_RETRY_DELAY).await;
    }
}

fn unreadable(error: &ReadError) {
    tracing::error!(error.message = %error, "the outbox could not be read; trying again in some seconds");
}

fn parked(work: Work, next_attempt_at: Option<DateTime<Utc>>) -> Settlement {
    Settlement::Parked { job: Box::new(work.job), attempts: work.attempts, next_attempt_at }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
