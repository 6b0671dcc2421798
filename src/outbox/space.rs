//! Whether there is room for more: what waits and the dead letters against their limits, the disk against its floor.
//!
//! Each submission asks, at the cost of two atomic reads; the disk itself is asked a few times a second. Shared by the
//! handles, which ask, and the writer, which counts.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{Amount, Options, Usage};

/// The disk is asked this often at most.
const ASK: Duration = Duration::from_millis(100);
/// While there is no room, the log says so this often.
const LOG: Duration = Duration::from_secs(60);
/// After a commit that found no room the outbox counts as full for this long.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// What settling may add to the log before it is copied into the file.
const SETTLING: u64 = 4 << 20;
/// Requests that a destination has loaded may all be parked: each is then stored a second time until its chunk is done.
const PARKING: u64 = 16 << 20;
/// The size of a post, as far as readiness is concerned.
const POST: u64 = 4096;

/// Why nothing is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    #[error(
        "the calls that wait fill outbox.max_bytes; see with `accoil-relay waiting list` why they are not delivered, or raise \
         the limit"
    )]
    Waiting,
    #[error(
        "the dead letters fill outbox.max_dead_letter_bytes; see them with `accoil-relay dead-letters list`, then replay or \
         purge them, or raise the limit"
    )]
    DeadLetters,
    #[error(
        "the disk has less room than outbox.min_free_disk, or than it takes to record what is delivered; free some"
    )]
    Disk,
}

/// An [`Amount`] that the writer stores and anybody reads.
#[derive(Debug, Default)]
struct Shown {
    rows: AtomicU64,
    bytes: AtomicU64,
}

impl Shown {
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
    folder: PathBuf,
    max_bytes: u64,
    max_dead_letter_bytes: u64,
    min_free_disk: u64,
    waiting: Shown,
    dead_letters: Shown,
    rejects: Shown,
    /// Bytes of the file that are used before it grows.
    reusable: AtomicU64,
    /// Bytes in the log for which the file must have room.
    log: AtomicU64,
    is_low: AtomicBool,
    started: Instant,
    asked: AtomicU64,
    logged: AtomicU64,
    /// When a commit last found no room; zero: never, or there was room since.
    refused: AtomicU64,
}

impl Space {
    pub(super) fn new(options: &Options, usage: Usage, reusable: u64) -> Self {
        let folder = options.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let space = Self {
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            max_bytes: options.max_bytes,
            max_dead_letter_bytes: options.dead_letters.bytes,
            min_free_disk: options.min_free_disk,
            waiting: Shown::default(),
            dead_letters: Shown::default(),
            rejects: Shown::default(),
            reusable: AtomicU64::new(reusable),
            log: AtomicU64::new(0),
            is_low: AtomicBool::new(false),
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

    /// What the outbox holds after a commit.
    pub(super) fn set_usage(&self, usage: Usage) {
        let more = usage.waiting.bytes.saturating_sub(self.waiting.get().bytes);
        // Used first, before the file grows. What is left exactly is read when a chunk is done.
        let reusable = self.reusable.load(Ordering::Relaxed);
        self.reusable.store(reusable.saturating_sub(more), Ordering::Relaxed);
        self.waiting.set(usage.waiting);
        self.dead_letters.set(usage.dead_letters);
        self.rejects.set(usage.rejects);
    }

    /// After a commit: how many bytes the log holds.
    pub(super) fn set_log(&self, bytes: u64) {
        self.log.store(bytes, Ordering::Relaxed);
        self.refused.store(0, Ordering::Relaxed);
    }

    /// A commit found no room.
    pub(super) fn refused(&self, error: &rusqlite::Error) {
        self.refused.store(self.now(), Ordering::Relaxed);
        if self.is_time(&self.logged, LOG) {
            tracing::warn!(
                error.message = %error,
                "nothing is accepted, senders get 503: a commit found no room on the disk; free some"
            );
        }
    }

    /// Whether a usual post would be stored, without a log line.
    pub(super) fn room_for_a_post(&self) -> Result<(), NoRoom> {
        let refused = self.refused.load(Ordering::Relaxed);
        if refused > 0 && u128::from(self.now().saturating_sub(refused)) < REFUSED_FOR.as_millis() {
            return Err(NoRoom::Disk);
        }
        self.room(POST.min(self.max_bytes / 16))
    }

    pub(super) fn set_reusable(&self, bytes: u64) {
        self.reusable.store(bytes, Ordering::Relaxed);
    }

    /// Whether this many bytes more may be stored; if not, the log says why, once a minute.
    pub(super) fn check(&self, bytes: u64) -> Result<(), NoRoom> {
        self.room(bytes).inspect_err(|why| {
            if self.is_time(&self.logged, LOG) {
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
        } else if self.is_low() {
            Err(NoRoom::Disk)
        } else {
            Ok(())
        }
    }

    fn is_low(&self) -> bool {
        if self.is_time(&self.asked, ASK) {
            self.is_low.store(self.ask(), Ordering::Relaxed);
        }
        self.is_low.load(Ordering::Relaxed)
    }

    fn ask(&self) -> bool {
        // A disk that does not answer is found out by the next commit.
        self.free_disk()
            .is_some_and(|free| free.saturating_add(self.reusable.load(Ordering::Relaxed)) < self.floor())
    }

    /// What must stay free: the configured floor, and never less than it takes to settle all that waits. Without that a
    /// full disk would keep itself full.
    fn floor(&self) -> u64 {
        let settling = self.log.load(Ordering::Relaxed) + self.waiting.get().bytes.min(PARKING) + SETTLING;
        self.min_free_disk.max(settling)
    }

    /// Bytes that the disk has left for the outbox's folder.
    pub(super) fn free_disk(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Milliseconds since the start; never zero, which means "not yet".
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    /// Whether this is the first time, or long enough after the last one; only one of several threads gets true.
    fn is_time(&self, last: &AtomicU64, after: Duration) -> bool {
        let now = self.now();
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
    fn what_waits_is_held_to_its_limit_and_room_comes_back() {
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
    fn what_the_file_can_use_again_counts_as_free() {
        let space = space(u64::MAX, u64::MAX);
        assert!(space.ask());
        space.set_reusable(u64::MAX);
        assert!(!space.ask());
        assert_eq!(space.check(1), Ok(()));
    }
}
