//! The one place where tasks are spawned: each belongs to a group that is stopped as one, in a known order.
//!
//! A task that panics takes the process down in that order too: half a relay is worse than a restart.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks with one stop signal. Clones are the same group.
#[derive(Debug, Clone)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
    broken: CancellationToken,
}

impl Tasks {
    /// `broken` is shared by all groups: cancelled when any task panics.
    pub fn new(broken: &CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), broken: broken.clone() }
    }

    /// The signal by which this group's tasks know that they are to end.
    pub fn stop_signal(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let watch = Watch { name, broken: self.broken.clone() };
        self.tracker.spawn(async move {
            let _watch = watch;
            task.await;
        });
    }

    /// Tells the group to end and waits for it; false if it had not ended by the deadline.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}

/// Notices a task that unwinds.
struct Watch {
    name: &'static str,
    broken: CancellationToken,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task.name = self.name, "a task of the relay panicked; the relay stops");
            self.broken.cancel();
        }
    }
}
