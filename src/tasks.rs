//! The only place that spawns tasks. Each task belongs to a group, and groups are stopped in a known order.
//!
//! If a task panics, the process stops in that order too: a restart is better than a relay that works in part.

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
    /// All groups share `broken`, which is cancelled when any task panics.
    pub fn new(broken: &CancellationToken) -> Self {
        Self { tracker: TaskTracker::new(), stop: CancellationToken::new(), broken: broken.clone() }
    }

    /// Returns the signal that asks this group's tasks to end.
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

    /// Runs blocking work on a thread of its own. The work must end by itself soon after the stop signal.
    pub fn spawn_thread(
        &self,
        name: &'static str,
        work: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        let watch = Watch { name, broken: self.broken.clone() };
        let token = self.tracker.token();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _held = (token, watch);
            work();
        });
        thread.map(drop)
    }

    /// The process stops, as after a panic: a task cannot do its work.
    pub fn give_up(&self) {
        self.broken.cancel();
    }

    /// Asks the group to end and waits for it; returns false if it did not end in time.
    pub async fn stop(&self, deadline: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}

/// Its drop detects that a task panicked.
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
