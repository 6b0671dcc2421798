//! One caller of a destination: takes a request, makes the call, reports the answer; one connection, one at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use super::Target;
use super::connection::{Answer, CallError, Connection};
use crate::outbox::Attempt;
use crate::outbox::chunk::Job;

/// A request on its way, with the attempts made before.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) job: Job,
    pub(super) attempts: Vec<Attempt>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) work: Work,
    pub(super) outcome: Result<Answer, CallError>,
    /// How long the call took.
    pub(super) took: Duration,
}

pub(super) struct Worker {
    target: Arc<Target>,
    work: async_channel::Receiver<Work>,
    done: mpsc::UnboundedSender<Done>,
    connection: Connection,
    patience: Patience,
}

impl Worker {
    pub(super) fn new(
        target: Arc<Target>,
        work: async_channel::Receiver<Work>,
        done: mpsc::UnboundedSender<Done>,
    ) -> Self {
        let connection = Connection::new(Arc::clone(&target.endpoint));
        Self { target, work, done, connection, patience: Patience::new() }
    }

    /// Works until the dispatcher has no more for it.
    pub(super) async fn run(mut self) {
        while let Some(work) = self.next().await {
            let begun = Instant::now();
            let outcome = self.call(&work.job).await;
            if self.done.send(Done { work, outcome, took: begun.elapsed() }).is_err() {
                break;
            }
        }
    }

    async fn next(&mut self) -> Option<Work> {
        loop {
            tokio::select! {
                biased;
                work = self.work.recv() => return work.ok(),
                // Seen while idle, so that the next call need not find out.
                () = self.connection.closed() => {}
            }
        }
    }

    async fn call(&mut self, job: &Job) -> Result<Answer, CallError> {
        self.patience.until(self.target.timeout);
        tokio::select! {
            biased;
            outcome = self.connection.call(Method::POST, job.path.as_str(), job.body.clone()) => outcome,
            () = self.patience.ended() => Err(self.connection.give_up()),
        }
    }
}

/// A deadline that costs no timer a call: the one timer is set anew only when it has run out.
struct Patience {
    timer: Pin<Box<Sleep>>,
    deadline: Instant,
}

impl Patience {
    fn new() -> Self {
        let now = Instant::now();
        Self { timer: Box::pin(tokio::time::sleep_until(now)), deadline: now }
    }

    fn until(&mut self, timeout: Duration) {
        self.deadline = Instant::now() + timeout;
    }

    async fn ended(&mut self) {
        loop {
            self.timer.as_mut().await;
            if Instant::now() >= self.deadline {
                return;
            }
            self.timer.as_mut().reset(self.deadline);
        }
    }
}
