//! Decides when a failed call is retried, as pure data: exponential with full jitter, limited by age and count.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::classify::was_about_place;
use crate::outbox::Attempt;

/// A destination's retry settings.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The longest wait before the second attempt; the limit doubles with each further one.
    pub initial: Duration,
    /// The longest wait before any attempt, unless the destination asks for more.
    pub longest: Duration,
    /// If the first attempt of a call is this long ago, it becomes a dead letter at its next failure.
    pub most_age: Duration,
    pub most_attempts: u32,
}

impl Schedule {
    /// Returns how long to wait for the next attempt, or `None` if there must be no more.
    ///
    /// `attempts` are those made; the last one has just failed. Answers about the place do not count against the
    /// call: they are not counted, and its age starts again after the last of them, or at `excused_until`, when the
    /// destination last stopped refusing all calls. `random` is in `0.0..1.0`. The wait that the destination `asked`
    /// for is kept as far as the age allows.
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
        let first = attempts.iter().rev().take_while(is_counted).last().map_or(now, |attempt| attempt.at);
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

    /// Returns how long to wait for a stored time. A time that no attempt can have set was stored before the clock
    /// was set back, and is not waited for.
    pub fn resume(&self, now: DateTime<Utc>, next_attempt_at: Option<DateTime<Utc>>) -> Duration {
        let wait = next_attempt_at.and_then(|at| (at - now).to_std().ok()).unwrap_or_default();
        if wait > self.most_age { Duration::ZERO } else { wait }
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

    #[test]
    fn clock_jumps_neither_stall_nor_end_retries() {
        let hour = 3_600;
        for (name, stored, now, expected) in [
            ("nothing stored", None, 0, 0),
            ("due", Some(-5), 0, 0),
            ("ahead", Some(600), 0, 600),
            ("clock set back by an hour", Some(600), -hour, u64::try_from(hour).unwrap() + 600),
            ("clock set back by a year", Some(600), -365 * 24 * hour, 0),
            ("clock set forward by a year", Some(600), 365 * 24 * hour, 0),
        ] {
            let wait = SCHEDULE.resume(at(now), stored.map(at));
            assert_eq!(wait.as_secs(), expected, "{name}");
        }
        // An attempt in the future has no age.
        assert_eq!(wait(0, &[(hour, 503)], None, 1.0), Some(1));
    }
}
