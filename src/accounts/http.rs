//! Calls to an API that is read: few connections, capped answers, tried again where that is safe.
//!
//! A call waits for its turn in the [`Budget`] and is made again after 429, and, if it may be repeated, after a 5xx
//! answer or none at all. What a status means is for the client above to say.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::sync::Semaphore;

use super::budget::{Budget, LONGEST_PAUSE};
use crate::deliver::{self, Answer, CallError, Connection, Endpoint};

/// A page of a hundred accounts with large traits, and much more than one account.
const MOST_ANSWER_BYTES: usize = 16 << 20;
/// For one call, from connect to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// However long an answer asks to be left alone.
const LONGEST_REST: Duration = Duration::from_secs(3600);
/// Calls at once, a connection each. What the API says is left is never older than so many calls.
const MOST_CONNECTIONS: usize = 8;
/// Tries of one call, the first included.
const MOST_TRIES: u32 = 6;
/// The most to wait before the second try; it doubles from there.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Why there is no answer, after every try that is safe.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the call was not made: its address is too long (give a shorter id or cursor)")]
    Address,
    /// An answer before asked to wait longer than whoever calls does.
    #[error("the call was not made: none is to be made for another {} s", .left.as_secs().max(1))]
    Paused { left: Duration },
    #[error("the answer has more than {MOST_ANSWER_BYTES} bytes")]
    TooLarge,
}

impl HttpError {
    /// Whether it is about the system or the way there, not about what was asked for.
    pub(super) const fn is_trouble(&self) -> bool {
        matches!(self, Self::Call(_) | Self::Paused { .. })
    }

    /// Whether the call was certainly not carried out.
    pub const fn is_before_sending(&self) -> bool {
        match self {
            Self::Call(error) => matches!(
                error,
                CallError::Resolve(_) | CallError::Connect(_) | CallError::ConnectTimeout | CallError::Tls(_)
            ),
            Self::Address | Self::Paused { .. } => true,
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
    places: Semaphore,
    idle: Mutex<Vec<Connection>>,
    budget: Budget,
    most_wait: Duration,
}

impl Caller {
    pub(super) fn new(endpoint: Endpoint, budget: Budget) -> Self {
        let places = Semaphore::new(MOST_CONNECTIONS);
        Self {
            endpoint: Arc::new(endpoint),
            places,
            idle: Mutex::default(),
            budget,
            most_wait: LONGEST_PAUSE,
        }
    }

    /// Gives the answer back instead of waiting longer before the next try, and makes no call while an answer before
    /// asks to wait longer: somebody sits there.
    #[must_use]
    pub(super) const fn with_most_wait(mut self, most: Duration) -> Self {
        self.most_wait = most;
        self
    }

    /// Makes the call; the answer of the last try, whatever its status. No try waits for longer than a minute: whoever is
    /// asked to is told so instead.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, HttpError> {
        if self.endpoint.uri(&call.path).is_none() {
            return Err(HttpError::Address);
        }
        let mut tries = 1;
        loop {
            let (outcome, asked) = self.try_once(&call).await;
            let is_refused = matches!(&outcome, Ok(answer) if answer.status == 429);
            // Longer than asked where that did not help before.
            let wait = wait_before(tries).max(asked.unwrap_or_default());
            if is_refused {
                // It is about the caller, not about this call.
                self.budget.pause(wait.min(LONGEST_REST));
            }
            let may_try_again = is_refused || may_be_repeated(&call, &outcome);
            if !may_try_again || tries == MOST_TRIES || wait > self.most_wait {
                return outcome;
            }
            if !is_refused {
                tokio::time::sleep(wait).await;
            }
            tries += 1;
        }
    }

    /// The outcome of one try, and how long the answer asks to wait.
    async fn try_once(&self, call: &Call) -> (Result<Answer, HttpError>, Option<Duration>) {
        let _place = self.places.acquire().await;
        if let Err(left) = self.budget.turn(self.most_wait).await {
            return (Err(HttpError::Paused { left }), None);
        }
        let outcome = self.exchange(call).await;
        let asked = outcome.as_ref().ok().and_then(|answer| self.budget.answered(answer));
        (outcome, asked)
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
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(answer)
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Caller").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Whether the call may be made again after an outcome that is not 429.
fn may_be_repeated(call: &Call, outcome: &Result<Answer, HttpError>) -> bool {
    match outcome {
        Ok(answer) => call.is_repeatable && is_passing(answer.status),
        Err(HttpError::Call(_)) if call.is_repeatable => true,
        Err(error @ HttpError::Call(_)) => error.is_before_sending(),
        Err(HttpError::Address | HttpError::Paused { .. } | HttpError::TooLarge) => false,
    }
}

/// An answer that may be another one later.
const fn is_passing(status: u16) -> bool {
    status == 408 || (status >= 500 && status != 501 && status != 505)
}

/// Doubles from try to try, with full jitter above a half.
pub(super) fn wait_before(tries: u32) -> Duration {
    let longest = FIRST_WAIT.saturating_mul(1 << tries.saturating_sub(1).min(10));
    longest.mul_f64(f64::midpoint(1.0, deliver::random()))
}
