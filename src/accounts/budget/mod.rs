//! How many calls an API gets from us within its limit: the fewer are left, the longer the gap before the next one.
//!
//! What its `RateLimit-*` headers say is left governs, whatever a call costs there and whoever else calls; so a limit
//! is approached and not reached, be it a sliding window or a bucket (`facts/vitally.md` 3). Never knows what a call
//! is about.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::deliver::{self, Answer};

/// Of the limit: what is left to the workspace's other integrations.
const RESERVE: f64 = 0.1;
/// Of the window: what using up all that is left would take at the pace of now.
const HORIZON: f64 = 0.5;
/// Of the window: the longest gap. Calls that far apart find out what has come back.
const LONGEST_GAP: f64 = 0.25;
/// However long an answer asks to wait.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The calls that may be made. Units are the API's.
#[derive(Debug)]
pub(super) struct Budget(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// None: nothing is known of a limit, and nobody is held.
    limit: Option<Limit>,
    /// When our own calls of the last window began, the oldest first.
    calls: VecDeque<Instant>,
    /// What was left when the API last said so, less our calls since.
    told: Option<(f64, Instant)>,
    paused_until: Option<Instant>,
}

/// So many units in each window.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limit {
    units: f64,
    window: Duration,
}

impl Budget {
    /// For an API whose limit is known.
    pub(super) fn new(units: u32, window: Duration) -> Self {
        let limit = Some(Limit { units: f64::from(units), window });
        Self(Mutex::new(State { limit, ..State::default() }))
    }

    /// For an API that publishes none: it holds back only after it was told to.
    pub(super) fn unknown() -> Self {
        Self(Mutex::default())
    }

    /// Waits until a call may be made, and counts it; a pause longer than `most_wait` is not waited for, but what is
    /// left of it given back.
    pub(super) async fn turn(&self, most_wait: Duration) -> Result<(), Duration> {
        loop {
            let wait = self.state().take(most_wait, Instant::now())?;
            match wait {
                None => return Ok(()),
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// Takes in what the answer says of the limit; gives back how long it asks to wait, if it does.
    pub(super) fn answered(&self, answer: &Answer) -> Option<Duration> {
        let told = Told::read(&answer.headers);
        self.state().hear(&told, Instant::now());
        deliver::retry_after(answer).or(if answer.status == 429 { told.reset } else { None })
    }

    /// No call is begun before this time has passed.
    pub(super) fn pause(&self, wait: Duration) {
        self.state().pause(Instant::now() + wait);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts a call, or says how long none may begin; the error is a pause longer than `most_wait`.
    fn take(&mut self, most_wait: Duration, now: Instant) -> Result<Option<Duration>, Duration> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            let left = until - now;
            return if left > most_wait { Err(left) } else { Ok(Some(left)) };
        }
        let Some(limit) = self.limit else { return Ok(None) };
        while self.calls.front().is_some_and(|call| now - *call >= limit.window) {
            self.calls.pop_front();
        }
        let next = self.next(limit, now);
        if next > now {
            return Ok(Some((next - now).max(Duration::from_millis(1))));
        }
        self.calls.push_back(now);
        if let Some((left, _)) = &mut self.told {
            *left -= 1.0;
        }
        Ok(None)
    }

    /// When the next call may begin.
    fn next(&self, limit: Limit, now: Instant) -> Instant {
        let (Some(first), Some(last)) = (self.calls.front(), self.calls.back()) else { return now };
        #[expect(clippy::cast_precision_loss, reason = "no limit on calls comes near 2^52")]
        let own = limit.units - self.calls.len() as f64;
        if own < 1.0 {
            return *first + limit.window;
        }
        let told = self.told.filter(|(_, at)| now - *at < limit.window).map_or(own, |(left, _)| left);
        let spare = own.min(told) - limit.units * RESERVE;
        let share = if spare > 0.0 { (HORIZON / spare).min(LONGEST_GAP) } else { LONGEST_GAP };
        *last + limit.window.mul_f64(share).min(LONGEST_PAUSE)
    }

    fn hear(&mut self, told: &Told, now: Instant) {
        self.limit = told.limit.or(self.limit);
        let Some(remaining) = told.remaining else { return };
        self.told = Some((remaining, now));
        if remaining < 1.0 {
            self.pause(now + told.reset.unwrap_or_default().min(LONGEST_PAUSE));
        }
    }

    fn pause(&mut self, until: Instant) {
        self.paused_until = self.paused_until.max(Some(until));
    }
}

/// What an answer says: `RateLimit-Limit: 1000, 1000;window=60`, `-Remaining: 999`, `-Reset: 59` (seconds).
#[derive(Debug, Default, PartialEq)]
struct Told {
    limit: Option<Limit>,
    remaining: Option<f64>,
    reset: Option<Duration>,
}

impl Told {
    fn read(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let number = |name: &str| text(name).and_then(leading_number);
        Self {
            limit: text("ratelimit-limit").and_then(read_limit),
            remaining: number("ratelimit-remaining").map(f64::from),
            // More than a day is no count of seconds, but a date.
            reset: number("ratelimit-reset")
                .filter(|seconds| *seconds <= 86_400)
                .map(|seconds| Duration::from_secs(seconds.into())),
        }
    }
}

/// The first number is the limit; without a window it is a minute's.
fn read_limit(text: &str) -> Option<Limit> {
    let units = leading_number(text).filter(|units| *units > 0)?;
    let window = text.split_once("window=").and_then(|(_, rest)| leading_number(rest));
    let seconds = window.filter(|seconds| *seconds > 0).unwrap_or(60);
    Some(Limit { units: f64::from(units), window: Duration::from_secs(seconds.into()) })
}

fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests;
