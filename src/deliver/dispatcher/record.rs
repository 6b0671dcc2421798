//! What an answer does: the limits learn from it, its user's next request is ready, its own fate is settled.
//!
//! A request ends here in exactly one of three ways: delivered, parked until its next attempt, or a dead letter.

use std::time::Duration;

use tokio::time::Instant;

use super::super::breaker::State;
use super::super::classify::{Verdict, classify};
use super::super::clock::Clock;
use super::super::connection::{Answer, CallError};
use super::super::schedule;
use super::super::worker::{Done, Work};
use super::{Dispatcher, parked};
use crate::outbox::chunk::Job;
use crate::outbox::{Attempt, Place, Settlement};
use crate::reasons::Reason;

impl Dispatcher {
    pub(super) fn record_all(&mut self, answers: &mut Vec<Done>) {
        let now = Instant::now();
        for done in answers.drain(..) {
            self.in_flight -= 1;
            self.window.leave(&done.work.job);
            if self.limits.learn(&done.outcome, self.in_flight, now) {
                self.tell_state(&done.outcome);
            }
            self.record(done, now);
        }
    }

    fn record(&mut self, done: Done, now: Instant) {
        let Done { work, outcome, took } = done;
        let status = outcome.as_ref().ok().map(|answer| answer.status);
        match classify(status) {
            Verdict::Delivered => {
                self.status.delivered += 1;
                self.said.insert(&work.job.fingerprints, self.clock.wall(now));
                self.next_turn(&work.job, now);
                let said = work.job.fingerprints;
                self.settlements.push(Settlement::Delivered { place: work.job.place, said });
            }
            verdict => self.record_failure(verdict, work, &outcome, took, now),
        }
    }

    fn record_failure(
        &mut self,
        verdict: Verdict,
        mut work: Work,
        outcome: &Result<Answer, CallError>,
        took: Duration,
        now: Instant,
    ) {
        if self.waiting.len() == 0 {
            // Nothing is measured against the old reading.
            self.clock = Clock::read();
        }
        let at = self.clock.wall(now);
        let status = outcome.as_ref().ok().map(|answer| answer.status);
        self.status.last_error = Some(kind(outcome).into());
        if verdict == Verdict::Credentials {
            // One such attempt is kept of what may be thousands: the last.
            work.attempts.retain(|attempt| classify(attempt.status) != Verdict::Credentials);
        }
        let took_ms = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
        work.attempts.push(Attempt { at, status, reason: reason(outcome), took_ms: Some(took_ms) });
        let wait = match verdict {
            Verdict::Delivered | Verdict::Permanent => None,
            Verdict::Credentials => Some(self.target.rests.credentials),
            Verdict::Retry => {
                let asked = outcome.as_ref().ok().and_then(schedule::retry_after);
                self.target.schedule.next(at, &work.attempts, asked, schedule::random())
            }
        };
        match wait {
            Some(wait) => self.park(work, wait, now),
            None => self.bury(work, dead_reason(verdict), now),
        }
    }

    /// The destination's state is another than before this outcome.
    fn tell_state(&self, outcome: &Result<Answer, CallError>) {
        let name = &*self.target.name;
        let reason = kind(outcome);
        match self.limits.state() {
            State::Ok => tracing::info!(destination.name = name, "the destination answers again"),
            State::Resting => tracing::warn!(
                destination.name = name,
                reason,
                "the destination is in trouble: it is left alone and probed now and then; its queue is kept"
            ),
            State::CredentialsRefused => tracing::error!(
                destination.name = name,
                reason,
                "the destination refuses the key: its queue is kept and one probe a minute is sent; mend the key"
            ),
        }
    }

    /// The user's next request is ready, if there is one; a waiting user's further rows are fetched.
    pub(super) fn next_turn(&mut self, job: &Job, now: Instant) {
        let user = job.user.as_str();
        if !self.window.next_turn(job) && self.waiting.holds(user) {
            self.waiting.due_at(user, now);
        }
    }

    /// The request waits for so long, and all that its user has waits behind it.
    fn park(&mut self, work: Work, wait: Duration, now: Instant) {
        self.status.retried += 1;
        let job = work.job.clone();
        self.waiting.due_at(job.user.as_str(), now + wait);
        let at = chrono::Duration::from_std(wait).ok();
        let next_attempt_at = at.and_then(|wait| self.clock.wall(now).checked_add_signed(wait));
        self.settlements.push(parked(work, next_attempt_at));
        for follower in self.window.end_turn(&job) {
            if follower.job.user.as_str() != job.user.as_str() {
                // The hashes of two users are the same: this one's request may go.
                let _ = self.window.push(follower);
            } else if matches!(follower.job.place, Place::Chunk { .. }) {
                // One that was parked before is still in its row.
                self.settlements.push(parked(follower, None));
            }
        }
    }

    fn bury(&mut self, work: Work, reason: Reason, now: Instant) {
        self.status.dead += 1;
        self.next_turn(&work.job, now);
        // The writer logs it, with the number that the dead letter gets.
        let Work { job, attempts } = work;
        self.settlements.push(Settlement::Dead { job: Box::new(job), attempts, reason });
    }
}

/// Why a call that is not tried again became a dead letter.
const fn dead_reason(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Permanent => Reason::DeadRefused,
        _ => Reason::DeadExhausted,
    }
}

/// What is kept of a failure, for a person.
fn reason(outcome: &Result<Answer, CallError>) -> String {
    match outcome {
        Ok(answer) if !answer.body.is_empty() => {
            format!("{}: {}", kind(outcome), String::from_utf8_lossy(&answer.body))
        }
        _ => kind(outcome),
    }
}

/// The same without what the destination wrote.
fn kind(outcome: &Result<Answer, CallError>) -> String {
    match outcome {
        Ok(answer) => format!("answered {}", answer.status),
        Err(error) => error.to_string(),
    }
}
