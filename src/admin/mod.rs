//! The operators' side: health, and a JSON API to see and change what runs, and to read an account of Accoil's. On a
//! listener of its own, never on the public port.
//!
//! One file a group of routes; `guard.rs` stands before all but health. To add a group: a file with its handlers, its
//! routes in [`router`]. Every answer but the metrics is JSON; an error is `{"error":…,"code":…}` and says what to do.

mod accounts;
mod dead_letters;
mod guard;
mod mappings;
mod metrics;
mod syncs;
mod waiting;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::middleware;
use axum::response::Response;
use axum::routing::{any, get, post};
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;

pub use mappings::reload;

use crate::accounts::accoil::Cache;
use crate::accounts::sync::Syncs;
use crate::outbox::Outbox;
use crate::receive::{self, Receiver};

/// Bytes of a request's body: a filter with many ids.
const MOST_BODY: usize = 1 << 20;

/// What the routes share. Clones are the same.
#[derive(Clone)]
pub struct Admin(Arc<Shared>);

struct Shared {
    receiver: Receiver,
    /// None only where the listener is on loopback.
    token: Option<SecretString>,
    /// None where `[accounts]` is not configured.
    accounts: Option<Cache>,
    syncs: Syncs,
    started: SystemTime,
}

impl Admin {
    pub fn new(
        receiver: Receiver,
        token: Option<SecretString>,
        accounts: Option<Cache>,
        syncs: Syncs,
    ) -> Self {
        Self(Arc::new(Shared { receiver, token, accounts, syncs, started: SystemTime::now() }))
    }
}

impl Admin {
    fn receiver(&self) -> &Receiver {
        &self.0.receiver
    }

    fn outbox(&self) -> &Outbox {
        self.0.receiver.outbox()
    }
}

/// For the handlers that both listeners have.
impl FromRef<Admin> for Receiver {
    fn from_ref(admin: &Admin) -> Self {
        admin.0.receiver.clone()
    }
}

/// Every route of the admin listener.
pub fn router(admin: Admin) -> Router {
    let guarded = Router::new()
        .route("/api/reload", post(mappings::reload_now))
        .route("/api/mappings", get(mappings::list))
        .route("/api/accounts", get(accounts::get))
        .route("/api/sync", get(syncs::show))
        .route("/api/sync/{direction}", post(syncs::start))
        .route("/api/waiting", get(waiting::list))
        .route("/api/waiting/retry", post(waiting::retry))
        .route("/api/waiting/move", post(waiting::move_gone))
        .route("/api/waiting/purge", post(waiting::purge))
        .route("/api/dead-letters/replay", post(dead_letters::replay))
        .route("/api/dead-letters/purge", post(dead_letters::purge))
        .route("/metrics", get(metrics::show))
        .layer(middleware::from_fn_with_state(admin.clone(), guard::let_pass));
    Router::new()
        .route("/healthz", get(receive::health))
        .route("/readyz", get(receive::ready_in_detail))
        .merge(guarded)
        .fallback(any(unknown_route))
        .method_not_allowed_fallback(wrong_method)
        .with_state(admin)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(guard::well_formed))
}

async fn unknown_route() -> Response {
    let error = "there is no such route; there are GET /healthz, /readyz, /metrics, /api/accounts, /api/mappings, /api/sync and \
                 /api/waiting, and POST /api/reload, /api/sync/DIRECTION, /api/waiting/retry, /api/waiting/move, \
                 /api/waiting/purge, /api/dead-letters/replay and /api/dead-letters/purge";
    refusal(StatusCode::NOT_FOUND, "not_found", error)
}

async fn wrong_method() -> Response {
    refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        "this route takes another method: GET to see, POST to change",
    )
}

fn panicked(_payload: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("an admin request's handler panicked");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, "failed", "the relay failed on this request; see its log")
}

/// The JSON body of a request.
async fn body<T: DeserializeOwned>(body: Body) -> Result<T, Response> {
    let refused = |error: String| refusal(StatusCode::BAD_REQUEST, "invalid_body", &error);
    let bytes = Limited::new(body, MOST_BODY)
        .collect()
        .await
        .map_err(|_| refused(format!("the body did not arrive whole, or has more than {MOST_BODY} bytes")))?;
    let bytes = bytes.to_bytes();
    // Serde would read an array as an object of which nothing is given.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(refused("the body must be a JSON object".to_owned()));
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| refused(format!("the body cannot be read as JSON: {error}")))
}

/// The outbox could not be read or changed.
fn failed(error: &dyn std::error::Error) -> Response {
    refusal(StatusCode::SERVICE_UNAVAILABLE, "outbox_failed", &error.to_string())
}

fn refusal(status: StatusCode, code: &str, error: &str) -> Response {
    receive::json(status, &json!({"error": error, "code": code}))
}
