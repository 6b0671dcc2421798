//! A stand-in for Accoil and for Vitally, for the demo, for tests and benchmarks, and for trying out a mapping.
//!
//! It answers as the APIs of Accoil (`docs/accoil-api.md`) and Vitally (`docs/vitally.md`) are documented, keeps and
//! shows the requests it received, and fails on demand. Where a document is silent, the module says what is invented.
//! An event that looks wrong is flagged, never refused. The relay never sends real events through it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use accounts::Accounts;
use data::Company;
pub use faults::{Fault, FaultError, Faults};
use ledger::Ledger;
pub use received::Received;
pub use vitally::{Vitally, Write};

mod accounts;
mod contract;
mod data;
mod faults;
mod http;
mod ingress;
mod ledger;
mod received;
mod store;
mod vitally;

/// How long running requests may take to finish after the sandbox was asked to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// The settings of a sandbox.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many of the newest requests, and of the newest writes at Vitally, are kept to be shown. All are counted.
    /// With 0, nothing is kept.
    pub keep: usize,
    /// A body over this many bytes gets 413. The number is invented: Accoil has a limit but does not publish it.
    pub body_limit: usize,
    /// The number of companies. All but a few of the first twelve are accounts in both systems.
    pub accounts: usize,
    /// The units that Vitally's API allows in a window, and the window's length; a read costs one unit.
    pub vitally_limit: (u32, Duration),
    /// The units that a write costs at Vitally. The documents say that it may be more than one
    /// (`docs/vitally.md#rate-limit`).
    pub vitally_write_cost: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep: 10_000,
            body_limit: 512 * 1024,
            accounts: data::DEFAULT_COMPANIES,
            vitally_limit: (1000, Duration::from_secs(60)),
            vitally_write_cost: 1,
        }
    }
}

/// A handle to one sandbox; clones share its state.
#[derive(Debug, Clone)]
pub struct Sandbox(Arc<State>);

#[derive(Debug)]
struct State {
    body_limit: usize,
    ledger: Ledger,
    faults: Faults,
    accounts: Accounts,
    vitally: Vitally,
}

impl Sandbox {
    pub fn new(options: Options) -> Self {
        let Options { keep, body_limit, accounts, vitally_limit, vitally_write_cost } = options;
        let companies: Vec<Company> = data::companies(accounts).collect();
        Self(Arc::new(State {
            body_limit,
            ledger: Ledger::new(keep),
            faults: Faults::default(),
            accounts: Accounts::new(&companies),
            vitally: Vitally::new(&companies, vitally_limit, vitally_write_cost, keep),
        }))
    }

    /// Returns every route. To add an API, write one more module with `routes()` and merge it here.
    pub fn router(&self) -> Router {
        let accounts = Router::new()
            .merge(accounts::routes())
            .merge(vitally::routes(self))
            .route_layer(middleware::from_fn_with_state(self.clone(), faults::around))
            // `faults::around` has already read the body, under the sandbox's own limit.
            .layer(DefaultBodyLimit::disable());
        Router::new()
            .route("/", get(index))
            .merge(accounts)
            .merge(ingress::routes())
            .merge(received::routes())
            .merge(vitally::inspection())
            .merge(faults::routes())
            .fallback(async || (StatusCode::NOT_FOUND, "no such route; GET / lists the routes\n"))
            .with_state(self.clone())
    }

    /// Serves until `stop`, then gives running requests two seconds to finish.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        // Without this option, the kernel may delay a small answer until the previous one is acknowledged. A socket
        // that refuses the option still works, only slower.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let serving =
            axum::serve(listener, self.router()).with_graceful_shutdown(stop.clone().cancelled_owned());
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_TIMEOUT).await;
        };
        tokio::select! {
            served = serving.into_future() => served,
            () = deadline => Ok(()),
        }
    }

    /// Returns the accepted requests that are still kept, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.0.ledger.snapshot().received.iter().map(|entry| Received::of(entry)).collect()
    }

    /// Returns the refused requests that are still kept, oldest first: refused by a fault, or with a 400 or 413.
    pub fn refused(&self) -> Vec<Received> {
        self.0.ledger.snapshot().refused.iter().map(|entry| Received::of(entry)).collect()
    }

    /// Returns how many requests were accepted since the start or the last clearing, kept or not.
    pub fn total(&self) -> u64 {
        self.0.ledger.total()
    }

    /// Waits until `count` requests have been accepted; returns `false` if `timeout` passes first.
    pub async fn wait_for(&self, count: u64, timeout: Duration) -> bool {
        self.0.ledger.wait_for(count, timeout).await
    }

    /// The faults that still apply: the same list that `/faults` changes.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The accounts in Accoil.
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// The accounts in Vitally.
    pub fn vitally(&self) -> &Vitally {
        &self.0.vitally
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

/// `GET /`: the list of routes.
async fn index() -> Response {
    let routes = serde_json::json!({
        "sandbox": "a stand-in for Accoil and for Vitally: it sends nothing on",
        "accoil": ingress::PATHS.map(|path| format!("POST {path}")),
        "accounts": [
            "GET /v1/accounts?workspace_id=ID&id=ID&expand=traits,segments,insights: any token accoil_...",
            "GET /v1/accounts?workspace_id=ID&match_type=domain&match_value=techcorp.com: also name, any trait",
            "GET /v2/users?workspace_id=ID&match_type=tracking_id&match_value=USER: the users of what was received",
        ],
        "vitally": [
            "GET /resources/accounts?status=activeOrChurned&limit=100&from=CURSOR&sortBy=createdAt: any token",
            "GET /resources/organizations/ID/accounts",
            "POST /resources/accounts {\"externalId\":\"...\",\"name\":\"...\"}: also traits, organizationId",
            "GET, PUT or DELETE /resources/accounts/ID: Vitally's id or an externalId",
            "GET /resources/accounts/ID/healthScores",
            "GET /vitally/writes: what was created, updated and deleted",
        ],
        "received": [
            "GET /received?user=ID&path=/v2/track&after=SEQUENCE: what was accepted and what was refused",
            "DELETE /received: clear the list and the count",
        ],
        "faults": [
            "POST /faults {\"status\":503,\"times\":3}: also path, user, retry_after, body, delay_ms, close",
            "GET /faults: the faults that still apply",
            "DELETE /faults: remove all of them",
        ],
    });
    http::json(StatusCode::OK, &routes)
}
