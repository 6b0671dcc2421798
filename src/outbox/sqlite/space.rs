//! Decides whether there is room for more: compares the waiting calls and the dead letters with their limits, and the
//! disk with its floor.
//!
//! Each submission costs two atomic reads; the free space of the disk is read a few times a second. The handles, which check for
//! room, and the writer, which counts, share a [`Space`].

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super as sqlite;
use crate::outbox::{Amount, NoRoom, Options, Usage};

/// The free space of the disk is read at most this often.
const DISK_INTERVAL: Duration = Duration::from_millis(100);
/// While there is no room, this is logged at most this often.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// After a commit that found no room, the outbox counts as full for this long.
const FULL_FOR: Duration = Duration::from_secs(5);
/// What recording deliveries may add to the log before the log is copied into the file.
const SETTLING: u64 = 4 << 20;
/// Requests that a destination has loaded may all be parked: each is then stored a second time until its chunk is done.
const PARKING: u64 = 16 << 20;
/// The size of a post, as far as readiness is concerned.
const POST: u64 = 4096;

/// An [`Amount`] that the writer stores and every thread can read.
#[derive(Debug, Default)]
struct SharedAmount {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl SharedAmount {
    fn set(&self, amount: Amount) {
        self.rows.store(amount.rows, Ordering::Relaxed);
        self.bytes.store(amount.bytes, Ordering::Relaxed);
    }

    fn get(&self) -> Amount {
        Amount { rows: self.rows.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

#[derive(Debug)]
pub(super) struct Space {
    path: PathBuf,
    /// The largest size that a file of this process may have (`RLIMIT_FSIZE`).
    file_limit: Option<u64>,
    max_bytes: u64,
    max_dead_letter_bytes: u64,
    min_free_disk: u64,
    waiting: SharedAmount,
    dead_letters: SharedAmount,
    rejects: SharedAmount,
    /// Unused bytes of the file, which are used before it grows.
    reusable: AtomicU64,
    /// Bytes in the log for which the file must have room.
    log: AtomicU64,
    /// The free bytes when they were last read.
    free: AtomicU64,
    started: Instant,
    asked: AtomicU64,
    logged: AtomicU64,
    /// When a commit last found no room; zero if never, or if there was room since.
    refused: AtomicU64,
}

impl Space {
    pub(super) fn new(options: &Options, usage: Usage, reusable: u64) -> Self {
        let space = Self {
            path: sqlite::canonical(&options.path),
            file_limit: getrlimit(Resource::Fsize).current,
            max_bytes: options.max_bytes,
            max_dead_letter_bytes: options.dead_letters.bytes,
            min_free_disk: options.min_free_disk,
            waiting: SharedAmount::default(),
            dead_letters: SharedAmount::default(),
            rejects: SharedAmount::default(),
            reusable: AtomicU64::new(reusable),
            log: AtomicU64::new(0),
            free: AtomicU64::new(u64::MAX),
            started: Instant::now(),
            asked: AtomicU64::new(0),
            logged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        };
        space.set_usage(usage);
        space
    }

    pub(super) const fn limits(&self) -> (u64, u64) {
        (self.max_bytes, self.min_free_disk)
    }

    pub(super) fn usage(&self) -> Usage {
        Usage {
            waiting: self.waiting.get(),
            dead_letters: self.dead_letters.get(),
            rejects: self.rejects.get(),
        }
    }

    /// Stores what the outbox contains after a commit.
    pub(super) fn set_usage(&self, usage: Usage) {
        let more = usage.waiting.bytes.saturating_sub(self.waiting.get().bytes);
        // These are used first, before the file grows. The exact number is read when a chunk is done.
        let reusable = self.reusable.load(Ordering::Relaxed);
        self.reusable.store(reusable.saturating_sub(more), Ordering::Relaxed);
        self.waiting.set(usage.waiting);
        self.dead_letters.set(usage.dead_letters);
        self.rejects.set(usage.rejects);
    }

    /// Records, after a commit, how many bytes of the log are not in the file yet.
    pub(super) fn set_log(&self, bytes: u64) {
        self.log.store(bytes, Ordering::Relaxed);
        self.refused.store(0, Ordering::Relaxed);
        self.look();
    }

    /// After a commit, returns whether the log must be copied into the file now, because there may be no room for it
    /// later.
    pub(super) fn is_tight(&self) -> bool {
        let log = self.log.load(Ordering::Relaxed);
        let free = self.free.load(Ordering::Relaxed);
        log > 0 && free < settling(log, self.waiting.get().bytes)
    }

    /// Records that a commit found no room.
    pub(super) fn refused(&self, error: &rusqlite::Error) {
        self.refused.store(self.now(), Ordering::Relaxed);
        if self.is_time(&self.logged, LOG_INTERVAL) {
            tracing::warn!(
                error.message = %error,
                "nothing is accepted, senders get 503: a commit found no room on the disk; free some"
            );
        }
    }

    /// Checks whether a usual post would be stored, without a log line.
    pub(super) fn room_for_a_post(&self) -> Result<(), NoRoom> {
        let refused = self.refused.load(Ordering::Relaxed);
        if refused > 0 && u128::from(self.now().saturating_sub(refused)) < FULL_FOR.as_millis() {
            return Err(NoRoom::Disk);
        }
        self.room(POST.min(self.max_bytes / 16))
    }

    pub(super) fn set_reusable(&self, bytes: u64) {
        self.reusable.store(bytes, Ordering::Relaxed);
    }

    /// Checks whether this many more bytes may be stored. If not, logs the reason, once a minute.
    pub(super) fn check(&self, bytes: u64) -> Result<(), NoRoom> {
        self.room(bytes).inspect_err(|why| {
            if self.is_time(&self.logged, LOG_INTERVAL) {
                tracing::warn!(
                    outbox.waiting_bytes = self.waiting.get().bytes,
                    outbox.dead_letter_bytes = self.dead_letters.get().bytes,
                    "nothing is accepted, senders get 503: {why}"
                );
            }
        })
    }

    fn room(&self, bytes: u64) -> Result<(), NoRoom> {
        if self.waiting.bytes.load(Ordering::Relaxed) + bytes > self.max_bytes {
            Err(NoRoom::Waiting)
        } else if self.dead_letters.bytes.load(Ordering::Relaxed) > self.max_dead_letter_bytes {
            Err(NoRoom::DeadLetters)
        } else if self.is_low(bytes) {
            Err(NoRoom::Disk)
        } else {
            Ok(())
        }
    }

    /// Returns whether storing these bytes would leave less free than necessary: the configured floor, and never less
    /// than it takes to settle everything that waits. Without the second rule a full disk would stay full.
    fn is_low(&self, bytes: u64) -> bool {
        if self.is_time(&self.asked, DISK_INTERVAL) {
            self.look();
        }
        let left = self.free.load(Ordering::Relaxed).saturating_sub(bytes);
        let log = self.log.load(Ordering::Relaxed) + bytes;
        let floor = self.min_free_disk.max(settling(log, self.waiting.get().bytes + bytes));
        // The log cannot use the free pages of the file.
        left < SETTLING || left.saturating_add(self.reusable.load(Ordering::Relaxed)) < floor
    }

    /// Reads the free space of the disk. If that fails, the next commit finds out.
    fn look(&self) {
        self.free.store(self.free_disk().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns the bytes by which the outbox's files may still grow.
    pub(super) fn free_disk(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(self.path.parent().unwrap_or(Path::new("."))).ok()?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let Some(limit) = self.file_limit else { return Some(free) };
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let largest = size(&self.path).max(size(&sqlite::beside(&self.path, "-wal")));
        Some(free.min(limit.saturating_sub(largest)))
    }

    /// Returns the milliseconds since the start; never zero, which means "never".
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Returns true the first time, and again after this period. Only one of several threads gets true.
    fn is_time(&self, last: &AtomicU64, after: Duration) -> bool {
        let now = self.now();
        let before = last.load(Ordering::Relaxed);
        is_due(before, now, after)
            && last.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// Returns whether something that was last done at `before` (0: never) is due; in milliseconds.
fn is_due(before: u64, now: u64, after: Duration) -> bool {
    before == 0 || u128::from(now.saturating_sub(before)) >= after.as_millis()
}

/// Returns what it takes to settle everything that waits: room in the file for the log, room for requests that are
/// parked, and room for the log to grow.
fn settling(log: u64, waiting: u64) -> u64 {
    log + waiting.min(PARKING) + SETTLING
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Retention;

    fn space(max_bytes: u64, min_free_disk: u64) -> Space {
        let retention = Retention { age: Duration::from_secs(1), bytes: 50 };
        let options = Options {
            path: PathBuf::from("relay.db"),
            deduplication_ids: 0,
            longest_window: Duration::ZERO,
            max_bytes,
            min_free_disk,
            dead_letters: retention,
            rejects: retention,
        };
        Space::new(&options, Usage::default(), 0)
    }

    #[test]
    fn waiting_calls_are_limited_and_room_returns() {
        let space = space(100, 0);
        assert_eq!(space.check(100), Ok(()));
        space.set_usage(Usage { waiting: Amount { rows: 1, bytes: 60 }, ..Usage::default() });
        assert_eq!((space.check(40), space.check(41)), (Ok(()), Err(NoRoom::Waiting)));
        space.set_usage(Usage::default());
        assert_eq!(space.check(100), Ok(()));
    }

    #[test]
    fn dead_letters_over_their_size_stop_acceptance_and_rejects_do_not() {
        let space = space(100, 0);
        let amount = |bytes| Amount { rows: 1, bytes };
        space.set_usage(Usage { dead_letters: amount(50), rejects: amount(51), ..Usage::default() });
        assert_eq!(space.check(1), Ok(()));
        space.set_usage(Usage { dead_letters: amount(51), ..Usage::default() });
        assert_eq!(space.check(1), Err(NoRoom::DeadLetters));
    }

    #[test]
    fn unused_pages_of_the_file_count_as_free() {
        let space = space(u64::MAX / 2, u64::MAX);
        assert_eq!(space.check(1), Err(NoRoom::Disk));
        space.set_reusable(u64::MAX);
        assert_eq!(space.check(1), Ok(()));
    }

    #[test]
    fn what_is_left_of_the_disk_is_enough_to_settle_what_waits() {
        let space = space(u64::MAX / 2, 0);
        let waiting = |bytes| Usage { waiting: Amount { rows: 1, bytes }, ..Usage::default() };
        let mib = 1 << 20;
        for (free, log, waits, post, expected) in [
            (4 * mib, 0, 0, 0, Ok(())),
            (4 * mib, 0, 0, 1, Err(NoRoom::Disk)),
            // A post is written to the log, copied into the file, and perhaps parked.
            (7 * mib, 0, 0, mib, Ok(())),
            (7 * mib - 1, 0, 0, mib, Err(NoRoom::Disk)),
            (26 * mib, 10 * mib, 12 * mib, 0, Ok(())),
            (26 * mib - 1, 10 * mib, 12 * mib, 0, Err(NoRoom::Disk)),
            // No more than a destination's window is parked at a time.
            (30 * mib, 10 * mib, 1 << 30, 0, Ok(())),
        ] {
            space.set_usage(waiting(waits));
            space.set_log(log);
            space.asked.store(space.now(), Ordering::Relaxed);
            space.free.store(free, Ordering::Relaxed);
            assert_eq!(space.room(post), expected, "{free} {log} {waits} {post}");
        }
    }

    #[test]
    fn warnings_come_once_a_minute_however_often_there_is_no_room() {
        let (mut logged, mut lines) = (0, Vec::new());
        // Ten refused posts a second, for three minutes.
        for now in (1..180_000).step_by(100) {
            if is_due(logged, now, LOG_INTERVAL) {
                logged = now;
                lines.push(now / 1000);
            }
        }
        assert_eq!(lines, [0, 60, 120]);
        assert!(!is_due(5, 3, LOG_INTERVAL), "another thread was faster");
    }
}
