//! HTTP in (stage 1): requests become authenticated, limited bytes of a known source, and senders get their answer.
//!
//! The entry points are [`router`] over a [`Receiver`], and [`listen::serve`]. A request's body goes through decode,
//! mapping and accoil here, and is answered only after the outbox has it on disk. Nothing is read beyond its limit.
//! Secrets are compared in constant time and never repeated in an answer.

mod amplitude;
mod answer;
mod authenticator;
mod body;
mod credentials;
mod form;
mod heads;
pub mod listen;
mod memory;
mod origin;
mod process;
mod segment;
mod sender;
mod signature;
mod status;
mod traffic;
mod turns;
mod wire;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::handler::Handler;
use axum::response::Response;
use axum::routing::{any, get, post};
use chrono::{DateTime, Utc};
use http::header::RETRY_AFTER;
use http::{Request, StatusCode};
use tokio::sync::watch;
use tower::{Layer as _, service_fn};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

pub(crate) use answer::json;
use listen::Routes;
pub use memory::Memory;
pub(crate) use origin::is_loopback;
pub(crate) use segment::is_by_https;
use sender::Sender;
pub(crate) use signature::sign;
pub(crate) use status::{health, ready_in_detail};
pub use traffic::Traffic;
pub(crate) use traffic::malformed;

use crate::config::Limits;
use crate::deliver::Status;
use crate::event_id::{EventIds, NewIds};
use crate::facts::Facts;
use crate::fault::Fault;
use crate::outbox::{NoRoom, Outbox};
use crate::pipeline::Sources;
use crate::reasons::Reason;

/// The state that the routes share. Clones are the same receiver.
#[derive(Clone)]
pub struct Receiver(Arc<Shared>);

struct Shared {
    /// Replaced as a whole when mappings are reloaded; a request keeps the sources that it began with.
    sources: ArcSwap<Sources>,
    /// Held while mappings are reloaded, one reload at a time.
    reading: Mutex<()>,
    outbox: Outbox,
    facts: Facts,
    event_ids: EventIds,
    limits: Limits,
    /// The time for a body to arrive.
    timeout: Duration,
    memory: Memory,
    /// The address where senders reach the relay, if it is configured.
    public_url: Option<String>,
    stopping: AtomicBool,
    /// The status of every destination, for `/readyz`.
    destinations: Vec<watch::Receiver<Status>>,
    traffic: Traffic,
}

impl Receiver {
    /// Reserves the ids of events that do not come by a post.
    pub fn reserve_ids(&self, received_at: DateTime<Utc>, events: usize) -> NewIds {
        self.0.event_ids.reserve(received_at, events)
    }

    pub fn new(
        sources: Sources,
        outbox: Outbox,
        facts: Facts,
        limits: Limits,
        timeout: Duration,
        public_url: Option<String>,
        destinations: Vec<watch::Receiver<Status>>,
    ) -> Self {
        let memory = Memory::new(&limits);
        Self(Arc::new(Shared {
            sources: ArcSwap::from_pointee(sources),
            reading: Mutex::default(),
            outbox,
            facts,
            event_ids: EventIds::new(0),
            limits,
            timeout,
            memory,
            public_url,
            stopping: AtomicBool::new(false),
            destinations,
            traffic: Traffic::default(),
        }))
    }

    /// Returns the status of each destination, in the configuration's order.
    pub fn destinations(&self) -> Vec<Status> {
        self.0.destinations.iter().map(|status| status.borrow().clone()).collect()
    }

    pub fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    /// Returns the counters of received events, and the refused requests, since the start.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// Returns the memory that request bodies and long heads share.
    pub fn memory(&self) -> Memory {
        self.0.memory.clone()
    }

    /// Returns the counters of the public listener since the start.
    pub fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Returns the sources and destinations in force.
    pub fn sources(&self) -> Arc<Sources> {
        self.0.sources.load_full()
    }

    /// Reloads the mapping files of every destination. They are in force from the next request on; with a fault in
    /// any of them, none is. Reads files, so it must not run on a thread that serves.
    pub fn reload_mappings(&self) -> Result<Arc<Sources>, Vec<Fault>> {
        let _one_at_a_time = self.0.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = Arc::new(self.0.sources.load().reload()?);
        self.0.sources.store(Arc::clone(&sources));
        self.0.facts.mappings(sources.to_fact(Utc::now()));
        Ok(sources)
    }

    /// From now on `/readyz` answers that the relay is not ready, so that a load balancer sends nothing more.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    /// Returns whether events can be accepted, or why not.
    pub fn ready(&self) -> Result<(), NotReady> {
        if self.0.stopping.load(Ordering::Relaxed) {
            return Err(NotReady::Stopping);
        }
        if *self.0.outbox.failed().borrow() {
            return Err(NotReady::Failed);
        }
        Ok(self.0.outbox.room()?)
    }
}

/// Why the relay accepts no events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    #[error("the relay is stopping")]
    Stopping,
    #[error("the outbox could not store to disk; see the relay's log, then restart the relay")]
    Failed,
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Returns every public route of `docs/http-api.md`, each with and without a trailing slash.
pub fn router(receiver: Receiver) -> impl Routes {
    let routes = Router::new();
    let routes = both(routes, "/segment", segment::webhook);
    let routes = both(routes, "/v1/{call}", segment::track);
    let routes = amplitude::ROUTES.into_iter().fold(routes, |routes, (path, route)| {
        both(routes, path, move |receiver, request| amplitude::post(route, receiver, request))
    });
    let routes = routes
        .route("/", post(|receiver, request| amplitude::post(amplitude::LEGACY, receiver, request)))
        .route("/v1/projects/{write_key}/settings", get(segment::settings))
        .route("/healthz", get(status::health))
        .route("/readyz", get(status::ready))
        .method_not_allowed_fallback(status::wrong_method)
        .fallback(any(status::unknown_route))
        .with_state(receiver.clone());
    // Around the router and not in it: a layer of the router costs each request two allocations.
    let routes = cors().layer(routes);
    service_fn(move |request| {
        let (receiver, routes) = (receiver.clone(), routes.clone());
        async move { Ok(traffic::observe(&receiver, routes, without_doubled_slashes(request)).await) }
    })
}

/// A host that was configured with a trailing slash produces `//v1/batch`, which is served like the path without the
/// extra slash.
fn without_doubled_slashes(mut request: Request<Body>) -> Request<Body> {
    if request.uri().path().contains("//") {
        let mut path = request.uri().path().to_owned();
        while path.contains("//") {
            path = path.replace("//", "/");
        }
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(uri) = format!("{path}{query}").parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}

fn both<H: Handler<T, Receiver>, T: 'static>(
    routes: Router<Receiver>,
    path: &str,
    handler: H,
) -> Router<Receiver> {
    routes.route(path, post(handler.clone())).route(&format!("{path}/"), post(handler))
}

/// Browsers send a preflight for the Authorization header. `Retry-After` must be exposed, or a page's SDK cannot obey
/// it, and `Relay-Event` too, because a site's owner finds the event by it. No cookies are used, so any origin may
/// post.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([http::Method::GET, http::Method::POST, http::Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([RETRY_AFTER, answer::EVENT_HEADER])
        .max_age(Duration::from_secs(24 * 60 * 60))
}

fn panicked() -> Response {
    tracing::error!("a request handler panicked; the sender was asked to try again");
    let response = answer::json(
        StatusCode::INTERNAL_SERVER_ERROR,
        &serde_json::json!({
            "success": false, "code": 500,
            "error": "the relay failed while it handled this request; nothing of it was accepted; try again",
        }),
    );
    answer::refused(response, Reason::DoorPanic, None, Sender::default())
}
