//! Whether there is room for more: what waits against its limit, the disk against its floor.
//!
//! Asked for every submission, so it costs an atomic read; the disk itself is asked a few times a second. Shared by
//! the handles, which ask, and the writer, which counts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{AcceptError, Options};

/// The disk is asked this often at most.
const ASK: Duration = Duration::from_millis(100);
/// While there is no room, the log says so this often.
const SAY: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Space {
    folder: PathBuf,
    max_bytes: u64,
    min_free_disk: u64,
    /// Bytes of chunks and of parked requests.
    waiting: AtomicU64,
    /// Bytes of the file that are used before it grows.
    reusable: AtomicU64,
    is_low: AtomicBool,
    started: Instant,
    asked: AtomicU64,
    said: AtomicU64,
}

impl Space {
    pub(super) fn new(options: &Options, waiting: u64, reusable: u64) -> Self {
        let folder = options.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self {
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            max_bytes: options.max_bytes,
            min_free_disk: options.min_free_disk,
            waiting: AtomicU64::new(waiting),
            reusable: AtomicU64::new(reusable),
            is_low: AtomicBool::new(false),
            started: Instant::now(),
            asked: AtomicU64::new(0),
            said: AtomicU64::new(0),
        }
    }

    /// Bytes that wait to be delivered.
    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts what a commit brought and took away.
    pub(super) fn count(&self, added: u64, freed: u64) {
        // One writer: nobody counts in between.
        self.waiting.store((self.waiting() + added).saturating_sub(freed), Ordering::Relaxed);
    }

    pub(super) fn set_reusable(&self, bytes: u64) {
        self.reusable.store(bytes, Ordering::Relaxed);
    }

    /// Whether so many bytes more may be stored.
    pub(super) fn check(&self, bytes: u64) -> Result<(), AcceptError> {
        let waiting = self.waiting();
        if waiting + bytes > self.max_bytes {
            self.say(|| {
                tracing::warn!(
                    outbox.bytes = waiting,
                    "the outbox holds as much as outbox.max_bytes allows; senders are told to come again"
                );
            });
            return Err(AcceptError::Full);
        }
        if self.is_low() {
            self.say(|| {
                tracing::warn!(
                    "the disk has less room than outbox.min_free_disk asks for; senders are told to come again"
                );
            });
            return Err(AcceptError::Full);
        }
        Ok(())
    }

    fn is_low(&self) -> bool {
        if self.is_time(&self.asked, ASK) {
            self.is_low.store(self.ask(), Ordering::Relaxed);
        }
        self.is_low.load(Ordering::Relaxed)
    }

    fn ask(&self) -> bool {
        // A disk that does not answer is found out by the next commit.
        rustix::fs::statvfs(&self.folder).is_ok_and(|disk| {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            free.saturating_add(self.reusable.load(Ordering::Relaxed)) < self.min_free_disk
        })
    }

    fn say(&self, what: impl FnOnce()) {
        if self.is_time(&self.said, SAY) {
            what();
        }
    }

    /// Whether it is the first time, or so long since the last time; only one asker is told so.
    fn is_time(&self, last: &AtomicU64, after: Duration) -> bool {
        // Never zero, which stands for "not yet".
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let before = last.load(Ordering::Relaxed);
        let is_due = before == 0 || u128::from(now - before.min(now)) >= after.as_millis();
        is_due && last.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Retention;

    fn space(max_bytes: u64, min_free_disk: u64) -> Space {
        let retention = Retention { age: Duration::from_secs(1), bytes: 1 };
        let options = Options {
            path: PathBuf::from("relay.db"),
            deduplication_ids: 0,
            longest_window: Duration::ZERO,
            max_bytes,
            min_free_disk,
            dead_letters: retention,
            rejects: retention,
        };
        Space::new(&options, 0, 0)
    }

    #[test]
    fn what_waits_is_held_to_its_limit_and_room_comes_back() {
        let space = space(100, 0);
        assert_eq!(space.check(100), Ok(()));
        space.count(60, 0);
        assert_eq!((space.check(40), space.check(41)), (Ok(()), Err(AcceptError::Full)));
        space.count(0, 60);
        assert_eq!(space.check(100), Ok(()));
    }

    #[test]
    fn what_the_file_can_use_again_counts_as_free() {
        let space = space(u64::MAX, u64::MAX);
        assert!(space.ask());
        space.set_reusable(u64::MAX);
        assert!(!space.ask());
        assert_eq!(space.check(1), Ok(()));
    }
}
