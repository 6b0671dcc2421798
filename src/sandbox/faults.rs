//! Faults on demand: rules that make the sandbox refuse, delay or break off the next requests they match.
//!
//! They come over `/faults` or from a test's own code. The first rule that matches applies and counts down.

use std::cell::LazyCell;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use ::http::header::RETRY_AFTER;
use ::http::{HeaderValue, StatusCode};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper::body::{Body as HttpBody, Frame};
use serde::{Deserialize, Serialize};

use super::http::ReadError;
use super::{Sandbox, contract, http, received};

/// More rules than this are refused: each is looked at for every request.
const MOST_RULES: usize = 1_000;
/// The longest delay, ten minutes: longer than any client waits.
const LONGEST_DELAY_MS: u64 = 600_000;
/// A rule's own size; its `body` is the answer's.
const RULE_LIMIT: usize = 64 * 1024;

/// One rule: which requests, how many of them, and what happens to each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Only requests to this path, percent-encoded as it is sent, without a query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only requests whose body names this user (`userId`, in v1 `user_id`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How many requests it still applies to; 1 if left out.
    pub times: u64,
    /// The status answered instead of the usual one, 200 to 599. 2xx: the request counts as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The answer's `Retry-After`; needs a status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// The answer's body, sent as text; needs a status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// How long the answer, or the closing, is held back, milliseconds; the request is counted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Closes the connection in place of an answer. With a 2xx status the request was received all the same,
    /// and only the answer is lost.
    pub close: bool,
}

/// Why a rule was refused.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    #[error("the fault does nothing: give it a status, a delay_ms or \"close\": true")]
    Nothing,
    #[error("times is 0: leave it out for one request, or say how many")]
    NoTimes,
    #[error("status is out of range: use 200 to 599")]
    Status,
    #[error("retry_after and body are parts of an answer: give the fault a status too")]
    NoStatus,
    #[error("retry_after is not text that a header can carry")]
    RetryAfter,
    #[error("delay_ms is over {LONGEST_DELAY_MS}: use less")]
    Delay,
    #[error("there are {MOST_RULES} faults already: DELETE /faults first")]
    TooMany,
}

impl Fault {
    fn check(&self) -> Result<(), FaultError> {
        if self.status.is_none() && self.delay_ms.is_none() && !self.close {
            return Err(FaultError::Nothing);
        }
        if self.times == 0 {
            return Err(FaultError::NoTimes);
        }
        if self.status.is_some_and(|status| !(200..=599).contains(&status)) {
            return Err(FaultError::Status);
        }
        if self.status.is_none() && (self.retry_after.is_some() || self.body.is_some()) {
            return Err(FaultError::NoStatus);
        }
        if self.retry_after.as_ref().is_some_and(|text| HeaderValue::from_str(text).is_err()) {
            return Err(FaultError::RetryAfter);
        }
        if self.delay_ms.is_some_and(|delay| delay > LONGEST_DELAY_MS) {
            return Err(FaultError::Delay);
        }
        Ok(())
    }

    /// The answer in place of the usual one; `None` where the rule leaves that as it is.
    pub(super) fn answer(&self) -> Option<Response> {
        let status = StatusCode::from_u16(self.status?).ok()?;
        let mut response = match &self.body {
            Some(body) => (status, body.clone()).into_response(),
            None => status.into_response(),
        };
        if let Some(Ok(value)) = self.retry_after.as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(RETRY_AFTER, value);
        }
        Some(response)
    }
}

impl Default for Fault {
    /// One request, to which nothing happens.
    fn default() -> Self {
        Self {
            path: None,
            user: None,
            times: 1,
            status: None,
            retry_after: None,
            body: None,
            delay_ms: None,
            close: false,
        }
    }
}

/// The rules that still apply, in the order in which they were given.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) -> Result<(), FaultError> {
        fault.check()?;
        let mut rules = self.rules();
        if rules.len() >= MOST_RULES {
            return Err(FaultError::TooMany);
        }
        rules.push(fault);
        Ok(())
    }

    /// Those still to come, with the `times` that are left.
    pub fn list(&self) -> Vec<Fault> {
        self.rules().clone()
    }

    pub fn clear(&self) {
        self.rules().clear();
    }

    /// The first rule that matches this request, counted down.
    pub(super) fn strike(&self, path: &str, body: &[u8]) -> Option<Fault> {
        let mut rules = self.rules();
        // Read only if a rule asks for it: without faults, a request costs no parse.
        let user = LazyCell::new(|| contract::user(&received::parse(body).0).map(str::to_owned));
        let at = rules.iter().position(|rule| {
            rule.path.as_deref().is_none_or(|wanted| wanted == path)
                && rule.user.as_deref().is_none_or(|wanted| user.as_deref() == Some(wanted))
        })?;
        let rule = rules.get_mut(at)?;
        rule.times -= 1;
        let fault = rule.clone();
        if fault.times == 0 {
            rules.remove(at);
        }
        Some(fault)
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In place of an answer: the connection is closed. The server buffers the head until it has something of
/// the body, and a body that fails takes the connection down before any byte is written.
pub(super) fn broken_off() -> Response {
    struct Fails;

    impl HttpBody for Fails {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
        }
    }

    Response::new(Body::new(Fails))
}

/// Around the routes of the account APIs: a fault that is due strikes before anything else looks at the request.
///
/// As for events: refused or closed without a 2xx status, the request is not carried out; with one it is, and only the
/// answer is another, late or lost.
pub(super) async fn around(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match http::read(body, sandbox.0.body_limit).await {
        Ok(body) => body,
        Err(ReadError::TooLarge { .. }) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(error) => return http::message(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let fault = sandbox.faults().strike(parts.uri.path(), &body).unwrap_or_default();
    let response = match fault.answer() {
        Some(refusal) if !refusal.status().is_success() => refusal,
        None if fault.close => broken_off(),
        instead => {
            let usual = next.run(Request::from_parts(parts, Body::from(body))).await;
            instead.unwrap_or(usual)
        }
    };
    if let Some(delay) = fault.delay_ms {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if fault.close { broken_off() } else { response }
}

pub(super) fn routes() -> Router<Sandbox> {
    Router::new().route("/faults", get(show).post(add).delete(clear))
}

async fn show(State(sandbox): State<Sandbox>) -> Response {
    http::json(StatusCode::OK, &serde_json::json!({ "faults": sandbox.faults().list() }))
}

async fn add(State(sandbox): State<Sandbox>, request: Request) -> Response {
    let refuse = |text: &dyn ToString| http::message(StatusCode::BAD_REQUEST, &text.to_string());
    let body = match http::read(request.into_body(), RULE_LIMIT).await {
        Ok(body) => body,
        Err(error) => return refuse(&error),
    };
    match serde_json::from_slice(&body) {
        Err(error) => refuse(&format_args!("the body is not a fault: {error}")),
        Ok(fault) => match sandbox.faults().add(fault) {
            Err(error) => refuse(&error),
            Ok(()) => show(State(sandbox)).await,
        },
    }
}

async fn clear(State(sandbox): State<Sandbox>) -> Response {
    sandbox.faults().clear();
    show(State(sandbox)).await
}
