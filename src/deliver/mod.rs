//! Makes the HTTP calls of stored requests (stage 6) and settles each by its answer: delivered, parked for a retry, or a dead letter.
//!
//! One [`dispatcher`] per destination schedules the calls; a bounded set of [`worker`]s makes them, each on one kept-alive
//! connection. A user's calls go one after another. If one waits for its retry, the user's calls move to rows of
//! their own in the outbox and delay nobody else. Nothing leaves the outbox here except after an answer.

mod breaker;
mod classify;
mod clock;
mod concurrency;
mod connection;
mod connector;
mod control;
mod counters;
mod dial;
mod dispatcher;
mod endpoint;
mod failing;
mod limits;
mod rate;
mod reason;
mod retry_after;
mod schedule;
mod status;
mod waiting;
mod window;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use breaker::{Pauses, State};
pub use classify::{Verdict, classify, is_web_page, judge};
pub use connection::{Answer, CallError};
pub use control::{Control, keep_pause, kept_pauses};
pub use counters::{Counters, Failures};
pub use dial::Resolver;
pub use endpoint::{Endpoint, EndpointError};
pub use reason::short as short_reason;
pub use retry_after::{read as read_retry_after, retry_after};
pub use schedule::Schedule;
pub use status::Status;

use crate::facts::Facts;
use crate::outbox::Outbox;
use crate::tasks::Tasks;

/// A destination as the deliver stage needs it.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: Arc<str>,
    pub endpoint: Arc<Endpoint>,
    /// The most calls in flight, each on its own connection; fewer while the destination is overloaded.
    pub concurrency: usize,
    /// The most calls per second.
    pub rate: Option<u32>,
    /// Time limit of one call, from connecting to the end of the answer.
    pub timeout: Duration,
    pub schedule: Schedule,
    pub pauses: Pauses,
    /// Lets an operator pause and resume it.
    pub control: Control,
}

/// Starts deliveries to a destination and returns its status. They end when the group is stopped and the calls in
/// flight are answered.
pub fn start(tasks: &Tasks, outbox: &Outbox, facts: &Facts, target: Target) -> watch::Receiver<Status> {
    let target = Arc::new(target);
    let (work, calls) = async_channel::unbounded();
    let (done, answers) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..target.concurrency {
        let worker = worker::Worker::new(Arc::clone(&target), calls.clone(), done.clone());
        tasks.spawn("delivery worker", worker.run());
    }
    let (shown, status) = watch::channel(Status::new(Arc::clone(&target.name)));
    let dispatcher = dispatcher::Dispatcher::new(
        target,
        outbox.clone(),
        outbox.lanes(),
        facts.clone(),
        work,
        answers,
        shown,
    );
    tasks.spawn("dispatcher", dispatcher.run(tasks.stop_signal()));
    status
}

#[cfg(test)]
mod tests;
