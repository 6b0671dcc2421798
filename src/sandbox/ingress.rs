//! Accoil's write APIs as documented: `/v2/*`, the older `/v1/*`, and `/segment` (`docs/accoil-api.md`).
//!
//! Accoil answers before it checks the key or the payload, so a wrong key or payload still gets 202. Only the form of
//! the header and the size of the body are checked before the answer.

use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, StatusCode};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;

use super::contract::Dialect;
use super::http::{self, ReadError};
use super::ledger::Call;
use super::{Sandbox, faults};

/// Every path that accepts events.
pub(super) const PATHS: [&str; 7] =
    ["/v2/identify", "/v2/group", "/v2/track", "/v1/users", "/v1/groups", "/v1/events", "/segment"];

pub(super) fn routes() -> Router<Sandbox> {
    PATHS.into_iter().fold(Router::new(), |router, path| router.route(path, post(accept)))
}

/// Answers one request, with a fault if one matches, and records it.
async fn accept(State(sandbox): State<Sandbox>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = match http::read(body, sandbox.0.body_limit).await {
        Err(error @ ReadError::Broken(_)) => {
            return http::message(StatusCode::BAD_REQUEST, &error.to_string());
        }
        read => read.ok(),
    };
    let path = parts.uri.path();
    let fault = sandbox.0.faults.take_match(path, body.as_deref().unwrap_or_default()).unwrap_or_default();
    let response = fault.answer().unwrap_or_else(|| documented(path, &parts.headers, body.as_ref()));
    // A connection that a fault closes without a status means that the request did not arrive. With a status, only
    // the answer is lost.
    let accepted = response.status().is_success() && !(fault.close && fault.status.is_none());
    sandbox.0.ledger.record(accepted, || Call {
        method: parts.method.clone(),
        path: path.to_owned(),
        authorization: authorization(&parts.headers),
        // Copied, because the received bytes are a slice of a larger buffer, and keeping the slice would keep that
        // buffer.
        body: body.as_deref().map(Box::from),
        status: (!fault.close).then(|| response.status()),
    });
    if let (true, Some(body)) = (accepted, &body) {
        sandbox.accounts().apply_group_call(path, body);
    }
    // Only the answer is late: the request counts as received even if the sender stops waiting.
    if let Some(delay) = fault.delay_ms {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    if fault.close { faults::broken_off() } else { response }
}

/// Returns the documented answer. `body` is `None` if it was over the limit.
fn documented(path: &str, headers: &HeaderMap, body: Option<&Bytes>) -> Response {
    let dialect = Dialect::of(path);
    if body.is_none() {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    // Mocks that Accoil's own engineers wrote show this answer for /segment. /v2 has the same scheme, so the sandbox
    // assumes the same answer there. /v1 has its key in the body, which Accoil checks only after it has answered.
    if dialect != Dialect::V1 && key(headers).is_none() {
        return http::message(
            StatusCode::BAD_REQUEST,
            "the Authorization header must be the word Basic, a space, and the API key",
        );
    }
    match dialect {
        Dialect::Segment => http::json(StatusCode::ACCEPTED, &serde_json::json!({})),
        Dialect::V1 | Dialect::V2 => StatusCode::ACCEPTED.into_response(),
    }
}

/// Returns what follows `Basic `, if the header has that form.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let key = headers.get(AUTHORIZATION)?.as_bytes().strip_prefix(b"Basic ")?.trim_ascii();
    (!key.is_empty()).then_some(key)
}

fn authorization(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
