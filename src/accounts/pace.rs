//! Paces the calls to one API: spreads them evenly below the limit that the API publishes, and keeps the pauses that it asks for.
//!
//! Knows nothing about the content of a call.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

/// The part of a published limit that the relay uses. The rest is left to the workspace's other integrations.
const SHARE: f64 = 0.8;
/// When no more than this part of the limit is left, the relay pauses until some of it has come back.
const RESERVE: f64 = 0.1;
/// The shortest and longest such pause.
const MIN_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// A larger number is not a number of seconds but a date.
const MAX_RESET: u32 = 86_400;

/// When the next call may begin.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Between the starts of two calls.
    interval: Duration,
    next: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Pace {
    /// For an API with a known limit of calls per window.
    pub(super) fn below(limit: u32, window: Duration) -> Self {
        Self::every(below(limit, window))
    }

    /// No more than this many calls a second.
    pub(super) fn per_second(calls: u32) -> Self {
        Self::every(Duration::from_secs(1).checked_div(calls).unwrap_or_default())
    }

    fn every(interval: Duration) -> Self {
        Self(Mutex::new(State { interval, ..State::default() }))
    }

    /// Waits until a call may begin. Fails with the time that is left of a pause longer than `max_wait`.
    pub(super) async fn wait_for_turn(&self, max_wait: Duration) -> Result<(), Duration> {
        self.wait_for_pause(max_wait).await?;
        let turn = self.state().reserve(Instant::now());
        tokio::time::sleep_until(turn).await;
        // A pause may have begun during the wait.
        self.wait_for_pause(max_wait).await
    }

    async fn wait_for_pause(&self, max_wait: Duration) -> Result<(), Duration> {
        loop {
            let now = Instant::now();
            let until = self.state().paused_until;
            match until.map(|until| until.saturating_duration_since(now)) {
                None | Some(Duration::ZERO) => return Ok(()),
                Some(left) if left > max_wait => return Err(left),
                Some(left) => tokio::time::sleep(left).await,
            }
        }
    }

    /// No call begins before this time has passed.
    pub(super) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state();
        state.paused_until = state.paused_until.max(Some(until));
    }

    /// Reads the limit of an answer, `RateLimit-Limit: 1000, 1000;window=60`, and pauses when little of it is left.
    pub(super) fn learn(&self, headers: &HeaderMap) {
        let Some((limit, window)) = text(headers, "ratelimit-limit").and_then(read_limit) else { return };
        self.state().interval = below(limit, window);
        let remaining = text(headers, "ratelimit-remaining").and_then(leading_number);
        if remaining.is_some_and(|remaining| f64::from(remaining) <= f64::from(limit) * RESERVE) {
            self.pause(reset(headers).unwrap_or_default().clamp(MIN_PAUSE, MAX_PAUSE));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn reserve(&mut self, now: Instant) -> Instant {
        let turn = self.next.map_or(now, |next| next.max(now));
        self.next = Some(turn + self.interval);
        turn
    }
}

fn below(limit: u32, window: Duration) -> Duration {
    window.checked_div(limit).unwrap_or_default().div_f64(SHARE)
}

/// When some of the limit comes back: `RateLimit-Reset`, in seconds.
pub(super) fn reset(headers: &HeaderMap) -> Option<Duration> {
    let seconds = text(headers, "ratelimit-reset").and_then(leading_number)?;
    (seconds <= MAX_RESET).then(|| Duration::from_secs(seconds.into()))
}

/// The first number is the limit. Without a window it holds for a minute.
fn read_limit(text: &str) -> Option<(u32, Duration)> {
    let limit = leading_number(text).filter(|limit| *limit > 0)?;
    let window = text.split_once("window=").and_then(|(_, rest)| leading_number(rest));
    let seconds = window.filter(|seconds| *seconds > 0).unwrap_or(60);
    Some((limit, Duration::from_secs(seconds.into())))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn leading_number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let end = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn headers_are_read_in_the_documented_form_and_leniently() {
        for (text, expected) in [
            ("1000, 1000;window=60", Some((1000, MINUTE))),
            ("1000", Some((1000, MINUTE))),
            (" 50;window=2", Some((50, Duration::from_secs(2)))),
            ("0", None),
            ("many", None),
            ("99999999999", None),
        ] {
            assert_eq!(read_limit(text), expected, "{text}");
        }
        assert_eq!(reset(&headers(&[("ratelimit-reset", "12, x")])), Some(Duration::from_secs(12)));
        assert_eq!(reset(&headers(&[("ratelimit-reset", "1700000000")])), None, "a date");
    }

    /// How many calls begin within a minute.
    async fn calls_in_a_minute(pace: &Pace) -> u32 {
        let (start, mut calls) = (Instant::now(), 0);
        while start.elapsed() < MINUTE {
            pace.wait_for_turn(MAX_PAUSE).await.unwrap();
            calls += 1;
        }
        calls
    }

    #[tokio::test(start_paused = true)]
    async fn calls_stay_below_the_limit() {
        let pace = Pace::below(1000, MINUTE);
        assert!((795..=801).contains(&calls_in_a_minute(&pace).await));
        pace.learn(&headers(&[("ratelimit-limit", "100, 100;window=60"), ("ratelimit-remaining", "99")]));
        assert!((79..=82).contains(&calls_in_a_minute(&pace).await), "the API's own limit holds");
        assert!((595..=601).contains(&calls_in_a_minute(&Pace::per_second(10)).await));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_delays_every_call_and_a_pause_beyond_the_maximum_is_an_error() {
        let pace = Pace::default();
        let start = Instant::now();
        pace.pause(Duration::from_secs(5));
        pace.pause(Duration::from_secs(2));
        assert_eq!(pace.wait_for_turn(Duration::from_secs(3)).await, Err(Duration::from_secs(5)));
        pace.wait_for_turn(MINUTE).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 5);
        let little = [("ratelimit-limit", "100"), ("ratelimit-remaining", "10"), ("ratelimit-reset", "7")];
        pace.learn(&headers(&little));
        pace.wait_for_turn(MINUTE).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 12);
    }
}
