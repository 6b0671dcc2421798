//! Turns for slow work on a body (to decompress it, to search it for a key), off the async workers.
//!
//! Bodies of senders with a right key in a header have a few turns at once. Any other body may belong to no source: such
//! bodies have one turn at a time, on a thread of low priority, and a pause follows each turn. So however many of them
//! arrive, they take at most a fifth of one core, and only while nothing else needs it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// The turns at once for bodies of senders with a right key in a header.
const KEYED_AT_ONCE: usize = 4;
/// The longest wait for a turn.
const WAIT: Duration = Duration::from_secs(10);
/// The pause after the turn of a body without a right key in a header, as a multiple of the processor time that it took.
const PAUSE: u32 = 4;

#[derive(Debug)]
pub(super) struct Turns {
    keyed: Arc<Semaphore>,
    keyless: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self { keyed: Arc::new(Semaphore::new(KEYED_AT_ONCE)), keyless: Arc::new(Semaphore::new(1)) }
    }
}

impl Turns {
    /// Waits for a turn and does the work; returns `None` if no turn comes in time.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        is_keyed: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let turns = if is_keyed { &self.keyed } else { &self.keyless };
        let turn = timeout(WAIT, Arc::clone(turns).acquire_owned()).await.ok()?.ok()?;
        if is_keyed {
            let work = move || {
                let done = work();
                drop(turn);
                done
            };
            return tokio::task::spawn_blocking(work).await.ok();
        }
        let (done, result) = oneshot::channel();
        let thread = std::thread::Builder::new().name("keyless body".to_owned()).spawn(move || {
            lower_priority();
            // The sender may have given up.
            let _ = done.send(work());
            std::thread::sleep(processor_time() * PAUSE);
            drop(turn);
        });
        drop(thread.ok()?);
        result.await.ok()
    }
}

/// Lowers the priority of the current thread, on Linux, which has a priority for each thread. Elsewhere the turn competes
/// with the other threads.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(10);
}

/// Returns the processor time that the current thread has used.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
