//! Vitally's rate limit (`docs/vitally.md#rate-limit`): a number of units in a sliding window, reported in headers.
//!
//! A refused request uses no units and every other request does, even one that gets 401. Vitally documents neither
//! rule.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Limit {
    units: u32,
    window: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The units used in the window, oldest first.
    calls: VecDeque<(Instant, u32)>,
    used: u32,
    peak: u32,
    refused: u64,
}

/// The state of the limit after a request was counted or refused.
#[derive(Debug, PartialEq)]
pub(super) struct LimitState {
    pub(super) is_refused: bool,
    remaining: u32,
    /// The time until the oldest call leaves the window.
    reset: Duration,
}

impl Limit {
    pub(super) fn new((units, window): (u32, Duration)) -> Self {
        Self { units, window, state: Mutex::default() }
    }

    /// Takes `cost` units, unless that exceeds the limit.
    pub(super) fn take(&self, cost: u32, now: Instant) -> LimitState {
        let mut state = self.state();
        state.forget(now, self.window);
        let is_refused = state.used.saturating_add(cost) > self.units;
        if is_refused {
            state.refused += 1;
        } else {
            state.calls.push_back((now, cost));
            state.used += cost;
            state.peak = state.peak.max(state.used);
        }
        let oldest = state.calls.front().map_or(now, |(at, _)| *at);
        let reset = (oldest + self.window).saturating_duration_since(now);
        LimitState { is_refused, remaining: self.units - state.used, reset }
    }

    /// Writes the three headers, in the documented form: `1000, 1000;window=60`, `999`, `59`.
    pub(super) fn write_headers(&self, limit_state: &LimitState, headers: &mut HeaderMap) {
        let (units, window) = (self.units, seconds(self.window));
        if let Ok(limit) = HeaderValue::from_str(&format!("{units}, {units};window={window}")) {
            headers.insert("ratelimit-limit", limit);
        }
        headers.insert("ratelimit-remaining", limit_state.remaining.into());
        headers.insert("ratelimit-reset", seconds(limit_state.reset).into());
    }

    pub(super) fn peak(&self) -> u32 {
        self.state().peak
    }

    pub(super) fn refused(&self) -> u64 {
        self.state().refused
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, now: Instant, window: Duration) {
        while let Some((at, cost)) = self.calls.front()
            && *at + window <= now
        {
            self.used -= cost;
            self.calls.pop_front();
        }
    }
}

/// Rounded up.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sliding_window_refuses_units_over_the_limit() {
        let limit = Limit::new((10, Duration::from_secs(60)));
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        // The columns are: cost, time; refused, remaining, reset.
        for (cost, when, is_refused, remaining, reset) in [
            (4, 0, false, 6, 60_000),
            (1, 500, false, 5, 59_500),
            (6, 1_000, true, 5, 59_000),
            (5, 59_999, false, 0, 1),
            (1, 59_999, true, 0, 1),
            (4, 60_000, false, 0, 500),
            (1, 60_500, false, 0, 59_499),
            (1, 200_000, false, 9, 60_000),
        ] {
            let reset = Duration::from_millis(reset);
            assert_eq!(
                limit.take(cost, at(when)),
                LimitState { is_refused, remaining, reset },
                "{cost} at {when}"
            );
        }
        assert_eq!((limit.peak(), limit.refused()), (10, 2));
    }

    #[test]
    fn seconds_are_rounded_up_in_the_headers() {
        let limit = Limit::new((1000, Duration::from_millis(1500)));
        let mut headers = HeaderMap::new();
        limit.write_headers(
            &LimitState { is_refused: false, remaining: 7, reset: Duration::from_millis(58_001) },
            &mut headers,
        );
        let text = |name| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(text("RateLimit-Limit"), "1000, 1000;window=2");
        assert_eq!((text("RateLimit-Remaining"), text("RateLimit-Reset")), ("7", "59"));
    }
}
