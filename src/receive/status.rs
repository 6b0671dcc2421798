//! Health for load balancers and orchestrators, and the answers to requests that meet no route.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Receiver, answer, body};
use crate::deliver::Status;

/// The process answers.
pub(crate) async fn health() -> Response {
    answer::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// Events can be taken: the relay is not stopping, and the outbox can store and has room. A destination that fails is
/// listed but does not make the relay unready, because its queue is kept.
pub(crate) async fn ready(State(receiver): State<Receiver>) -> Response {
    let destinations: Vec<_> = receiver.destinations().iter().map(detail).collect();
    match receiver.ready() {
        Ok(()) => answer::json(StatusCode::OK, &json!({"status": "ready", "destinations": destinations})),
        Err(why) => {
            let body =
                json!({"status": "not ready", "reason": why.to_string(), "destinations": destinations});
            answer::json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

fn detail(status: &Status) -> Value {
    json!({"name": &*status.name, "state": status.state.name(), "reason": status.reason()})
}

pub(super) async fn unknown_route(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let error = "there is no such route; events are taken at POST /segment, /v1/{identify,track,page,screen,group,alias,\
                 batch,import}, /amplitude, /2/httpapi, /batch, /identify and /groupidentify";
    refused(&receiver, request, StatusCode::NOT_FOUND, error, "not_found").await
}

pub(super) async fn wrong_method(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let error = "this route takes another method; events are sent by POST";
    refused(&receiver, request, StatusCode::METHOD_NOT_ALLOWED, error, "wrong_method").await
}

async fn refused(
    receiver: &Receiver,
    request: Request<Body>,
    status: StatusCode,
    error: &str,
    reason: &str,
) -> Response {
    let (parts, body) = request.into_parts();
    body::discard(&parts.headers, body, Instant::now() + receiver.0.timeout).await;
    let body = json!({"success": false, "code": status.as_u16(), "error": error, "message": error, "reason": reason});
    answer::json(status, &body)
}
