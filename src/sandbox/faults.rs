//! Faults on demand: rules that make the sandbox refuse, delay or break off the next requests that match.
//!
//! Rules are added through `/faults` or by a test. The first rule that matches a request applies to it and counts
//! down.

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

/// The largest number of rules. Every request is compared with each rule, so the list must stay short.
const MAX_RULES: usize = 1_000;
/// The longest delay is ten minutes, longer than any client waits.
const MAX_DELAY_MS: u64 = 600_000;
/// The largest size of one rule, with the `body` of its answer.
const RULE_LIMIT: usize = 64 * 1024;

/// One rule: the requests that it matches, how many of them, and what happens to each.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fault {
    /// Only requests to this path match. It is compared as sent: percent-encoded, without the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only requests whose body names this user match (`userId`, in v1 `user_id`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The number of requests that the rule still applies to; 1 by default.
    pub times: u64,
    /// The status to answer instead of the usual one, 200 to 599. With a 2xx status the request counts as received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The `Retry-After` header of the answer; needs a status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// The body of the answer, sent as text; needs a status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Milliseconds to wait before the answer is sent or the connection is closed. The request is counted before the
    /// wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Closes the connection instead of answering. With a 2xx status the request counts as received, and only the
    /// answer is lost.
    pub close: bool,
}

/// Why a rule was refused.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    #[error("the fault does nothing: give it a status, a delay_ms or \"close\": true")]
    Nothing,
    #[error("times is 0: leave it out for one request, or set it to 1 or more")]
    NoTimes,
    #[error("status is out of range: use 200 to 599")]
    Status,
    #[error("retry_after and body are parts of an answer: give the fault a status too")]
    NoStatus,
    #[error("retry_after is not text that a header can carry")]
    RetryAfter,
    #[error("delay_ms is over {MAX_DELAY_MS}: use less")]
    Delay,
    #[error("there are already {MAX_RULES} faults: send DELETE /faults first")]
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
        if self.delay_ms.is_some_and(|delay| delay > MAX_DELAY_MS) {
            return Err(FaultError::Delay);
        }
        Ok(())
    }

    /// Returns the answer that replaces the usual one, or `None` if the rule does not change the answer.
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
    /// Applies to one request and does nothing to it.
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

/// The rules that still apply, in the order in which they were added.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub fn add(&self, fault: Fault) -> Result<(), FaultError> {
        fault.check()?;
        let mut rules = self.rules();
        if rules.len() >= MAX_RULES {
            return Err(FaultError::TooMany);
        }
        rules.push(fault);
        Ok(())
    }

    /// Returns the rules that still apply, with the number of requests left for each.
    pub fn list(&self) -> Vec<Fault> {
        self.rules().clone()
    }

    pub fn clear(&self) {
        self.rules().clear();
    }

    /// Returns the first rule that matches this request, and counts it down.
    pub(super) fn take_match(&self, path: &str, body: &[u8]) -> Option<Fault> {
        let mut rules = self.rules();
        // The body is parsed only if a rule names a user: without faults, a request costs no parse.
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

/// Returns a response that closes the connection instead of answering. The server buffers the head until it has a
/// part of the body. A body that fails therefore closes the connection before any byte is written.
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

/// Wraps the routes of the account APIs: a fault applies before anything else reads the request.
///
/// The rules are the same as for events. If a fault refuses the request, or closes the connection without a 2xx
/// status, the request is not carried out. With a 2xx status it is carried out, and only the answer is different,
/// late or lost.
pub(super) async fn around(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = match http::read(body, sandbox.0.body_limit).await {
        Ok(body) => body,
        Err(ReadError::TooLarge { .. }) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(error) => return http::message(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let fault = sandbox.faults().take_match(parts.uri.path(), &body).unwrap_or_default();
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
