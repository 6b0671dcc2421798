//! Requests become HTTP calls (stage 6), and every answer is recorded: delivered, tried again, or a dead letter.
//!
//! One [`dispatcher`] a destination decides whose turn it is; a bounded set of [`worker`]s, a kept-alive
//! connection each, makes the calls. One user's calls go one after another; a user whose call waits for its
//! retry is moved to rows of their own in the outbox and holds up nobody else.
//! Nothing leaves the outbox here except by an answer that says so.

mod breaker;
mod classify;
mod clock;
mod concurrency;
pub mod connection;
mod dispatcher;
pub mod endpoint;
mod limits;
mod rate;
mod schedule;
mod status;
mod waiting;
mod window;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

pub use breaker::{Rests, State};
pub use classify::{Verdict, classify};
pub use connection::{Answer, CallError, Connection};
pub use endpoint::{Endpoint, EndpointError};
pub use schedule::{Schedule, random, read_retry_after, retry_after};
pub use status::Status;

use crate::outbox::Outbox;
use crate::tasks::Tasks;

/// A destination as the deliver stage needs it.
#[derive(Debug, Clone)]
pub struct Target {
    pub name: Arc<str>,
    pub endpoint: Arc<Endpoint>,
    /// Calls in flight at once at most, a connection each; fewer while the destination is overloaded.
    pub concurrency: usize,
    /// Calls a second at most.
    pub rate: Option<u32>,
    /// For one call, from connect to the end of the answer.
    pub timeout: Duration,
    pub schedule: Schedule,
    pub rests: Rests,
}

/// Starts delivering to a destination; ends when the group is stopped and what was in flight has been answered.
/// Shows how the destination is doing.
pub fn start(tasks: &Tasks, outbox: &Outbox, target: Target) -> watch::Receiver<Status> {
    let target = Arc::new(target);
    let (work, workers) = async_channel::unbounded();
    let (done, answers) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..target.concurrency {
        let worker = worker::Worker::new(Arc::clone(&target), workers.clone(), done.clone());
        tasks.spawn("delivery worker", worker.run());
    }
    let (shown, status) = watch::channel(Status::new(Arc::clone(&target.name)));
    let dispatcher = dispatcher::Dispatcher::new(target, outbox.clone(), work, answers, shown);
    tasks.spawn("dispatcher", dispatcher.run(tasks.stop_signal()));
    status
}

#[cfg(test)]
mod tests;
