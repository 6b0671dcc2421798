//! Emits the result of a call. Only this module counts, logs and records results in this stage.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::connection::{Answer, CallError};
use super::super::counters::failure_reason;
use super::Dispatcher;
use crate::facts::{Mark, Outcome, OutcomeKind, Outcomes};
use crate::outbox::Priority;
use crate::outbox::chunk::Job;
use crate::reasons::Reason;

/// The most bytes of an answer that a record keeps.
const MAX_TEXT: usize = 512;

/// The attempt that ended.
pub(super) struct EndedAttempt<'o> {
    /// 1 for the first.
    pub(super) number: usize,
    pub(super) result: &'o Result<Answer, CallError>,
    pub(super) took: Duration,
}

impl Dispatcher {
    /// Emits the end of an attempt, or the settlement of a call without one.
    pub(super) fn emit(
        &mut self,
        job: &Job,
        kind: OutcomeKind,
        tried: Option<&EndedAttempt<'_>>,
        now: Instant,
    ) {
        let at = self.clock.wall(now);
        let status = tried.and_then(|tried| Some(tried.result.as_ref().ok()?.status));
        self.status.count(job, kind, tried.map(|tried| (tried.result, tried.took)), at);
        if job.priority == Priority::Background
            && matches!(kind, OutcomeKind::Delivered | OutcomeKind::Held | OutcomeKind::Dead)
        {
            self.outbox.background().finished(&self.target.name);
        }
        if let Some(tried) = tried {
            tracing::debug!(
                destination.name = &*self.target.name,
                event.id = %job.event,
                mapping.name = job.mapping.as_str(),
                http.status = status,
                call.attempt = tried.number,
                call.duration_ms = u64::try_from(tried.took.as_millis()).unwrap_or(u64::MAX),
                verdict = ?kind,
                "a call was made"
            );
        }
        tracing::trace!(
            destination.name = &*self.target.name,
            event.id = %job.event,
            mapping.name = job.mapping.as_str(),
            outcome = describe(kind),
            "settled a call"
        );
        if self.facts.is_on() {
            self.outcomes.push(Outcome {
                event: job.event,
                request: job.request,
                attempt: tried.map_or(0, |tried| u8::try_from(tried.number).unwrap_or(u8::MAX)),
                kind,
                reason: reason(kind, tried),
                status: status.unwrap_or(0),
                took_us: tried.map_or(0, |tried| u32::try_from(tried.took.as_micros()).unwrap_or(u32::MAX)),
                at,
                text: tried.map(text).unwrap_or_default(),
            });
        }
    }

    /// Gives the facts of this turn to their consumers.
    pub(super) fn send_outcomes(&mut self) {
        if !self.outcomes.is_empty() {
            let outcomes = std::mem::take(&mut self.outcomes);
            let mut outcomes = Outcomes { destination: self.target.name.clone(), outcomes };
            self.facts.outcomes(&outcomes);
            outcomes.outcomes.clear();
            self.outcomes = outcomes.outcomes;
        }
    }

    /// Emits that the destination's state changed.
    pub(super) fn mark_state(&self, now: Instant, reason: &str) {
        if self.facts.is_on() {
            let text = format!("{}: {}, {reason}", self.target.name, self.limits.state().name());
            self.facts.mark(Mark { at: self.clock.wall(now), kind: "destination", text });
        }
    }
}

const fn describe(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Delivered => "delivered",
        OutcomeKind::Held => "not sent: nothing new in it",
        OutcomeKind::Waits => "parked for its next attempt",
        OutcomeKind::Behind => "parked behind an earlier call of its user",
        OutcomeKind::Dead => "dead letter",
    }
}

fn reason(kind: OutcomeKind, tried: Option<&EndedAttempt<'_>>) -> Option<Reason> {
    match kind {
        OutcomeKind::Delivered => None,
        OutcomeKind::Held => Some(Reason::Held),
        OutcomeKind::Behind => Some(Reason::WaitBehind),
        OutcomeKind::Waits => tried.map(|tried| failure_reason(tried.result)),
        OutcomeKind::Dead => Some(match tried.map(|tried| failure_reason(tried.result)) {
            Some(Reason::DeadRefused) => Reason::DeadRefused,
            _ => Reason::DeadExhausted,
        }),
    }
}

/// Returns the beginning of the answer, or how the call failed.
fn text(tried: &EndedAttempt<'_>) -> Bytes {
    match tried.result {
        Ok(answer) if answer.body.len() <= MAX_TEXT => answer.body.clone(),
        Ok(answer) => Bytes::copy_from_slice(answer.body.get(..MAX_TEXT).unwrap_or_default()),
        Err(error) => Bytes::from(error.to_string()),
    }
}
