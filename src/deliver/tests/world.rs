//! One outbox on disk and one scripted destination, which checks every call against the promises.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::accoil::Request;
use crate::decode::Form;
use crate::deliver::dispatcher::Dispatcher;
use crate::deliver::worker::{Call as Handed, EndedCall, Work};
use crate::deliver::*;
use crate::facts::Facts;
use crate::outbox::{Accepted, Lanes, Options, Retention, Submission};

/// In the test's time. A dispatcher that never wakes lets it pass immediately.
pub(super) const TEST_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
pub(super) const WORKERS: usize = 8;
pub(super) const FOR_GOOD: Retention = Retention { age: TEST_TIMEOUT, bytes: u64::MAX };

pub(super) type Outcome = Result<Answer, CallError>;
pub(super) type Script = Box<dyn FnMut(&Call<'_>) -> (Duration, Outcome) + Send>;

/// What the script knows about a call.
pub(super) struct Call<'c> {
    pub(super) user: &'c str,
    pub(super) attempt: usize,
    /// The time since the test began.
    pub(super) at: Duration,
}

#[expect(clippy::unnecessary_wraps, reason = "an outcome, as the scripts give them")]
pub(super) fn answer(status: u16) -> Outcome {
    Ok(Answer { status, headers: HeaderMap::new(), body: Bytes::new() })
}

/// Numbers that look random and are the same in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Replaces the workers and the destination, and checks every call against the promises.
pub(super) struct Destination {
    pub(super) script: Script,
    pub(super) started: Instant,
    /// Users with a call in flight.
    pub(super) busy: HashSet<String>,
    /// The last of each user's requests that was settled.
    pub(super) last: HashMap<String, u64>,
    /// When each call was made, since the test began.
    pub(super) calls: Vec<Duration>,
    pub(super) faults: Vec<String>,
    pub(super) ended: watch::Sender<usize>,
}

impl Destination {
    pub(super) fn begin(&mut self, work: &Work) -> (Duration, Outcome) {
        let (user, number) = identity(work);
        if !self.busy.insert(user.clone()) {
            self.faults.push(format!("{user} has two calls in flight at {number}"));
        }
        let expected = self.last.get(&user).map_or(0, |last| last + 1);
        if number != expected {
            self.faults.push(format!("{user}: {number} called, {expected} expected"));
        }
        let (attempt, at) = (work.attempts.len(), self.started.elapsed());
        self.calls.push(at);
        (self.script)(&Call { user: &user, attempt, at })
    }

    pub(super) fn end(&mut self, work: &Work, outcome: &Outcome) {
        let (user, number) = identity(work);
        self.busy.remove(&user);
        let status = outcome.as_ref().ok().map(|answer| answer.status);
        if matches!(classify(status), Verdict::Delivered | Verdict::Permanent) {
            self.last.insert(user, number);
            self.ended.send_modify(|ended| *ended += 1);
        }
    }
}

pub(super) fn identity(work: &Work) -> (String, u64) {
    let number = String::from_utf8_lossy(&work.job.body).parse().unwrap();
    (work.job.user.as_str().to_owned(), number)
}

/// One outbox on disk and one destination, over several runs of the dispatcher.
pub(super) struct World {
    pub(super) directory: tempfile::TempDir,
    pub(super) destination: Arc<Mutex<Destination>>,
    pub(super) numbers: HashMap<String, u64>,
    pub(super) sent: usize,
    pub(super) schedule: Schedule,
    pub(super) pauses: Pauses,
    /// See [`run_clock`].
    pub(super) step: Duration,
    pub(super) facts: Facts,
}

pub(super) struct Run {
    pub(super) outbox: Outbox,
    pub(super) stop: CancellationToken,
    pub(super) tasks: JoinSet<()>,
    pub(super) status: watch::Receiver<Status>,
}

impl World {
    pub(super) fn new(script: impl FnMut(&Call<'_>) -> (Duration, Outcome) + Send + 'static) -> Self {
        let destination = Destination {
            script: Box::new(script),
            started: Instant::now(),
            busy: HashSet::new(),
            last: HashMap::new(),
            calls: Vec::new(),
            faults: Vec::new(),
            ended: watch::Sender::new(0),
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            destination: Arc::new(Mutex::new(destination)),
            numbers: HashMap::new(),
            sent: 0,
            step: Duration::from_millis(20),
            facts: Facts::off(),
            pauses: Pauses::default(),
            schedule: Schedule {
                initial: Duration::from_secs(1),
                longest: Duration::from_secs(60),
                most_age: TEST_TIMEOUT,
                most_attempts: u32::MAX,
            },
        }
    }

    pub(super) fn start(&self) -> Run {
        let outbox = self.open("relay.db");
        let lanes = outbox.lanes();
        self.start_on(vec![outbox], lanes)
    }

    pub(super) fn open(&self, name: &str) -> Outbox {
        let outbox = Outbox::open(&Options {
            path: self.directory.path().join(name),
            deduplication_ids: 0,
            longest_window: Duration::ZERO,
            max_bytes: u64::MAX,
            min_free_disk: 0,
            dead_letters: FOR_GOOD,
            rejects: FOR_GOOD,
        });
        outbox.unwrap()
    }

    /// Nothing listens there.
    pub(super) fn target(&self) -> Target {
        Target {
            name: Arc::from("accoil"),
            endpoint: Arc::new(Endpoint::new("http://127.0.0.1:1").unwrap()),
            concurrency: WORKERS,
            rate: None,
            timeout: Duration::from_secs(30),
            schedule: self.schedule,
            pauses: self.pauses,
            control: Control::default(),
        }
    }

    /// Delivers what is in these lanes of these outboxes; the first one accepts.
    pub(super) fn start_on(&self, outboxes: Vec<Outbox>, lanes: watch::Receiver<Lanes>) -> Run {
        let (outbox, target) = (outboxes[0].clone(), self.target());
        let (work, received) = async_channel::unbounded::<Handed>();
        let (done, answers) = tokio::sync::mpsc::unbounded_channel();
        let (shown, status) = watch::channel(Status::new(Arc::clone(&target.name)));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(run_clock(outboxes, self.step, stop.clone()));
        for _ in 0..WORKERS {
            let (received, done, destination) =
                (received.clone(), done.clone(), Arc::clone(&self.destination));
            tasks.spawn(async move {
                while let Ok(call) = received.recv().await {
                    let (time, outcome) = destination.lock().unwrap().begin(&call.work);
                    tokio::time::sleep(time).await;
                    destination.lock().unwrap().end(&call.work, &outcome);
                    let _ = done.send(EndedCall { call, outcome, took: time });
                }
            });
        }
        let dispatcher = Dispatcher::new(
            Arc::new(target),
            outbox.clone(),
            lanes,
            self.facts.clone(),
            work,
            answers,
            shown,
        );
        tasks.spawn(dispatcher.run(stop.clone()));
        Run { outbox, stop, tasks, status }
    }

    /// Accepts one more request of each of these users, as one post.
    pub(super) async fn accept(&mut self, run: &Run, users: impl IntoIterator<Item = String>) {
        let submission = self.submission(users);
        run.outbox.accept(submission).await.unwrap();
    }

    /// Accepts them as old events, when there is room.
    pub(super) async fn accept_old(&mut self, run: &Run, users: impl IntoIterator<Item = String>) {
        run.outbox.background().room(&HashSet::from(["accoil".to_owned()])).await;
        let submission = self.submission(users);
        run.outbox.accept_in_background(submission).await.unwrap();
    }

    pub(super) fn submission(&mut self, users: impl IntoIterator<Item = String>) -> Submission {
        let mut accepted = Vec::new();
        for user in users {
            let number = self.numbers.entry(user.clone()).or_default();
            accepted.push(Accepted {
                event: crate::event_id::EventId(1),
                original: Bytes::from_static(b"{}"),
                message_id: None,
                requests: vec![request(user, *number)],
                warned: Vec::new(),
                title: None,
            });
            *number += 1;
            self.sent += 1;
        }
        Submission {
            source: Arc::from("web"),
            form: Form::SegmentWebhook,
            received_at: chrono::Utc::now(),
            deduplication_window: Duration::ZERO,
            accepted,
            rejects: Vec::new(),
            skipped: Vec::new(),
            envelope: None,
            mappings: 0,
        }
    }

    /// Waits until this number of requests is settled.
    pub(super) async fn ended(&self, count: usize) {
        let mut ended = self.destination.lock().unwrap().ended.subscribe();
        let reached = tokio::time::timeout(TEST_TIMEOUT, ended.wait_for(|ended| *ended >= count)).await;
        let state = self.destination.lock().unwrap();
        assert!(
            reached.is_ok(),
            "{} of {count} settled after {} calls",
            *state.ended.borrow(),
            state.calls.len()
        );
    }

    /// Waits until everything is settled; then nothing may be left anywhere.
    pub(super) async fn conclude(self, mut run: Run) -> Status {
        self.ended(self.sent).await;
        let idle = |status: &Status| status.loaded == 0 && status.waiting_users == 0;
        let status = tokio::time::timeout(TEST_TIMEOUT, run.status.wait_for(idle)).await;
        let status = status.expect("users and requests are let go").unwrap().clone();
        run.stop().await;
        let run = self.start();
        let lane = run.outbox.lanes().borrow().owned[0].clone();
        assert!(lane.next_chunk(lane.start()).await.unwrap().is_none(), "a chunk is left");
        assert_eq!(lane.parked_users("accoil").await.unwrap(), [], "somebody is left parked");
        run.stop().await;
        let destination = self.destination.lock().unwrap();
        assert_eq!(destination.faults, [""; 0], "in {} calls", destination.calls.len());
        assert_eq!(*destination.ended.borrow(), self.sent, "each ended once");
        status
    }

    pub(super) fn calls_before(&self, end: Duration) -> usize {
        self.destination.lock().unwrap().calls.iter().filter(|at| **at < end).count()
    }
}

/// The paused clock moves on whenever no task runs, and does not see that the outbox's thread is working. This lets
/// it move by at most one step before the outbox has done everything that it was asked.
pub(super) async fn run_clock(outboxes: Vec<Outbox>, step: Duration, stop: CancellationToken) {
    while !stop.is_cancelled() {
        for outbox in outboxes.clone() {
            let handle = tokio::runtime::Handle::current();
            // A blocking task stops the clock.
            let all_done = move || handle.block_on(outbox.flush());
            let _ = tokio::task::spawn_blocking(all_done).await;
        }
        tokio::time::sleep(step).await;
    }
}

impl Run {
    pub(super) async fn stop(self) {
        self.stop.cancel();
        self.tasks.join_all().await;
        self.outbox.close().await;
    }
}

pub(super) fn request(user: String, number: u64) -> Request {
    Request {
        destination: Arc::from("accoil"),
        mapping: Arc::from("Track Calls"),
        action: "track",
        path: "/v2/track",
        user,
        fingerprints: Vec::new(),
        warnings: String::new(),
        body: number.to_string().into_bytes(),
    }
}

pub(super) fn users(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |index| format!("{prefix}{index}"))
}
