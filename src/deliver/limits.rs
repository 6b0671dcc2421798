//! How fast a destination may be called now: combines the breaker, the concurrency and the rate.
//!
//! Pure: the clock is passed in.

use tokio::time::Instant;

use super::Target;
use super::breaker::{Breaker, State};
use super::classify::{Verdict, judge};
use super::concurrency::Concurrency;
use super::connection::{Answer, CallError};
use super::rate::Rate;
use super::retry_after::retry_after;

#[derive(Debug)]
pub(super) struct Limits {
    breaker: Breaker,
    concurrency: Concurrency,
    rate: Option<Rate>,
}

impl Limits {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            breaker: Breaker::new(target.pauses),
            concurrency: Concurrency::new(target.concurrency),
            rate: target.rate.and_then(Rate::new),
        }
    }

    /// This relay owns some of all lanes, and takes that share of the rate.
    pub(super) fn share(&mut self, owned: usize, all: usize) {
        if let Some(rate) = &mut self.rate {
            rate.share(owned, all);
        }
    }

    pub(super) const fn state(&self) -> State {
        self.breaker.state()
    }

    /// Returns whether one more call may start.
    pub(super) fn allow(&self, in_flight: usize, now: Instant) -> bool {
        in_flight < self.breaker.allowed(self.concurrency.current(), now)
            && self.rate.as_ref().is_none_or(|rate| rate.next(now) <= now)
    }

    pub(super) fn started(&mut self, now: Instant) {
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
    }

    /// Allows one call to start now.
    pub(super) fn probe(&mut self, now: Instant) {
        self.breaker.probe(now);
    }

    /// Returns the most calls in flight now.
    pub(super) const fn concurrency(&self) -> usize {
        self.concurrency.current()
    }

    /// Returns until when no call may start, if that is later than now.
    pub(super) fn open_until(&self, now: Instant) -> Option<Instant> {
        self.breaker.open_until(now)
    }

    /// Returns when a call may start, if it only has to wait for time to pass.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let rate = self.rate.as_ref().map(|rate| rate.next(now)).filter(|at| *at > now);
        self.open_until(now).max(rate)
    }

    /// Updates the limits from the outcome of a call that began at `began`, while `in_flight` others are running.
    /// Returns true if the state changed.
    pub(super) fn update(
        &mut self,
        outcome: &Result<Answer, CallError>,
        began: Instant,
        in_flight: usize,
        now: Instant,
    ) -> bool {
        let verdict = judge(outcome);
        let status = outcome.as_ref().ok().map(|answer| answer.status);
        let changed = match verdict {
            Verdict::Delivered | Verdict::Permanent => {
                self.concurrency.succeeded();
                let closed = self.breaker.succeeded(began);
                if closed {
                    self.concurrency.restart();
                }
                return closed;
            }
            Verdict::Credentials => self.breaker.refused(State::CredentialsRefused, began, now),
            Verdict::Place => self.breaker.refused(State::CallsRefused, began, now),
            Verdict::Retry => {
                if matches!(status, Some(429 | 503)) || outcome.as_ref().is_err_and(CallError::is_timeout) {
                    self.concurrency.overloaded(in_flight);
                }
                self.breaker.failed(began, now)
            }
        };
        // These are about the whole destination; after any other failure only the call waits.
        let is_about_destination = verdict.is_about_place() || matches!(status, Some(429 | 503));
        let pause = outcome.as_ref().ok().filter(|_| is_about_destination).and_then(retry_after);
        pause.is_some_and(|pause| self.breaker.asked(pause, now)) || changed
    }
}
