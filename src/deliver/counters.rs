//! The counters of a destination's calls for metrics: failures by status and reason, and call times. They are
//! atomics: recording costs a few additions, reading costs the calls nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use super::classify::{Verdict, classify};
use super::connection::{Answer, CallError};
use crate::reasons::Reason;
use crate::telemetry::Timings;

/// Statuses have three digits.
const MAX_STATUS: u16 = 1000;
/// The reasons if there is no answer.
const NO_ANSWER: [Reason; 5] =
    [Reason::WaitName, Reason::WaitConnect, Reason::WaitTls, Reason::WaitTimeout, Reason::WaitReset];

/// The counts of one destination since the start.
#[derive(Debug)]
pub struct Counters {
    /// From the start of a call to the end of its answer, whatever the answer.
    pub call_time: Timings,
    /// From the receipt of an event to the delivery of each of its calls.
    pub event_to_delivered: Timings,
    statuses: Box<[AtomicU64]>,
    no_answer: [AtomicU64; NO_ANSWER.len()],
}

/// Failed attempts of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// `None` if there was no answer.
    pub status: Option<u16>,
    pub reason: Reason,
    pub count: u64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            call_time: Timings::default(),
            event_to_delivered: Timings::default(),
            statuses: (0..MAX_STATUS).map(|_| AtomicU64::new(0)).collect(),
            no_answer: Default::default(),
        }
    }
}

impl Counters {
    /// Counts a failed attempt.
    pub(super) fn failed(&self, outcome: &Result<Answer, CallError>) {
        let counter = match outcome {
            Ok(answer) => self.statuses.get(usize::from(answer.status)),
            Err(error) => {
                let place = NO_ANSWER.iter().position(|reason| *reason == error.reason());
                place.and_then(|place| self.no_answer.get(place))
            }
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the failed attempts by kind, without the kinds that did not occur.
    pub fn failures(&self) -> Vec<Failures> {
        let statuses = (0..MAX_STATUS).zip(&self.statuses).map(|(status, count)| {
            let count = count.load(Ordering::Relaxed);
            Failures { status: Some(status), reason: reason(status), count }
        });
        let no_answer = NO_ANSWER.into_iter().zip(&self.no_answer).map(|(reason, count)| {
            let count = count.load(Ordering::Relaxed);
            Failures { status: None, reason, count }
        });
        statuses.chain(no_answer).filter(|failures| failures.count > 0).collect()
    }
}

/// Returns why an attempt failed.
pub(super) fn failure_reason(result: &Result<Answer, CallError>) -> Reason {
    match result {
        Ok(answer) => reason(answer.status),
        Err(error) => error.reason(),
    }
}

/// Returns why a call with this answer failed.
const fn reason(status: u16) -> Reason {
    match classify(Some(status)) {
        Verdict::Permanent => Reason::DeadRefused,
        Verdict::Credentials => Reason::WaitKey,
        // A failure with 2xx was a web page.
        Verdict::Place | Verdict::Delivered => Reason::WaitPlace,
        Verdict::Retry if status == 429 => Reason::WaitLimited,
        Verdict::Retry => Reason::WaitServer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_status_and_reason() {
        let counters = Counters::default();
        for status in [404, 404, 503, 200] {
            let headers = http::HeaderMap::new();
            counters.failed(&Ok(Answer { status, headers, body: bytes::Bytes::new() }));
        }
        counters.failed(&Err(CallError::HeadersTimeout));
        counters.failed(&Err(CallError::BodyTimeout));
        let found = counters.failures();
        let found: Vec<_> = found.iter().map(|one| (one.status, one.reason.code(), one.count)).collect();
        let expected = [
            (Some(200), "wait.place", 1),
            (Some(404), "wait.place", 2),
            (Some(503), "wait.5xx", 1),
            (None, "wait.timeout", 2),
        ];
        assert_eq!(found, expected);
    }
}
