//! Schedules deliveries: one task per destination decides order, retries and pauses.
//!
//! It holds a bounded window of the outbox in memory. A user has at most one call in flight; the next ones wait behind it in the
//! window, or, if the call must be retried later, in rows of their own in the outbox. No lock, task or timer per call.
//! Never keeps a user in memory who has nothing loaded or parked.

mod lanes;
mod outcome;
mod parked;
mod record;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::broadcast;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Target;
use super::clock::Clock;
use super::control::OperatorWishes;
use super::failing::Failing;
use super::limits::Limits;
use super::status::Status;
use super::window::Window;
use super::worker::{Call, EndedCall, Work};
use crate::accoil::Fingerprint;
use crate::facts::{Facts, Outcome, OutcomeKind};
use crate::outbox::{Lanes, Outbox, Position, ReadError, Settlement, Unchanged};
use lanes::{More, OwnedLane};

/// With this many users waiting for a retry, nothing more is loaded: their number bounds memory, and such a
/// destination is failing anyway.
const MAX_PARKED_USERS: usize = 10_000;
/// Delay between a failed read of the outbox and the next.
const READ_RETRY_DELAY: Duration = Duration::from_secs(5);
/// The most answers that one turn handles.
const ANSWERS_PER_TURN: usize = 256;
/// While a lease is too short for a call, the dispatcher checks it this often, because its owner renews it.
const LEASE_CHECK: Duration = Duration::from_millis(500);

pub(super) struct Dispatcher {
    target: Arc<Target>,
    outbox: Outbox,
    /// The lanes that the outbox owns, and those that are worked on.
    shown_lanes: watch::Receiver<Lanes>,
    lanes: Vec<OwnedLane>,
    /// The id and the newest chunk of each lane that was owned when background calls began to be counted.
    found_lanes: Vec<(u16, Position)>,
    last_key: u32,
    committed: watch::Receiver<i64>,
    failed: watch::Receiver<bool>,
    /// Receives the users whose waiting calls an operator made due.
    due: broadcast::Receiver<Arc<[(String, String)]>>,
    /// The operator's wishes for the destination.
    wishes: watch::Receiver<OperatorWishes>,
    /// The number of probes that were asked for so far.
    probes: u64,
    work: async_channel::Sender<Call>,
    answers: mpsc::UnboundedReceiver<EndedCall>,
    window: Window,
    failing: Failing,
    /// The running time at which the destination last began to accept calls again. Failures before it do not count.
    excused_until: Option<DateTime<Utc>>,
    limits: Limits,
    clock: Clock,
    in_flight: usize,
    facts: Facts,
    /// The outcomes of calls in this turn; empty if nothing records them.
    outcomes: Vec<Outcome>,
    status: Status,
    shown: watch::Sender<Status>,
}

/// What the dispatcher waits for after a turn.
struct Next {
    more: More,
    /// When to continue if nothing happens.
    at: Option<Instant>,
}

impl Dispatcher {
    pub(super) fn new(
        target: Arc<Target>,
        outbox: Outbox,
        shown_lanes: watch::Receiver<Lanes>,
        facts: Facts,
        work: async_channel::Sender<Call>,
        answers: mpsc::UnboundedReceiver<EndedCall>,
        shown: watch::Sender<Status>,
    ) -> Self {
        let clock = Clock::read(&outbox);
        let status = shown.borrow().clone();
        // Before the registration: a call that is accepted between the two is counted by nobody and delays nothing. A call
        // that is counted twice would delay background calls for ever.
        // The borrowed lanes are a lock, and `latest` takes another one, so they are copied first.
        let owned = shown_lanes.borrow().owned.clone();
        let found_lanes = owned.iter().map(|lane| (lane.id(), lane.latest())).collect();
        outbox.background().register(&target.name);
        Self {
            committed: outbox.committed(),
            shown_lanes,
            lanes: Vec::new(),
            found_lanes,
            last_key: 0,
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
            failing: Failing::default(),
            excused_until: None,
            clock,
            in_flight: 0,
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
            () = self.follow_lanes() => {}
        }
        let mut answers = Vec::new();
        let mut has_new_lanes = false;
        while !stop.is_cancelled() && !*self.failed.borrow() {
            let next = tokio::select! {
                biased;
                // The outbox may delay it, above all on a full disk.
                () = stop.cancelled() => break,
                next = self.turn(std::mem::take(&mut has_new_lanes)) => next,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = self.answers.recv_many(&mut answers, ANSWERS_PER_TURN) => match received {
                    // Every worker has ended: the relay is about to stop.
                    0 => break,
                    _ => self.record_all(&mut answers),
                },
                // In an outbox with one lane for ever there is no sender.
                Ok(()) = self.shown_lanes.changed() => has_new_lanes = true,
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
        let OperatorWishes { probes, .. } = *self.wishes.borrow_and_update();
        if std::mem::replace(&mut self.probes, probes) == probes {
            return;
        }
        let now = Instant::now();
        if self.limits.open_until(now).is_some() {
            self.limits.probe(now);
            // A probe needs a call that is due.
            self.all_due_now(now);
        }
    }

    fn is_paused(&self) -> bool {
        self.wishes.borrow().paused_since.is_some()
    }

    /// Does everything that needs no answer.
    async fn turn(&mut self, has_new_lanes: bool) -> Next {
        if has_new_lanes {
            self.follow_lanes().await;
        }
        // Parked calls come first: a full window must not keep out those that have waited longest.
        self.unpark_due().await;
        let more = self.load().await;
        let dispatched_at = self.dispatch();
        self.settle().await;
        self.send_outcomes();
        self.report_failing_users();
        self.show();
        Next { more, at: self.wake_at(more, dispatched_at) }
    }

    /// Hands out as many calls as may be in flight; returns the time at which it decided that.
    fn dispatch(&mut self) -> Instant {
        let now = Instant::now();
        let at = self.clock.wall(now);
        let mut resting = self.resting_lanes(now);
        while !self.is_paused()
            && self.limits.allow(self.in_flight, now)
            && let Some(work) = self.window.next(&resting)
        {
            if let Some(fingerprints) = self.unchanged(&work, at) {
                self.window.leave(&work.job);
                self.emit(&work.job, OutcomeKind::Held, None, now);
                self.push(work.lane, Settlement::Delivered { place: work.job.place, fingerprints });
                self.next_turn(&work, now);
                continue;
            }
            let ends = now + self.target.timeout;
            if !self.lane(work.lane).is_some_and(|owned| owned.lane.begin_call(ends)) {
                // Its owner has begun to give it back.
                resting.push(work.lane);
                self.window.put_back(work);
                continue;
            }
            self.limits.started(now);
            self.in_flight += 1;
            // This cannot fail: the channel is unbounded and the workers outlive this task.
            let _ = self.work.try_send(Call { work, began: now });
        }
        now
    }

    /// The lanes that were lost, or whose lease may end before a call that starts now. Usually there is none.
    fn resting_lanes(&self, now: Instant) -> Vec<u32> {
        let ends = now + self.target.timeout;
        let rests = |owned: &&OwnedLane| {
            owned.lane.lost() || owned.lane.valid_until().is_some_and(|until| until < ends)
        };
        self.lanes.iter().filter(rests).map(|owned| owned.key).collect()
    }

    /// Returns `Some` if a derived call has nothing new, with the fingerprints that must be stored again.
    fn unchanged(&mut self, work: &Work, at: DateTime<Utc>) -> Option<Vec<Fingerprint>> {
        let owned = self.lane(work.lane)?;
        if owned.lane.valid_until().is_some() && work.job.fingerprints.len() > 1 {
            // The users of a group are in several lanes: another relay may have sent other traits of it since.
            return None;
        }
        let last_delivered = &mut owned.last_delivered;
        Some(match last_delivered.unchanged(&work.job.fingerprints, at)? {
            Unchanged::Stored => Vec::new(),
            Unchanged::Old => {
                last_delivered.insert(&work.job.fingerprints, at);
                work.job.fingerprints.clone()
            }
        })
    }

    /// Returns when to continue if nothing happens: when due calls may be unparked or ready ones sent. The limits
    /// are computed for the time at which calls were handed out, so that no moment between then and now is missed.
    fn wake_at(&self, more: More, dispatched_at: Instant) -> Option<Instant> {
        let now = Instant::now();
        let load = match more {
            More::Now => Some(now),
            More::Later => Some(now + READ_RETRY_DELAY),
            More::None | More::NoRoom => None,
        };
        let due = self.lanes.iter().filter_map(|owned| owned.waiting.next_due()).min();
        let due = due.filter(|_| self.window.has_room());
        let due = due.max(due.and(self.limits.open_until(now)));
        let lease = (!self.resting_lanes(dispatched_at).is_empty()).then(|| now + LEASE_CHECK);
        let ready = self.limits.wake_at(dispatched_at).max(lease).filter(|_| self.window.has_ready());
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
        self.status.waiting_users = self.waiting_users();
        self.status.failing_users = self.failing.long();
        self.shown.send_replace(self.status.clone());
    }

    /// Hands out no more calls, and settles the calls in flight when they are answered. The rest stays in the
    /// outbox.
    async fn finish(mut self, answers: &mut Vec<EndedCall>) {
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
