//! Whose turn it is: one task a destination that owns every decision about order, waiting and rest.
//!
//! It holds a bounded window of the outbox in memory. A user has at most one call in flight; what follows waits
//! in the window behind it, or, once a call must be tried again later, in rows of its own in the outbox.
//! No lock, no task and no timer a request. Never keeps a user in memory that has nothing loaded or parked.

use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Target;
use super::breaker::Breaker;
use super::classify::{Verdict, classify};
use super::connection::{Answer, CallError};
use super::schedule;
use super::worker::{Done, Work};
use crate::outbox::chunk::Job;
use crate::outbox::{Attempt, Delivered, Outbox, Place, Settlement};

/// Requests in the window at most, and their bytes.
const WINDOW_REQUESTS: usize = 16_384;
const WINDOW_BYTES: usize = 16 << 20;
/// With this many users waiting for a retry no more is loaded: their number bounds memory, and a destination
/// with so many is in trouble.
const MOST_PARKED_USERS: usize = 10_000;
/// Derived calls remembered as delivered.
const MOST_SAID: usize = 500_000;
/// After a failed read of parked requests the next comes this much later.
const REREAD: chrono::Duration = chrono::Duration::seconds(5);
/// Answers taken at a time.
const MOST_ANSWERS: usize = 256;

pub(super) struct Dispatcher {
    target: Arc<Target>,
    outbox: Outbox,
    latest: watch::Receiver<i64>,
    failed: watch::Receiver<bool>,
    work: async_channel::Sender<Work>,
    answers: mpsc::UnboundedReceiver<Done>,
    /// The last chunk loaded, or passed over.
    cursor: i64,
    /// Requests whose turn has come.
    ready: VecDeque<Work>,
    /// Users (hashed; a collision merely makes two wait for each other) with a request ready or in flight, and what
    /// follows it.
    turns: HashMap<u64, VecDeque<Work>>,
    hasher: RandomState,
    /// Users with requests parked: what comes for them is parked behind.
    parked: HashSet<String>,
    /// When each parked user's first request is due; a user is absent while theirs are in the window again.
    due: BinaryHeap<Reverse<(DateTime<Utc>, String)>>,
    said: Delivered,
    breaker: Breaker,
    in_flight: usize,
    window_requests: usize,
    window_bytes: usize,
    settlements: Vec<Settlement>,
}

impl Dispatcher {
    pub(super) fn new(
        target: Arc<Target>,
        outbox: Outbox,
        work: async_channel::Sender<Work>,
        answers: mpsc::UnboundedReceiver<Done>,
    ) -> Self {
        Self {
            latest: outbox.latest(),
            failed: outbox.failed(),
            target,
            outbox,
            work,
            answers,
            cursor: 0,
            ready: VecDeque::new(),
            turns: HashMap::new(),
            hasher: RandomState::new(),
            parked: HashSet::new(),
            due: BinaryHeap::new(),
            said: Delivered::new(MOST_SAID),
            breaker: Breaker::default(),
            in_flight: 0,
            window_requests: 0,
            window_bytes: 0,
            settlements: Vec::new(),
        }
    }

    /// Delivers until stopped; then waits for the answers to what is in flight.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.recover().await;
        let mut answers = Vec::new();
        while !stop.is_cancelled() && !*self.failed.borrow() {
            let more = self.load().await;
            self.unpark_due().await;
            self.dispatch();
            self.settle();
            let wake_at = self.next_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                _ = self.answers.recv_many(&mut answers, MOST_ANSWERS) => self.record_all(&mut answers),
                _ = self.latest.changed(), if !more => {}
                () = sleep_until(wake_at) => {}
                _ = self.failed.changed() => {}
            }
        }
        self.finish(&mut answers).await;
    }

    /// What the last run left: who waits, and what was said.
    async fn recover(&mut self) {
        match self.outbox.parked_users(&self.target.name).await {
            Ok(users) => {
                for (user, at) in users {
                    self.due.push(Reverse((at.unwrap_or_default(), user.clone())));
                    self.parked.insert(user);
                }
            }
            Err(error) => tracing::error!(error.message = %error, "parked requests could not be read"),
        }
        match self.outbox.said(MOST_SAID).await {
            Ok(said) => self.said.insert(&said),
            Err(error) => tracing::error!(error.message = %error, "delivered fingerprints could not be read"),
        }
    }

    /// Fills the window from the outbox; true if it is full or may be filled further at once.
    async fn load(&mut self) -> bool {
        // Marks what has come so far as seen before looking, so that nothing committed meanwhile is slept over.
        self.latest.borrow_and_update();
        while self.has_room() {
            match self.outbox.chunk_after(self.cursor).await {
                Ok(Some(chunk)) => {
                    self.cursor = chunk.id;
                    let (Ok(jobs) | Err(jobs)) = chunk.jobs(&self.target.name).inspect_err(|_| {
                        tracing::error!(
                            chunk.id = chunk.id,
                            "a chunk of the outbox cannot be read to its end; it is kept"
                        );
                    });
                    for job in jobs {
                        self.admit(Work { job, attempts: Vec::new() });
                    }
                }
                Ok(None) => return false,
                Err(error) => {
                    tracing::error!(error.message = %error, "the outbox could not be read; trying again");
                    return false;
                }
            }
        }
        true
    }

    fn has_room(&self) -> bool {
        self.window_requests < WINDOW_REQUESTS
            && self.window_bytes < WINDOW_BYTES
            && self.parked.len() < MOST_PARKED_USERS
    }

    /// Takes a request into the window, or parks it behind what its user has waiting.
    fn admit(&mut self, work: Work) {
        let behind = matches!(work.job.place, Place::Chunk { .. })
            && !self.parked.is_empty()
            && self.parked.contains(work.job.user.as_str());
        if behind {
            self.settlements.push(parked(work, None));
            return;
        }
        self.window_requests += 1;
        self.window_bytes += work.job.body.len() + work.job.original.len();
        let user = self.hasher.hash_one(work.job.user.as_str());
        if let Some(followers) = self.turns.get_mut(&user) {
            followers.push_back(work);
        } else {
            self.turns.insert(user, VecDeque::new());
            self.ready.push_back(work);
        }
    }

    /// Brings back the requests of users whose time has come.
    async fn unpark_due(&mut self) {
        let now = Utc::now();
        let mut users = Vec::new();
        while users.len() < self.target.concurrency
            && self.window_requests < WINDOW_REQUESTS
            && self.due.peek().is_some_and(|Reverse((at, _))| *at <= now)
            && let Some(Reverse((_, user))) = self.due.pop()
        {
            users.push(user);
        }
        if users.is_empty() {
            return;
        }
        // What was settled so far must be seen by the reading.
        self.settle();
        match self.outbox.parked(&self.target.name, users.clone()).await {
            Ok(rows) => {
                for row in rows {
                    self.admit(Work { job: row.job, attempts: row.attempts });
                }
                // Users of whom nothing is left are like any other again.
                for user in users {
                    if !self.turns.contains_key(&self.hasher.hash_one(user.as_str())) {
                        self.parked.remove(&user);
                    }
                }
            }
            Err(error) => {
                tracing::error!(error.message = %error, "parked requests could not be read back; trying again");
                self.due.extend(users.into_iter().map(|user| Reverse((now + REREAD, user))));
            }
        }
    }

    /// Hands out as many requests as may be in flight.
    fn dispatch(&mut self) {
        let allowed = self.breaker.allowed(self.target.concurrency, Instant::now());
        while self.in_flight < allowed
            && let Some(work) = self.ready.pop_front()
        {
            if self.said.holds(&work.job.fingerprints) {
                self.leave_window(&work.job);
                self.settlements.push(Settlement::Delivered { place: work.job.place, said: Vec::new() });
                self.next_turn(&work.job);
                continue;
            }
            self.in_flight += 1;
            // Unbounded, and the workers outlive this task: it cannot fail.
            let _ = self.work.try_send(work);
        }
    }

    fn record_all(&mut self, answers: &mut Vec<Done>) {
        for done in answers.drain(..) {
            self.in_flight -= 1;
            self.leave_window(&done.work.job);
            self.record(done);
        }
    }

    fn record(&mut self, done: Done) {
        let Done { mut work, outcome } = done;
        let status = outcome.as_ref().ok().map(|answer| answer.status);
        let verdict = classify(status);
        if verdict == Verdict::Delivered {
            self.recovered();
            self.said.insert(&work.job.fingerprints);
            self.next_turn(&work.job);
            let said = work.job.fingerprints;
            self.settlements.push(Settlement::Delivered { place: work.job.place, said });
            return;
        }
        let now = Utc::now();
        work.attempts.push(Attempt { at: now, status, reason: reason(&outcome) });
        match verdict {
            Verdict::Delivered | Verdict::Permanent => {
                self.recovered();
                self.bury(work);
            }
            Verdict::Credentials => {
                if self.breaker.refused(Instant::now()) {
                    tracing::error!(
                        destination.name = &*self.target.name,
                        http.status = status,
                        "the destination refuses the key; its queue is kept and one probe a minute is sent: mend the key"
                    );
                }
                self.park(work, now + chrono::Duration::minutes(1));
            }
            Verdict::Retry => {
                if self.breaker.troubled(Instant::now()) {
                    let reason = work.attempts.last().map(|attempt| attempt.reason.as_str());
                    tracing::warn!(
                        destination.name = &*self.target.name,
                        reason,
                        "the destination is in trouble; it is given rests"
                    );
                }
                let first = work.attempts.first().map_or(now, |attempt| attempt.at);
                let made = u32::try_from(work.attempts.len()).unwrap_or(u32::MAX);
                match self.target.schedule.next(now, first, made, retry_after(&outcome), random()) {
                    Some(at) => self.park(work, at),
                    None => self.bury(work),
                }
            }
        }
    }

    fn recovered(&mut self) {
        if self.breaker.healthy() {
            tracing::info!(destination.name = &*self.target.name, "the destination answers again");
        }
    }

    /// The user's next request is ready, if there is one; a parked user's further rows are fetched.
    fn next_turn(&mut self, job: &Job) {
        let user = self.hasher.hash_one(job.user.as_str());
        if let Some(next) = self.turns.get_mut(&user).and_then(VecDeque::pop_front) {
            self.ready.push_back(next);
            return;
        }
        self.turns.remove(&user);
        if matches!(job.place, Place::Parked { .. }) {
            self.due.push(Reverse((DateTime::UNIX_EPOCH, job.user.as_str().to_owned())));
        }
    }

    /// The request waits until then, and all that its user has waits behind it.
    fn park(&mut self, work: Work, at: DateTime<Utc>) {
        let user = work.job.user.as_str().to_owned();
        let followers = self.turns.remove(&self.hasher.hash_one(user.as_str())).unwrap_or_default();
        self.settlements.push(parked(work, Some(at)));
        for follower in followers {
            self.leave_window(&follower.job);
            if follower.job.user.as_str() == user {
                // One that was parked already is still in its row.
                if matches!(follower.job.place, Place::Chunk { .. }) {
                    self.settlements.push(parked(follower, None));
                }
            } else {
                self.admit(follower);
            }
        }
        self.due.push(Reverse((at, user.clone())));
        self.parked.insert(user);
    }

    fn bury(&mut self, work: Work) {
        self.next_turn(&work.job);
        tracing::warn!(
            destination.name = &*self.target.name,
            mapping.name = work.job.mapping.as_str(),
            http.status = work.attempts.last().and_then(|attempt| attempt.status),
            "a call became a dead letter"
        );
        self.settlements.push(Settlement::Dead { job: Box::new(work.job), attempts: work.attempts });
    }

    fn leave_window(&mut self, job: &Job) {
        self.window_requests -= 1;
        self.window_bytes -= job.body.len() + job.original.len();
    }

    fn settle(&mut self) {
        if !self.settlements.is_empty() {
            self.outbox.settle(std::mem::take(&mut self.settlements));
        }
    }

    fn next_wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let rest = self.breaker.rests_until(now);
        let due =
            self.due.peek().map(|Reverse((at, _))| now + (*at - Utc::now()).to_std().unwrap_or_default());
        match (rest, due) {
            (Some(rest), Some(due)) => Some(rest.min(due)),
            (one, other) => one.or(other),
        }
    }

    /// No more is handed out; what is in flight is answered and settled. What is not stays in the outbox.
    async fn finish(mut self, answers: &mut Vec<Done>) {
        self.work.close();
        while self.in_flight > 0 && self.answers.recv_many(answers, MOST_ANSWERS).await > 0 {
            self.record_all(answers);
            self.settle();
        }
        self.settle();
    }
}

fn parked(work: Work, next_attempt_at: Option<DateTime<Utc>>) -> Settlement {
    Settlement::Parked { job: Box::new(work.job), attempts: work.attempts, next_attempt_at }
}

fn retry_after(outcome: &Result<Answer, CallError>) -> Option<std::time::Duration> {
    let answer = outcome.as_ref().ok()?;
    let value = answer.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?;
    schedule::retry_after(value, Utc::now())
}

/// What is kept of a failure, for a person.
fn reason(outcome: &Result<Answer, CallError>) -> String {
    match outcome {
        Ok(answer) if answer.body.is_empty() => format!("answered {} without a text", answer.status),
        Ok(answer) => format!("answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
        Err(error) => error.to_string(),
    }
}

/// In `0.0..1.0`; spreads retries, guards nothing.
fn random() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() & u128::from(u32::MAX);
    #[expect(clippy::cast_precision_loss, reason = "32 bits fit a double exactly")]
    let value = bits as f64;
    value / (f64::from(u32::MAX) + 1.0)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
