//! When a failed call is tried again: exponential with full jitter, ended by age and count. Pure functions.
//!
//! An age is a difference of running times, so neither a stop of the relay nor a change of the clock makes a call older.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::classify::was_about_place;
use crate::outbox::{Attempt, Retry};

/// A destination's retry settings.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The first retry waits at most this long. The limit doubles with each further retry.
    pub initial: Duration,
    /// The highest limit of a wait, unless the destination asks for a longer one.
    pub longest: Duration,
    /// A call that fails this long after its first attempt becomes a dead letter.
    pub most_age: Duration,
    pub most_attempts: u32,
}

impl Schedule {
    /// The wait before the next attempt; `None` if there is no next attempt.
    ///
    /// `attempts` are those made, the last one just now, at the running time `now`. Answers about the place are not the
    /// call's fault: they do not count, and its age begins after the last of them, or at `excused_until`, when the
    /// destination last began to accept calls again. `random` is in `0.0..1.0`. A wait that the destination `asked` for
    /// is kept, up to the age.
    pub fn next(
        &self,
        now: DateTime<Utc>,
        attempts: &[Attempt],
        excused_until: Option<DateTime<Utc>>,
        asked: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        let is_counted = |attempt: &&Attempt| !was_about_place(attempt.status);
        let made = u32::try_from(attempts.iter().filter(is_counted).count()).unwrap_or(u32::MAX);
        let counted = attempts.iter().rev().take_while(is_counted);
        // Attempts of earlier versions have no running time: the age begins at the first that has one.
        let first = counted.filter_map(|attempt| attempt.running).last().unwrap_or(now);
        let first = excused_until.map_or(first, |excused| first.max(excused));
        let age = (now - first).to_std().unwrap_or_default();
        let left = self.most_age.checked_sub(age)?;
        if made >= self.most_attempts || left.is_zero() {
            return None;
        }
        let doubled = self.initial.saturating_mul(1 << made.saturating_sub(1).min(20));
        let jittered = doubled.min(self.longest).mul_f64(random.clamp(0.0, 1.0));
        Some(jittered.max(asked.unwrap_or_default()).min(left))
    }

    /// The wait for a stored retry after a restart, at the wall time `now`. It is never longer than the whole wait was:
    /// the clock may have been set back since.
    pub fn resume(&self, now: DateTime<Utc>, retry: Option<Retry>) -> Duration {
        let Some(Retry { at, wait }) = retry else { return Duration::ZERO };
        let left = (at - now).to_std().unwrap_or_default();
        left.min(wait.unwrap_or(self.longest))
    }
}

/// Returns a number in `0.0..1.0`, good enough to spread retries.
pub(super) fn random() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128() & u128::from(u32::MAX);
    #[expect(clippy::cast_precision_loss, reason = "32 bits fit a double exactly")]
    let value = bits as f64;
    value / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule {
        initial: Duration::from_secs(1),
        longest: Duration::from_secs(600),
        most_age: Duration::from_secs(86_400),
        most_attempts: 60,
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + seconds, 0).unwrap()
    }

    fn attempts(made: &[(i64, u16)]) -> Vec<Attempt> {
        let attempt = |&(second, status)| Attempt {
            at: at(second),
            status: Some(status),
            reason: String::new(),
            took_ms: None,
            running: Some(at(second)),
        };
        made.iter().map(attempt).collect()
    }

    fn wait(now: i64, made: &[(i64, u16)], asked: Option<u64>, random: f64) -> Option<u64> {
        let asked = asked.map(Duration::from_secs);
        SCHEDULE.next(at(now), &attempts(made), None, asked, random).map(|wait| wait.as_secs())
    }

    #[test]
    fn doubles_up_to_the_longest_wait_and_ends_by_count_and_age() {
        let after = |made| wait(0, &vec![(0, 503); made], None, 1.0);
        assert_eq!((1..=4).map(after).collect::<Vec<_>>(), [Some(1), Some(2), Some(4), Some(8)]);
        assert_eq!((after(40), after(59), after(60)), (Some(600), Some(600), None));
        assert_eq!(wait(86_399, &[(0, 503); 12], None, 1.0), Some(1), "never beyond the age");
        assert_eq!(wait(86_400, &[(0, 503), (86_400, 503)], None, 1.0), None);
        assert_eq!(wait(0, &[(0, 503); 9], None, 0.0), Some(0));
    }

    #[test]
    fn answers_about_the_place_count_neither_as_attempt_nor_as_age() {
        let year = 365 * 86_400;
        assert_eq!(wait(year, &[(0, 503), (year - 9, 404), (year, 503)], None, 1.0), Some(2));
        assert_eq!(wait(year, &[(0, 503), (year - 9, 200), (year, 503)], None, 1.0), Some(2), "a web page");
        let excused =
            |until| SCHEDULE.next(at(year), &attempts(&[(0, 503), (year, 503)]), Some(at(until)), None, 1.0);
        assert_eq!(excused(year - 9), Some(Duration::from_secs(2)), "it waited while others were refused");
        assert_eq!(excused(9), None);
        assert_eq!(wait(year, &[(0, 503), (year - 9, 401), (year, 503)], None, 1.0), Some(2));
        let refused: Vec<_> = (0..500).map(|minute| (minute * 60, 403)).chain([(30_000, 500)]).collect();
        assert_eq!(wait(30_000, &refused, None, 1.0), Some(1));
    }

    #[test]
    fn what_the_destination_asks_for_is_obeyed_up_to_the_age() {
        assert_eq!(wait(0, &[(0, 429)], Some(3_600), 0.5), Some(3_600), "beyond the longest wait");
        assert_eq!(wait(86_390, &[(0, 429), (86_390, 429)], Some(3_600), 0.5), Some(10));
    }

    /// A retry waits no longer after a restart than it would have without one, whatever the clock did meanwhile.
    #[test]
    fn a_changed_clock_lengthens_no_wait() {
        let (hour, year) = (3_600, 365 * 86_400);
        for (name, retry_at, whole, now, expected) in [
            ("due", -5, Some(2), 0, 0),
            ("ahead", 600, Some(900), 0, 600),
            ("set back by an hour", 2, Some(2), -hour, 2),
            ("set back by a year", 2, Some(2), -year, 2),
            ("set back, after a long pause that was asked for", 7_200, Some(7_200), -year, 7_200),
            ("set back, no attempt stored", 2, None, -year, 600),
            ("set forward by a year", 600, Some(600), year, 0),
        ] {
            let retry = Retry { at: at(retry_at), wait: whole.map(Duration::from_secs) };
            assert_eq!(SCHEDULE.resume(at(now), Some(retry)).as_secs(), expected, "{name}");
        }
        assert_eq!(SCHEDULE.resume(at(0), None), Duration::ZERO, "nothing stored");
    }

    /// Only running time makes a call older: the wall times of its attempts may lie anywhere.
    #[test]
    fn a_changed_clock_ends_no_retries() {
        let year = chrono::Duration::days(365);
        for change in [-year, chrono::Duration::zero(), year] {
            let mut made = attempts(&[(0, 503), (60, 503)]);
            for attempt in &mut made {
                attempt.at += change;
            }
            let next = SCHEDULE.next(at(60), &made, None, None, 1.0);
            assert_eq!(next, Some(Duration::from_secs(2)), "{change}");
            for attempt in &mut made {
                attempt.running = None;
            }
            let next = SCHEDULE.next(at(60), &made, None, None, 1.0);
            assert_eq!(next, Some(Duration::from_secs(2)), "attempts of an earlier version");
        }
    }
}
