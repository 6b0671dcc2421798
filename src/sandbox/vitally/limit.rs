//! Vitally's rate limit (`docs/vitally.md#rate-limit`): so many units in any window that slides, told in headers.
//!
//! What is refused uses no units; that is ours, as is that everything else does, 401 included.

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
    /// What was used in the window, the oldest first.
    calls: VecDeque<(Instant, u32)>,
    used: u32,
    most: u32,
    refused: u64,
}

/// How things stand once a request was counted, or refused.
#[derive(Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) is_refused: bool,
    remaining: u32,
    /// Until the oldest leaves the window.
    reset: Duration,
}

impl Limit {
    pub(super) fn new((units, window): (u32, Duration)) -> Self {
        Self { units, window, state: Mutex::default() }
    }

    /// Takes `cost` units, unless that would be too many.
    pub(super) fn take(&self, cost: u32, now: Instant) -> Standing {
        let mut state = self.state();
        state.forget(now, self.window);
        let is_refused = state.used.saturating_add(cost) > self.units;
        if is_refused {
            state.refused += 1;
        } else {
            state.calls.push_back((now, cost));
            state.used += cost;
            state.most = state.most.max(state.used);
        }
        let oldest = state.calls.front().map_or(now, |(at, _)| *at);
        let reset = (oldest + self.window).saturating_duration_since(now);
        Standing { is_refused, remaining: self.units - state.used, reset }
    }

    /// Writes the three headers, in the documented form: `1000, 1000;window=60`, `999`, `59`.
    pub(super) fn tell(&self, standing: &Standing, headers: &mut HeaderMap) {
        let (units, window) = (self.units, seconds(self.window));
        if let Ok(limit) = HeaderValue::from_str(&format!("{units}, {units};window={window}")) {
            headers.insert("ratelimit-limit", limit);
        }
        headers.insert("ratelimit-remaining", standing.remaining.into());
        headers.insert("ratelimit-reset", seconds(standing.reset).into());
    }

    pub(super) fn most(&self) -> u32 {
        self.state().most
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
    fn a_window_slides_and_refuses_what_would_be_too_much() {
        let limit = Limit::new((10, Duration::from_secs(60)));
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        // Cost, when; refused, remaining, reset.
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
                Standing { is_refused, remaining, reset },
                "{cost} at {when}"
            );
        }
        assert_eq!((limit.most(), limit.refused()), (10, 2));
    }

    #[test]
    fn seconds_are_rounded_up_in_the_headers() {
        let limit = Limit::new((1000, Duration::from_millis(1500)));
        let mut headers = HeaderMap::new();
        limit.tell(
            &Standing { is_refused: false, remaining: 7, reset: Duration::from_millis(58_001) },
            &mut headers,
        );
        let text = |name| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(text("RateLimit-Limit"), "1000, 1000;window=2");
        assert_eq!((text("RateLimit-Remaining"), text("RateLimit-Reset")), ("7", "59"));
    }
}
