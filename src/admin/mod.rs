//! The operators' side: health, and a JSON API to see and change what runs, and to read an account at Accoil. It is
//! on a listener of its own, never on the public port.
//!
//! `api/` has one file for each resource. `guard.rs` protects all routes but health. `document.rs` describes every
//! route at `/openapi.json`. Every answer but the metrics is JSON; an error is `{"error":…,"code":…}` and says what
//! to do.

pub mod answer;
pub mod api;
mod document;
pub mod error;
pub mod guard;
mod metrics;
pub mod moment;
mod pages;
pub mod request;

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode, Uri};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use api::mappings::reload;

use crate::accounts::accoil::Cache;
use crate::accounts::sync::Syncs;
use crate::config::Config;
use crate::deliver::Control;
use crate::facts::Facts;
use crate::history::{Reader, Redactor};
use crate::outbox::Outbox;
use crate::receive::Receiver;
use crate::replay::{Importer, Jobs};
use accoil_mapping::nearest;
use error::ApiError;
use pages::session::Sessions;

/// The state that the routes share. Clones are the same.
#[derive(Clone)]
pub struct Admin(Arc<Shared>);

struct Shared {
    parts: Parts,
    /// The API's document, once the router is built.
    document: OnceLock<Bytes>,
    sessions: Sessions,
    /// One for each export at a time.
    exports: Arc<Semaphore>,
}

/// What the routes need from the rest of the relay.
pub struct Parts {
    pub config: Config,
    pub receiver: Receiver,
    /// `None` if `[accounts]` is not configured.
    pub accounts: Option<Cache>,
    pub syncs: Syncs,
    /// Replays and purges.
    pub jobs: Jobs,
    /// Imports of old events.
    pub importer: Importer,
    /// One for each destination, in the configuration's order.
    pub controls: Vec<Control>,
    pub history: Reader,
    /// Hides what `[privacy]` names.
    pub redactor: Redactor,
    pub started: SystemTime,
}

impl Admin {
    pub fn new(parts: Parts) -> Self {
        let (document, sessions) = (OnceLock::new(), Sessions::default());
        Self(Arc::new(Shared { parts, document, sessions, exports: api::export::permits() }))
    }

    pub fn config(&self) -> &Config {
        &self.0.parts.config
    }

    pub fn receiver(&self) -> &Receiver {
        &self.0.parts.receiver
    }

    pub fn outbox(&self) -> &Outbox {
        self.0.parts.receiver.outbox()
    }

    pub fn accounts(&self) -> Option<&Cache> {
        self.0.parts.accounts.as_ref()
    }

    pub fn syncs(&self) -> &Syncs {
        &self.0.parts.syncs
    }

    pub fn jobs(&self) -> &Jobs {
        &self.0.parts.jobs
    }

    pub fn importer(&self) -> &Importer {
        &self.0.parts.importer
    }

    pub fn facts(&self) -> &Facts {
        self.0.parts.receiver.facts()
    }

    pub fn history(&self) -> &Reader {
        &self.0.parts.history
    }

    pub fn redactor(&self) -> &Redactor {
        &self.0.parts.redactor
    }

    /// Returns the control that pauses and resumes the destination with this name.
    fn control(&self, name: &str) -> Option<&Control> {
        let mut sections = self.config().destinations.iter();
        let place = sections.position(|section| section.name == name)?;
        self.0.parts.controls.get(place)
    }

    fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    fn exports(&self) -> &Arc<Semaphore> {
        &self.0.exports
    }

    fn document(&self) -> Bytes {
        self.0.document.get().cloned().unwrap_or_default()
    }

    pub fn started(&self) -> SystemTime {
        self.0.parts.started
    }
}

/// Returns every route of the admin listener.
pub fn router(admin: Admin) -> Router {
    let guarded = api::routes()
        .routes(routes!(document::show))
        .layer(middleware::from_fn_with_state(admin.clone(), guard::let_pass));
    let (routes, mut document) = OpenApiRouter::with_openapi(document::base())
        .merge(api::open_routes())
        .merge(guarded)
        .split_for_parts();
    document::complete(&mut document);
    let _ = admin.0.document.set(document.to_json().unwrap_or_default().into());
    let paths: Arc<[String]> = document.paths.paths.keys().cloned().collect();
    routes
        .merge(pages::router(&admin))
        .fallback(any(move |uri: Uri| async move { unknown_route(&uri, &paths) }))
        .method_not_allowed_fallback(wrong_method)
        .with_state(admin)
        .layer(middleware::from_fn(not_stored))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn(guard::well_formed))
}

/// Answers contain personal values, so no cache may keep them unless a route allows it.
async fn not_stored(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn unknown_route(uri: &Uri, paths: &[String]) -> Response {
    let nearest = nearest(uri.path(), paths.iter().map(String::as_str));
    let suggestion = nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default();
    let separator = if suggestion.is_empty() { "; " } else { " " };
    ApiError::not_found(format!(
        "there is no such route{suggestion}{separator}GET /openapi.json lists all of them"
    ))
    .into_response()
}

async fn wrong_method() -> Response {
    let error = "this route needs another method: GET to see, POST to change";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", error).into_response()
}

fn panicked(_payload: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("an admin request's handler panicked");
    ApiError::failed().into_response()
}
