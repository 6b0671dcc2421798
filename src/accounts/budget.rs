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

    /// Waits until a call may be made, and counts it.
    pub(super) async fn turn(&self) {
        loop {
            let wait = self.state().take(Instant::now());
            match wait {
                None => return,
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
    /// Counts a call, or says how long none may begin.
    fn take(&mut self, now: Instant) -> Option<Duration> {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Some(until - now);
        }
        let limit = self.limit?;
        while self.calls.front().is_some_and(|call| now - *call >= limit.window) {
            self.calls.pop_front();
        }
        let next = self.next(limit, now);
        if next > now {
            return Some((next - now).max(Duration::from_millis(1)));
        }
        self.calls.push_back(now);
        if let Some((left, _)) = &mut self.told {
            *left -= 1.0;
        }
        None
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
        *last + limit.window.mul_f64(share)
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
    use std::sync::Arc;

    use tokio::task::JoinSet;

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

    /// A server that counts what came within the last minute, each call at a cost.
    #[derive(Default)]
    struct Server {
        used: VecDeque<Instant>,
        most: usize,
        /// In the last three of five minutes.
        calls: usize,
    }

    impl Server {
        fn call(&mut self, cost: usize, now: Instant, is_late: bool) -> Told {
            self.used.extend(std::iter::repeat_n(now, cost));
            while self.used.front().is_some_and(|at| now - *at >= Duration::from_secs(60)) {
                self.used.pop_front();
            }
            self.most = self.most.max(self.used.len());
            self.calls += usize::from(is_late);
            let remaining = u32::try_from(1000_usize.saturating_sub(self.used.len())).unwrap();
            Told { remaining: Some(remaining.into()), ..Told::default() }
        }
    }

    /// The most units used in a window by callers that never rest, and the units in a usual one.
    async fn use_of(cost: usize, callers: usize, latency: u64, tells: bool) -> (usize, usize) {
        let budget = Arc::new(Budget::new(1000, Duration::from_secs(60)));
        let (server, start) = (Arc::new(Mutex::new(Server::default())), Instant::now());
        let (way, mut tasks) = (Duration::from_millis(latency / 2), JoinSet::new());
        for _ in 0..callers {
            let (budget, server) = (Arc::clone(&budget), Arc::clone(&server));
            tasks.spawn(async move {
                while start.elapsed() < Duration::from_secs(300) {
                    budget.turn().await;
                    tokio::time::sleep(way).await;
                    let is_late = start.elapsed() > Duration::from_secs(120);
                    let told = server.lock().unwrap().call(cost, Instant::now(), is_late);
                    tokio::time::sleep(way).await;
                    if tells {
                        budget.state().hear(&told, Instant::now());
                    }
                }
            });
        }
        tasks.join_all().await;
        let server = server.lock().unwrap();
        (server.most, server.calls * cost / 3)
    }

    #[tokio::test(start_paused = true)]
    async fn no_window_exceeds_the_limit_whatever_a_call_costs() {
        for cost in [1, 3, 5, 10, 20] {
            for (callers, latency) in [(1, 4), (8, 100), (8, 1_000), (8, 5_000)] {
                let (most, _) = use_of(cost, callers, latency, true).await;
                assert!(most <= 1000, "{most} units: {callers} callers, {cost} a call, {latency} ms");
            }
            let (_, usual) = use_of(cost, 8, 100, true).await;
            assert!(usual >= 550, "only {usual} units at {cost} a call");
        }
        // Where the API says nothing, our own calls are what is known.
        let (most, usual) = use_of(1, 8, 100, false).await;
        assert!(most <= 900 && usual >= 550, "{most} {usual}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_limit_is_kept_by_count() {
        let (budget, start) = (Budget::new(3, Duration::from_secs(60)), Instant::now());
        for _ in 0..4 {
            budget.turn().await;
        }
        assert_eq!(start.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_everybodys_and_an_unknown_limit_holds_nobody() {
        let budget = Budget::unknown();
        let start = Instant::now();
        for _ in 0..100 {
            budget.turn().await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        budget.pause(Duration::from_secs(7));
        budget.turn().await;
        assert_eq!(start.elapsed().as_secs(), 7);
    }
}
