//! When a failed call is tried again, as pure data: exponential with full jitter, ended by age and count.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A destination's retry settings.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// The most to wait before the second attempt; doubles with each further one.
    pub initial: Duration,
    /// The most to wait before any attempt.
    pub longest: Duration,
    /// A call whose first attempt is this long ago becomes a dead letter.
    pub most_age: Duration,
    pub most_attempts: u32,
}

impl Schedule {
    /// The time of the next attempt, or `None` when there are to be no more.
    ///
    /// `first` is the time of the first attempt, `made` counts those made, `random` is in `0.0..1.0`, and
    /// `retry_after` is what the destination asked for: it is obeyed as far as the age allows.
    pub fn next(
        &self,
        now: DateTime<Utc>,
        first: DateTime<Utc>,
        made: u32,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Option<DateTime<Utc>> {
        let age = (now - first).to_std().unwrap_or_default();
        let left = self.most_age.checked_sub(age)?;
        if made >= self.most_attempts || left.is_zero() {
            return None;
        }
        let doubled = self.initial.saturating_mul(1 << made.saturating_sub(1).min(20));
        let jittered = doubled.min(self.longest).mul_f64(random.clamp(0.0, 1.0));
        let wait = jittered.max(retry_after.unwrap_or_default()).min(left);
        now.checked_add_signed(chrono::Duration::from_std(wait).ok()?)
    }
}

/// Reads `Retry-After`: seconds, or an HTTP date.
pub(super) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = DateTime::parse_from_rfc2822(value).ok()?;
    Some((at.with_timezone(&Utc) - now).to_std().unwrap_or_default())
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

    #[test]
    fn doubles_up_to_the_longest_wait_and_ends_by_count_and_age() {
        let wait =
            |made| SCHEDULE.next(at(0), at(0), made, None, 1.0).map(|next| (next - at(0)).num_seconds());
        assert_eq!((1..=4).map(wait).collect::<Vec<_>>(), [Some(1), Some(2), Some(4), Some(8)]);
        assert_eq!(wait(40), Some(600));
        assert_eq!(wait(60), None);
        assert_eq!(SCHEDULE.next(at(86_400), at(0), 3, None, 1.0), None);
        assert_eq!(SCHEDULE.next(at(0), at(0), 9, None, 0.0), Some(at(0)));
    }

    #[test]
    fn retry_after_is_obeyed_in_both_forms_up_to_the_age() {
        assert_eq!(retry_after("120", at(0)), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Tue, 14 Nov 2023 22:13:50 GMT", at(0)), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("Tue, 14 Nov 2023 22:13:10 GMT", at(0)), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", at(0)), None);
        let asked = Some(Duration::from_secs(120));
        assert_eq!(SCHEDULE.next(at(0), at(0), 1, asked, 0.5), Some(at(120)));
        assert_eq!(SCHEDULE.next(at(86_390), at(0), 1, asked, 0.5), Some(at(86_400)));
    }
}
