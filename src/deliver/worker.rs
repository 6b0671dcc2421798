//! One worker of a destination: takes a call, makes it, reports the answer. It has one connection and makes
//! one call at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::Target;
use super::connection::{Answer, CallError, Connection};
use crate::outbox::Attempt;
use crate::outbox::chunk::Job;

/// A call with the attempts made before.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) job: Job,
    pub(super) attempts: Vec<Attempt>,
    /// When it was added to the window; see `Window::loaded`.
    pub(super) generation: u32,
    /// The key of the lane that it was loaded from.
    pub(super) lane: u32,
}

impl Work {
    pub(super) const fn new(job: Job, attempts: Vec<Attempt>, lane: u32) -> Self {
        Self { job, attempts, generation: 0, lane }
    }
}

/// A call that a worker makes now.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) work: Work,
    /// When it was handed out.
    pub(super) began: Instant,
}

/// The outcome of a call.
#[derive(Debug)]
pub(super) struct EndedCall {
    pub(super) call: Call,
    pub(super) outcome: Result<Answer, CallError>,
    /// How long the call took.
    pub(super) took: Duration,
}

pub(super) struct Worker {
    target: Arc<Target>,
    calls: async_channel::Receiver<Call>,
    done: mpsc::UnboundedSender<EndedCall>,
    connection: Connection,
    deadline: Deadline,
}

impl Worker {
    pub(super) fn new(
        target: Arc<Target>,
        calls: async_channel::Receiver<Call>,
        done: mpsc::UnboundedSender<EndedCall>,
    ) -> Self {
        let connection = Connection::new(Arc::clone(&target.endpoint));
        Self { target, calls, done, connection, deadline: Deadline::new() }
    }

    /// Works until the dispatcher has no more calls.
    pub(super) async fn run(mut self) {
        while let Some(call) = self.next().await {
            let started = Instant::now();
            let outcome = self.call(&call, started).await;
            if self.done.send(EndedCall { call, outcome, took: started.elapsed() }).is_err() {
                break;
            }
        }
    }

    async fn next(&mut self) -> Option<Call> {
        loop {
            tokio::select! {
                biased;
                call = self.calls.recv() => return call.ok(),
                // A closed connection is noticed while idle, so that the next call does not have to notice it.
                () = self.connection.closed() => {}
            }
        }
    }

    /// Makes a call that ends within its time since it was handed out: after that, the lane of the call may be another relay's.
    async fn call(&mut self, Call { work, began }: &Call, now: Instant) -> Result<Answer, CallError> {
        let (job, ends) = (&work.job, *began + self.target.timeout);
        if now >= ends {
            return Err(CallError::TooLate);
        }
        self.deadline.set(ends);
        tokio::select! {
            biased;
            outcome = self.connection.call(job.path.as_str(), job.body.clone()) => outcome,
            () = self.deadline.passed() => Err(self.connection.give_up()),
        }
    }
}

/// A deadline without a timer per call: the one timer is set again only after it has expired.
struct Deadline {
    timer: Pin<Box<Sleep>>,
    at: Instant,
}

impl Deadline {
    fn new() -> Self {
        let now = Instant::now();
        Self { timer: Box::pin(tokio::time::sleep_until(now)), at: now }
    }

    fn set(&mut self, at: Instant) {
        self.at = at;
    }

    async fn passed(&mut self) {
        loop {
            self.timer.as_mut().await;
            if Instant::now() >= self.at {
                return;
            }
            self.timer.as_mut().reset(self.at);
        }
    }
}
