//! Handles answers: updates the limits, settles the call, and makes its user's next call ready.
//!
//! An answered call is settled in one of three ways: delivered, parked until its next attempt, or a dead letter.

use std::time::Duration;

use tokio::time::Instant;

use super::super::breaker::State;
use super::super::classify::{Verdict, judge, was_about_place};
use super::super::clock::Clock;
use super::super::connection::{Answer, CallError};
use super::super::reason;
use super::super::retry_after::retry_after;
use super::super::worker::{Call, EndedCall, Work};
use super::super::{failing, schedule};
use super::outcome::EndedAttempt;
use super::{Dispatcher, parked};
use crate::facts;
use crate::outbox::{Attempt, Place, Settlement};
use crate::reasons::Reason;

impl Dispatcher {
    pub(super) fn record_all(&mut self, answers: &mut Vec<EndedCall>) {
        let now = Instant::now();
        for done in answers.drain(..) {
            self.in_flight -= 1;
            self.window.leave(&done.call.work.job);
            let was_refused = self.limits.state().is_refusal();
            if self.limits.update(&done.outcome, done.call.began, self.in_flight, now) {
                if was_refused && self.limits.state() == State::Ok {
                    self.excused_until = Some(self.clock.running(now));
                }
                self.report_state(&done.outcome, now);
            }
            if let Some(owned) = self.lane(done.call.work.lane) {
                owned.ended += 1;
                self.record(done, now);
            } else {
                self.give_up(&done);
            }
        }
    }

    fn record(&mut self, done: EndedCall, now: Instant) {
        let EndedCall { call: Call { work, .. }, outcome, took } = done;
        let tried = EndedAttempt { number: work.attempts.len() + 1, result: &outcome, took };
        match judge(&outcome) {
            Verdict::Delivered => {
                self.emit(&work.job, facts::OutcomeKind::Delivered, Some(&tried), now);
                self.failing.end(work.job.user.as_str());
                self.next_turn(&work, now);
                let at = self.clock.wall(now);
                if let Some(owned) = self.lane(work.lane) {
                    let (place, fingerprints) = (work.job.place, work.job.fingerprints);
                    owned.last_delivered.insert(&fingerprints, at);
                    owned.settlements.push(Settlement::Delivered { place, fingerprints });
                }
            }
            verdict => self.record_failure(verdict, work, &tried, now),
        }
    }

    fn record_failure(&mut self, verdict: Verdict, mut work: Work, tried: &EndedAttempt<'_>, now: Instant) {
        if self.waiting_users() == 0 {
            // No stored time depends on the old reading.
            self.clock = Clock::read(&self.outbox);
        }
        let (at, running, outcome) = (self.clock.wall(now), self.clock.running(now), tried.result);
        let status = outcome.as_ref().ok().map(|answer| answer.status);
        self.status.last_error = Some(reason::short(outcome).into());
        let was_refused = work.attempts.iter().any(|attempt| was_about_place(attempt.status));
        if verdict.is_about_place() {
            // There may be thousands of such attempts, so only the last is kept.
            work.attempts.retain(|attempt| !was_about_place(attempt.status));
        }
        let took_ms = u32::try_from(tried.took.as_millis()).unwrap_or(u32::MAX);
        let (reason, took_ms, running_at) = (reason::whole(outcome), Some(took_ms), Some(running));
        work.attempts.push(Attempt { at, status, reason, took_ms, running: running_at });
        let asked = outcome.as_ref().ok().and_then(retry_after);
        let wait = match verdict {
            Verdict::Delivered | Verdict::Permanent => None,
            Verdict::Credentials | Verdict::Place => {
                let pauses = self.target.pauses;
                let wait = if was_refused { pauses.longest } else { pauses.refused };
                Some(wait.max(asked.unwrap_or_default()))
            }
            Verdict::Retry => {
                let random = schedule::random();
                self.target.schedule.next(running, &work.attempts, self.excused_until, asked, random)
            }
        };
        if let Some(wait) = wait {
            self.emit(&work.job, facts::OutcomeKind::Waits, Some(tried), now);
            self.park(work, wait, now);
        } else {
            self.emit(&work.job, facts::OutcomeKind::Dead, Some(tried), now);
            self.dead_letter(work, dead_reason(verdict), now);
        }
    }

    /// Logs that this outcome changed the destination's state.
    fn report_state(&self, outcome: &Result<Answer, CallError>, now: Instant) {
        let name = &*self.target.name;
        let reason = reason::short(outcome);
        self.mark_state(now, &reason);
        let pause_s = self.limits.open_until(Instant::now()).map(|until| (until - Instant::now()).as_secs());
        match self.limits.state() {
            State::Ok => tracing::info!(destination.name = name, "the destination accepts calls again"),
            State::Failing => tracing::warn!(
                destination.name = name,
                reason,
                pause_s,
                "the destination fails one call after another: deliveries are paused, and it is probed from time to time; queued calls are kept"
            ),
            State::Paused => tracing::warn!(
                destination.name = name,
                reason,
                pause_s,
                "the destination asked for a pause: deliveries continue after it; queued calls are kept"
            ),
            State::CredentialsRefused => tracing::error!(
                destination.name = name,
                reason,
                "the destination refuses the key: deliveries are paused and it is probed twice a minute; queued calls are \
                 kept. Check api_key"
            ),
            State::CallsRefused => tracing::error!(
                destination.name = name,
                reason,
                "the destination refuses every call, whatever its content: deliveries are paused and it is probed twice a minute; queued calls are kept. Check base_url, and any proxy between the relay and Accoil"
            ),
        }
    }

    /// Logs at most one line per minute about users whose calls fail while the destination as a whole works.
    pub(super) fn report_failing_users(&mut self) {
        let now = Instant::now();
        self.failing.count(now);
        if self.limits.state() != State::Ok {
            return;
        }
        if let Some(example) = self.failing.line(now) {
            tracing::warn!(
                destination.name = &*self.target.name,
                users = self.failing.long(),
                mapping.name = example.mapping,
                event.name = example.event,
                reason = example.reason,
                "the calls of some users have failed for more than a minute, while the destination accepts others"
            );
            self.failing.logged(now);
        }
    }

    /// Makes the user's next call ready, if there is one, and fetches more rows of a waiting user.
    pub(super) fn next_turn(&mut self, work: &Work, now: Instant) {
        let user = work.job.user.as_str();
        if !self.window.next_turn(&work.job)
            && let Some(owned) = self.lane(work.lane).filter(|owned| owned.waiting.contains(user))
        {
            owned.waiting.due_at(user, now);
        }
    }

    /// Parks the call for this long; its user's other calls wait behind it.
    fn park(&mut self, work: Work, wait: Duration, now: Instant) {
        self.note_failing(&work, now);
        let (job, lane) = (work.job.clone(), work.lane);
        let at = chrono::Duration::from_std(wait).ok();
        let next_attempt_at = at.and_then(|wait| self.clock.wall(now).checked_add_signed(wait));
        if let Some(owned) = self.lane(lane) {
            owned.waiting.due_at(job.user.as_str(), now + wait);
            owned.settlements.push(parked(work, next_attempt_at));
        }
        for follower in self.window.end_turn(&job) {
            if follower.job.user.as_str() != job.user.as_str() {
                // Two users have the same hash, so this one's call may be sent.
                let _ = self.window.push(follower);
            } else if matches!(follower.job.place, Place::Chunk { .. }) {
                // A call that was parked before is still in its row.
                self.emit(&follower.job, facts::OutcomeKind::Behind, None, now);
                self.push(follower.lane, parked(follower, None));
            }
        }
    }

    fn note_failing(&mut self, work: &Work, now: Instant) {
        let user = work.job.user.as_str();
        if self.failing.contains(user) {
            return;
        }
        // A call of an earlier run failed before this one began.
        let at = self.clock.wall(now);
        let age = work.attempts.first().and_then(|first| (at - first.at).to_std().ok()).unwrap_or_default();
        let example = failing::Example {
            mapping: work.job.mapping.as_str().to_owned(),
            event: reason::event_name(&work.job.original),
            reason: self.status.last_error.as_deref().unwrap_or_default().to_owned(),
        };
        self.failing.begin(user, now.checked_sub(age).unwrap_or(now), example);
    }

    fn dead_letter(&mut self, work: Work, reason: Reason, now: Instant) {
        self.failing.end(work.job.user.as_str());
        self.next_turn(&work, now);
        // The writer logs it, with the number of the dead letter.
        let Work { job, attempts, lane, .. } = work;
        self.push(lane, Settlement::Dead { job: Box::new(job), attempts, reason });
    }
}

/// Returns why a call that is not retried became a dead letter.
const fn dead_reason(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Permanent => Reason::DeadRefused,
        _ => Reason::DeadExhausted,
    }
}
