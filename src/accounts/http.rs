//! Calls to an API that is read: few connections, capped answers, tried again where that is safe.
//!
//! A call waits for its turn in the [`Budget`] and is made again after 429, and, if it may be repeated, after a 5xx
//! answer or none at all. What a status means is for the client above to say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use super::budget::Budget;
use crate::deliver::{self, Answer, CallError, Connection, Endpoint};

/// A page of a hundred accounts with large traits, and much more than one account.
const MOST_ANSWER_BYTES: usize = 16 << 20;
/// For one call, from connect to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections kept.
const MOST_IDLE: usize = 8;
/// Tries of one call, the first included.
const MOST_TRIES: u32 = 6;
/// The most to wait before the second try; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// The most to wait between two tries, whatever the answer asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why there is no answer, after every try that is safe.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("the answer has more than {MOST_ANSWER_BYTES} bytes")]
    TooLarge,
}

impl HttpError {
    /// Whether the call was certainly not carried out.
    pub const fn is_before_sending(&self) -> bool {
        match self {
            Self::Call(error) => matches!(
                error,
                CallError::Resolve(_) | CallError::Connect(_) | CallError::ConnectTimeout | CallError::Tls(_)
            ),
            Self::TooLarge => false,
        }
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Below the base URL, with its query, percent-encoded.
    pub(super) path: String,
    pub(super) body: Bytes,
    /// It does no harm if it is carried out twice.
    pub(super) is_repeatable: bool,
}

impl Call {
    pub(super) fn get(path: String) -> Self {
        Self { method: Method::GET, path, body: Bytes::new(), is_repeatable: true }
    }
}

/// One API's address, connections and budget.
pub(super) struct Caller {
    endpoint: Arc<Endpoint>,
    idle: Mutex<Vec<Connection>>,
    budget: Budget,
    most_wait: Duration,
}

impl Caller {
    pub(super) fn new(endpoint: Endpoint, budget: Budget) -> Self {
        Self { endpoint: Arc::new(endpoint), idle: Mutex::default(), budget, most_wait: LONGEST_WAIT }
    }

    /// Gives the answer back instead, if it asks for a longer wait before the next try: somebody sits there.
    #[must_use]
    pub(super) const fn with_most_wait(mut self, most: Duration) -> Self {
        self.most_wait = most;
        self
    }

    /// Makes the call; the answer of the last try, whatever its status.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, HttpError> {
        let is_write = call.method != Method::GET;
        let mut tries = 1;
        loop {
            let turn = self.budget.turn(is_write).await;
            let outcome = self.exchange(&call).await;
            let asked = outcome.as_ref().ok().and_then(|answer| turn.answered(answer));
            let is_refused = matches!(&outcome, Ok(answer) if answer.status == 429);
            let again = match &outcome {
                Ok(answer) => is_refused || (call.is_repeatable && is_passing(answer.status)),
                Err(HttpError::TooLarge) => false,
                Err(error) => call.is_repeatable || error.is_before_sending(),
            };
            if !again || tries == MOST_TRIES {
                return outcome;
            }
            let wait = asked.unwrap_or_else(|| wait_before(tries)).min(LONGEST_WAIT);
            if wait > self.most_wait {
                return outcome;
            }
            if is_refused {
                // It is about the caller, not about this call.
                self.budget.pause(wait);
            } else {
                tokio::time::sleep(wait).await;
            }
            tries += 1;
        }
    }

    async fn exchange(&self, call: &Call) -> Result<Answer, HttpError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = idle.unwrap_or_else(|| {
            Connection::new(Arc::clone(&self.endpoint)).with_most_answer_bytes(MOST_ANSWER_BYTES)
        });
        let calling = connection.call(call.method.clone(), &call.path, call.body.clone());
        let Ok(outcome) = tokio::time::timeout(TIMEOUT, calling).await else {
            return Err(connection.give_up().into());
        };
        let answer = outcome?;
        if !answer.is_whole {
            return Err(HttpError::TooLarge);
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(connection);
        }
        Ok(answer)
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Caller").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// An answer that may be another one later.
const fn is_passing(status: u16) -> bool {
    status == 408 || (status >= 500 && status != 501 && status != 505)
}

/// Doubles from try to try, with full jitter above a half.
fn wait_before(tries: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(10));
    longest.mul_f64(f64::midpoint(1.0, deliver::random()))
}
