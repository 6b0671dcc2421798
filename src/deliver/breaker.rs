//! Decides when a destination as a whole gets no calls: a circuit breaker, as pure data; the clock is passed in.
//!
//! Closed: calls are sent. Open: no calls until a time. Half open, after that time: one call at a time is sent as a
//! probe. The outcome of a call that began before the breaker opened changes nothing, so that a requested pause is
//! never shortened.

use std::time::Duration;

use tokio::time::Instant;

/// This many failures in a row mean that the destination fails and not the call.
const MAX_FAILURES: u32 = 5;
/// This many answers about the place in a row mean the destination. A single one may come from a firewall that blocks
/// one call.
const MAX_REFUSALS: u32 = 3;
/// The number of calls at once after a start until one has succeeded, so that a wrong address costs few calls.
const CALLS_BEFORE_SUCCESS: usize = 2;

/// How long a destination gets no calls before the next probe.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// The first pause; it doubles with each probe that fails.
    pub shortest: Duration,
    /// The first pause after an answer about the place, which only people can fix; it doubles as well.
    pub refused: Duration,
    pub longest: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self {
            shortest: Duration::from_secs(1),
            refused: Duration::from_secs(5),
            longest: Duration::from_secs(30),
        }
    }
}

/// How a destination is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Ok,
    /// One call after another fails.
    Failing,
    /// The destination asked for a pause (`Retry-After`).
    Paused,
    /// The destination refuses the key.
    CredentialsRefused,
    /// The destination refuses every call for a reason outside the call: a redirect, 404, a page instead of an
    /// answer.
    CallsRefused,
}

impl State {
    pub const ALL: [Self; 5] =
        [Self::Ok, Self::Failing, Self::Paused, Self::CredentialsRefused, Self::CallsRefused];

    /// Returns the name in health answers and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failing => "failing",
            Self::Paused => "paused",
            Self::CredentialsRefused => "credentials refused",
            Self::CallsRefused => "calls refused",
        }
    }

    /// Returns whether the destination's answers are about the place: its queue then waits for people, however long.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::CredentialsRefused | Self::CallsRefused)
    }
}

#[derive(Debug)]
enum Phase {
    /// No call has succeeded since the start.
    Unproven,
    Closed,
    /// Half open once `until` has passed.
    Open {
        since: Instant,
        until: Instant,
    },
}

#[derive(Debug)]
pub(super) struct Breaker {
    pauses: Pauses,
    phase: Phase,
    /// `Ok` unless the phase is `Open`.
    state: State,
    /// In a row, like the next two.
    failures: u32,
    refusals: u32,
    opened: u32,
}

impl Breaker {
    pub(super) const fn new(pauses: Pauses) -> Self {
        Self { pauses, phase: Phase::Unproven, state: State::Ok, failures: 0, refusals: 0, opened: 0 }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// Returns how many calls may be in flight now; `most` is the highest number.
    pub(super) fn allowed(&self, most: usize, now: Instant) -> usize {
        match self.phase {
            Phase::Unproven => most.min(CALLS_BEFORE_SUCCESS),
            Phase::Closed => most,
            Phase::Open { until, .. } if now < until => 0,
            Phase::Open { .. } => 1,
        }
    }

    /// Returns when the next probe may be sent, if that is later than now.
    pub(super) fn open_until(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Open { until, .. } if now < until => Some(until),
            _ => None,
        }
    }

    /// A call that began at `began` succeeded or was judged by itself. Returns true if that closes the breaker.
    pub(super) fn succeeded(&mut self, began: Instant) -> bool {
        if self.is_stale(began) {
            return false;
        }
        let closes = matches!(self.phase, Phase::Open { .. });
        *self = Self { phase: Phase::Closed, ..Self::new(self.pauses) };
        closes
    }

    /// A call failed in a way that may be the destination's fault. Returns true if the state changed.
    pub(super) fn failed(&mut self, began: Instant, now: Instant) -> bool {
        if self.is_stale(began) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        let is_probe = matches!(self.phase, Phase::Open { .. });
        (is_probe || self.failures >= MAX_FAILURES)
            && self.open_longer(State::Failing, self.pauses.shortest, now)
    }

    /// An answer was about the place and not about the call. Returns true if the state changed.
    pub(super) fn refused(&mut self, state: State, began: Instant, now: Instant) -> bool {
        if self.is_stale(began) {
            return false;
        }
        self.failures = self.failures.saturating_add(1);
        self.refusals = self.refusals.saturating_add(1);
        let is_doubtful = !matches!(self.phase, Phase::Closed) || self.refusals >= MAX_REFUSALS;
        is_doubtful && self.open_longer(state, self.pauses.refused, now)
    }

    /// An answer asked for a pause. Returns true if the state changed.
    pub(super) fn asked(&mut self, pause: Duration, now: Instant) -> bool {
        !pause.is_zero() && self.open(State::Paused, now + pause, now)
    }

    /// Allows one call now, even during a requested pause, because an operator asked for it.
    pub(super) fn probe(&mut self, now: Instant) {
        if let Phase::Open { until, .. } = &mut self.phase {
            *until = now.min(*until);
        }
    }

    /// Returns whether a call began before the breaker opened.
    fn is_stale(&self, began: Instant) -> bool {
        matches!(self.phase, Phase::Open { since, .. } if began <= since)
    }

    fn open_longer(&mut self, state: State, first: Duration, now: Instant) -> bool {
        let pause = first.saturating_mul(1 << self.opened.min(16)).min(self.pauses.longest);
        self.opened = self.opened.saturating_add(1);
        self.open(state, now + pause, now)
    }

    /// Never shortens a pause, and keeps a refusal until a call has succeeded.
    fn open(&mut self, state: State, until: Instant, now: Instant) -> bool {
        let before = self.state;
        if state.is_refusal() || !before.is_refusal() {
            self.state = state;
        }
        let until = self.open_until(now).map_or(until, |earlier| earlier.max(until));
        self.phase = Phase::Open { since: now, until };
        before != self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Opens the breaker repeatedly at the earliest moment, and returns the lengths of the pauses in seconds.
    fn pauses(
        breaker: &mut Breaker,
        mut now: Instant,
        mut fail: impl FnMut(&mut Breaker, Instant),
    ) -> Vec<u64> {
        let mut pauses = Vec::new();
        while let Some(until) = breaker.open_until(now)
            && pauses.len() < 8
        {
            assert_eq!(breaker.allowed(64, now), 0);
            pauses.push((until - now).as_secs());
            now = until;
            assert_eq!(breaker.allowed(64, now), 1, "half open");
            fail(breaker, now);
        }
        pauses
    }

    #[test]
    fn failures_open_it_for_longer_each_time_and_a_success_closes_it() {
        let start = Instant::now();
        let mut breaker = Breaker::new(Pauses::default());
        assert_eq!(breaker.allowed(64, start), 2, "few calls before the first success");
        assert!(!breaker.succeeded(start));
        assert_eq!(breaker.allowed(64, start), 64);
        let opened: Vec<bool> = (0..6).map(|_| breaker.failed(start, start)).collect();
        assert_eq!(opened, [false, false, false, false, true, false]);
        let lengths =
            pauses(&mut breaker, start, |breaker, now| assert!(!breaker.failed(now, now), "known already"));
        assert_eq!(lengths, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert!(breaker.succeeded(start + 1000 * SECOND));
        assert_eq!((breaker.allowed(64, start), breaker.state()), (64, State::Ok));
    }

    #[test]
    fn refusals_open_it_at_once_before_any_success_and_later_when_they_are_many() {
        let now = Instant::now();
        let mut breaker = Breaker::new(Pauses::default());
        assert!(breaker.refused(State::CallsRefused, now, now));
        assert!(!breaker.refused(State::CallsRefused, now, now), "in flight when it opened");
        let lengths = pauses(&mut breaker, now, |breaker, now| {
            breaker.refused(State::CallsRefused, now, now);
        });
        assert_eq!(lengths, [5, 10, 20, 30, 30, 30, 30, 30]);

        let mut breaker = Breaker::new(Pauses::default());
        for _ in 0..10 {
            breaker.succeeded(now);
            assert!(!breaker.refused(State::CredentialsRefused, now, now), "one user's, among successes");
        }
        assert!(!breaker.refused(State::CredentialsRefused, now, now));
        assert!(breaker.refused(State::CredentialsRefused, now, now));
        let later = now + 6 * SECOND;
        assert!(!breaker.failed(later, later), "a refusal is not forgotten");
        assert_eq!(breaker.state(), State::CredentialsRefused);
    }

    #[test]
    fn a_pause_that_was_asked_for_is_not_shortened_by_calls_that_began_before() {
        let start = Instant::now();
        let mut breaker = Breaker::new(Pauses::default());
        breaker.succeeded(start);
        let asked_at = start + SECOND;
        assert!(breaker.asked(10 * SECOND, asked_at));
        assert!(!breaker.succeeded(start), "a success in flight");
        (0..9).for_each(|_| assert!(!breaker.failed(start, asked_at), "failures in flight"));
        breaker.asked(SECOND, asked_at);
        assert_eq!(breaker.open_until(asked_at), Some(asked_at + 10 * SECOND));
        breaker.asked(3600 * SECOND, asked_at);
        assert_eq!(
            breaker.open_until(asked_at),
            Some(asked_at + 3600 * SECOND),
            "longer than its own longest"
        );
        assert_eq!(breaker.state(), State::Paused);
        let probe = asked_at + 3600 * SECOND;
        assert!(breaker.succeeded(probe));
    }
}
