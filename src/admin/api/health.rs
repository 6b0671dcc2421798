//! `GET /healthz`, `/readyz`: whether the process lives and accepts events, with each destination's state.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::receive;

#[derive(Serialize, ToSchema)]
struct Health {
    status: String,
}

#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready` or `not ready`.
    status: String,
    destinations: Vec<Destination>,
    /// Why it is not ready.
    reason: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct Destination {
    name: String,
    state: String,
    reason: Option<String>,
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", responses((status = 200, body = Health, description = "It does")))]
pub(in crate::admin) async fn health() -> Response {
    receive::health().await
}

/// Whether the relay accepts events
#[utoipa::path(get, path = "/readyz", responses(
    (status = 200, body = Readiness, description = "It does"),
    (status = 503, body = Readiness, description = "It does not"),
))]
pub(in crate::admin) async fn ready(State(admin): State<Admin>) -> Response {
    receive::ready_in_detail(State(admin.receiver().clone())).await
}
