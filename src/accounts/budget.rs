//! How many calls a minute an API may get from us: a token bucket that its `RateLimit-*` headers feed.
//!
//! It stays well below the limit of either kind of server, sliding window or bucket, and leaves a part to the
//! workspace's other integrations (`facts/vitally.md` 3). Never knows what a call is about.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

use crate::deliver::{self, Answer};

/// Of the limit: what may be used at once, what comes back within a window, and what is left to others. The first two
/// together are the most that is used in any window.
const BURST: f64 = 0.1;
const REFILL: f64 = 0.7;
const RESERVE: f64 = 0.1;
/// What a write is taken to cost until the API has said how much is left.
const UNKNOWN_WRITE: f64 = 3.0;

/// The calls that may be made. Units are the API's.
#[derive(Debug)]
pub(super) struct Budget(Mutex<State>);

#[derive(Debug)]
struct State {
    /// None: nothing is known of a limit.
    limit: Option<Limit>,
    available: f64,
    refilled_at: Instant,
    paused_until: Option<Instant>,
    /// The API says what is left: then that counts, not what a call is taken to cost.
    is_told: bool,
}

/// So many units in each window.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Limit {
    units: f64,
    window: Duration,
}

/// Leave to make one call.
pub(super) struct Turn<'a>(&'a Budget);

impl Budget {
    /// For an API whose limit is known; it begins with a full burst.
    pub(super) fn new(units: u32, window: Duration) -> Self {
        let limit = Limit { units: f64::from(units), window };
        Self::from_limit(Some(limit), limit.burst())
    }

    /// For an API that publishes none: it holds back only after it was told to.
    pub(super) fn unknown() -> Self {
        Self::from_limit(None, 0.0)
    }

    fn from_limit(limit: Option<Limit>, available: f64) -> Self {
        let refilled_at = Instant::now();
        Self(Mutex::new(State { limit, available, refilled_at, paused_until: None, is_told: false }))
    }

    /// Waits until a call may be made.
    pub(super) async fn turn(&self, is_write: bool) -> Turn<'_> {
        loop {
            let wait = self.state().take(is_write, Instant::now());
            match wait {
                None => return Turn(self),
                Some(wait) => tokio::time::sleep(wait).await,
            }
        }
    }

    /// No call is begun before this time has passed.
    pub(super) fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut state = self.state();
        state.paused_until = Some(state.paused_until.map_or(until, |before| before.max(until)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Takes in what the answer says of the limit; gives back how long it asks to wait, if it does.
    pub(super) fn answered(self, answer: &Answer) -> Option<Duration> {
        let told = Told::read(&answer.headers);
        self.0.state().hear(&told, Instant::now());
        deliver::retry_after(answer).or(if answer.status == 429 { told.reset } else { None })
    }
}

impl State {
    /// Takes a unit, or says how long there is none.
    fn take(&mut self, is_write: bool, now: Instant) -> Option<Duration> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Some(until - now);
        }
        let limit = self.limit?;
        self.refill(limit, now);
        let cost = if is_write && !self.is_told { UNKNOWN_WRITE } else { 1.0 };
        if self.available >= cost.min(limit.burst()) {
            self.available -= cost;
            return None;
        }
        let missing = cost.min(limit.burst()) - self.available;
        Some(Duration::from_secs_f64(missing / limit.refill()).max(Duration::from_millis(1)))
    }

    fn refill(&mut self, limit: Limit, now: Instant) {
        let since = now.saturating_duration_since(self.refilled_at).as_secs_f64();
        self.available = (self.available + since * limit.refill()).min(limit.burst());
        self.refilled_at = now;
    }

    fn hear(&mut self, told: &Told, now: Instant) {
        if let Some(limit) = told.limit {
            self.limit = Some(limit);
        }
        let (Some(limit), Some(remaining)) = (self.limit, told.remaining) else { return };
        self.refill(limit, now);
        self.is_told = true;
        self.available = self.available.min(remaining - limit.units * RESERVE);
        if remaining < 1.0 {
            let until = now + told.reset.unwrap_or_default();
            self.paused_until = Some(self.paused_until.map_or(until, |before| before.max(until)));
        }
    }
}

impl Limit {
    fn burst(self) -> f64 {
        (self.units * BURST).max(1.0)
    }

    /// Units a second.
    fn refill(self) -> f64 {
        self.units * REFILL / self.window.as_secs_f64()
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
            reset: number("ratelimit-reset").map(|seconds| Duration::from_secs(seconds.into())),
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
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn headers_are_read_in_the_documented_form_and_leniently() {
        let limit = |units, seconds| Some(Limit { units, window: Duration::from_secs(seconds) });
        for (text, expected) in [
            ("1000, 1000;window=60", limit(1000.0, 60)),
            ("1000", limit(1000.0, 60)),
            (" 50;window=2", limit(50.0, 2)),
            ("0", None),
            ("many", None),
            ("99999999999", None),
        ] {
            assert_eq!(read_limit(text), expected, "{text}");
        }
        let told = Told::read(&headers(&[("ratelimit-remaining", "7"), ("ratelimit-reset", "12, x")]));
        assert_eq!((told.remaining, told.reset), (Some(7.0), Some(Duration::from_secs(12))));
        assert_eq!(Told::read(&HeaderMap::new()), Told::default());
    }

    /// Units used in each window of a server that counts what came within the last one, by a caller that never rests.
    async fn most_in_a_window(cost: u32, budget: &Budget) -> usize {
        let mut used: Vec<Instant> = Vec::new();
        let start = Instant::now();
        let mut most = 0;
        while start.elapsed() < Duration::from_secs(300) {
            let turn = budget.turn(true).await;
            let now = Instant::now();
            used.extend(std::iter::repeat_n(now, cost as usize));
            used.retain(|at| now - *at < Duration::from_secs(60));
            most = most.max(used.len());
            let told = Told { remaining: Some(1000.0 - used.len() as f64), ..Told::default() };
            turn.0.state().hear(&told, now);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        most
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_exceeds_the_limit_whatever_a_call_costs() {
        for cost in [1, 3, 5] {
            let most = most_in_a_window(cost, &Budget::new(1000, Duration::from_secs(60))).await;
            assert!((500..=905).contains(&most), "{most} units at {cost} a call");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_everybodys_and_an_unknown_limit_holds_nobody() {
        let budget = Budget::unknown();
        let start = Instant::now();
        for _ in 0..100 {
            let _ = budget.turn(true).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        budget.pause(Duration::from_secs(7));
        let _ = budget.turn(false).await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
