//! Health for load balancers and orchestrators, and the answers to requests for unknown routes.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::sender::Sender;
use super::{NotReady, Receiver, answer, body};
use crate::deliver::Status;
use crate::reasons::Reason;

/// Answers that the process lives.
pub(crate) async fn health() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// Answers whether events can be accepted, and nothing more, because anybody may ask. A destination that accepts no
/// calls does not change the answer: its queue is kept, so senders need not go elsewhere.
pub(super) async fn ready(State(receiver): State<Receiver>) -> Response {
    let (status, word) = readiness(receiver.ready());
    answer::json(status, &json!({"status": word}))
}

/// Answers the same with each destination's state and reason, for operators.
pub(crate) async fn ready_in_detail(State(receiver): State<Receiver>) -> Response {
    let destinations: Vec<_> = receiver.destinations().iter().map(detail).collect();
    let ready = receiver.ready();
    let (status, word) = readiness(ready);
    let mut body = json!({"status": word, "destinations": destinations});
    if let Err(why) = ready {
        body["reason"] = why.to_string().into();
    }
    answer::json(status, &body)
}

fn readiness(ready: Result<(), NotReady>) -> (StatusCode, &'static str) {
    if ready.is_ok() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") }
}

fn detail(status: &Status) -> Value {
    json!({"name": &*status.name, "state": status.state.name(), "reason": status.reason()})
}

pub(super) async fn unknown_route(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let error = "there is no such route; events are accepted at POST /segment, /v1/{identify,track,page,screen,group,alias,\
                 batch,import}, /amplitude, /2/httpapi, /batch, /identify and /groupidentify";
    refused(&receiver, request, StatusCode::NOT_FOUND, error, Reason::DoorRoute).await
}

pub(super) async fn wrong_method(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let error = "this route needs another method; send events by POST";
    refused(&receiver, request, StatusCode::METHOD_NOT_ALLOWED, error, Reason::DoorMethod).await
}

async fn refused(
    receiver: &Receiver,
    request: Request<Body>,
    status: StatusCode,
    error: &str,
    reason: Reason,
) -> Response {
    let (parts, body) = request.into_parts();
    body::discard(&parts.headers, body, Instant::now() + receiver.0.timeout).await;
    let sender = Sender::of_head(&parts.headers, &parts.extensions);
    let body = json!({"success": false, "code": status.as_u16(), "error": error, "message": error, "reason": reason});
    answer::refused(answer::json(status, &body), reason, None, sender)
}
