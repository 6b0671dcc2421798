//! Health, for whoever may reach the admin listener but not the public one.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::Admin;
use crate::receive;

/// The process answers.
pub(super) async fn alive() -> Response {
    receive::json(StatusCode::OK, &json!({"status": "ok"}))
}

/// Events can be taken.
pub(super) async fn ready(State(admin): State<Admin>) -> Response {
    if admin.0.receiver.is_ready() {
        return receive::json(StatusCode::OK, &json!({"status": "ready"}));
    }
    let reason = "stopping, or the outbox could not store to disk; see the relay's log";
    receive::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "not ready", "reason": reason}))
}
