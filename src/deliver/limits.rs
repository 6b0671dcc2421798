//! How fast a destination is called now: the breaker, the concurrency and the rate, asked and told as one.
//!
//! Pure: the clock is passed in.

use tokio::time::Instant;

use super::Target;
use super::breaker::{Breaker, State};
use super::classify::{Verdict, classify};
use super::concurrency::Concurrency;
use super::connection::{Answer, CallError};
use super::rate::Rate;
use super::schedule;

#[derive(Debug)]
pub(super) struct Limits {
    breaker: Breaker,
    concurrency: Concurrency,
    rate: Option<Rate>,
}

impl Limits {
    pub(super) fn new(target: &Target) -> Self {
        Self {
            breaker: Breaker::new(target.rests),
            concurrency: Concurrency::new(target.concurrency),
            rate: target.rate.and_then(Rate::new),
        }
    }

    pub(super) const fn state(&self) -> State {
        self.breaker.state()
    }

    /// Whether one more call may start.
    pub(super) fn allow(&self, in_flight: usize, now: Instant) -> bool {
        in_flight < self.breaker.allowed(self.concurrency.current(), now)
            && self.rate.as_ref().is_none_or(|rate| rate.next(now) <= now)
    }

    pub(super) fn started(&mut self, now: Instant) {
        if let Some(rate) = &mut self.rate {
            rate.take(now);
        }
    }

    /// Set while nothing at all may start.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.breaker.rests_until(now)
    }

    /// When a call may start that may not start now, if it is only for time to pass.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let rate = self.rate.as_ref().map(|rate| rate.next(now)).filter(|at| *at > now);
        self.rests_until(now).max(rate)
    }

    /// Learns from a call's outcome, while so many others are under way. True if the state is another now.
    pub(super) fn learn(
        &mut self,
        outcome: &Result<Answer, CallError>,
        in_flight: usize,
        now: Instant,
    ) -> bool {
        let status = outcome.as_ref().ok().map(|answer| answer.status);
        match classify(status) {
            Verdict::Delivered | Verdict::Permanent => {
                self.concurrency.succeeded();
                let ended = self.breaker.healthy();
                if ended {
                    self.concurrency.restart();
                }
                ended
            }
            Verdict::Credentials => self.breaker.refused(now),
            Verdict::Retry => {
                if matches!(status, Some(429 | 503)) || outcome.as_ref().is_err_and(CallError::is_timeout) {
                    self.concurrency.overloaded(in_flight);
                }
                // The one status that is about the caller and not the call: its pause is everybody's.
                let pause = outcome.as_ref().ok().filter(|answer| answer.status == 429);
                let asked =
                    pause.and_then(schedule::retry_after).is_some_and(|pause| self.breaker.asked(pause, now));
                self.breaker.troubled(now) || asked
            }
        }
    }
}
