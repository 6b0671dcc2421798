//! A stand-in Accoil for the demo, for tests, for benchmarks and for trying out a mapping; and a stand-in Vitally.
//!
//! It answers as Accoil's APIs (`docs/accoil-api.md`) and Vitally's accounts (`docs/vitally.md`) are documented
//! to, keeps what it was sent and shows it, and fails on demand. Where the documents are silent it invents nothing, or
//! says so in the module: an event that looks wrong is only flagged. Never part of the way to the real ones.

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

/// How long requests under way may take to finish once the sandbox is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What can be set about a sandbox.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many requests are kept to be shown, the newest, and of Vitally's writes as many; all requests are counted.
    /// 0: only count, keep nothing.
    pub keep: usize,
    /// Bodies over this many bytes get 413. The number is ours: Accoil has a limit but does not publish it.
    pub body_limit: usize,
    /// How many companies there are; all but a few of the first twelve are accounts on both sides.
    pub accounts: usize,
    /// How many units Vitally's API gives in a window; a read costs one.
    pub vitally_limit: (u32, Duration),
    /// How many units a write costs there: documented as perhaps more than one (`docs/vitally.md#rate-limit`).
    pub vitally_write_cost: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep: 10_000,
            body_limit: 512 * 1024,
            accounts: data::USUAL,
            vitally_limit: (1000, Duration::from_secs(60)),
            vitally_write_cost: 1,
        }
    }
}

/// A handle on one sandbox; clones share its state.
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

    /// Every route. A further API is one more module with `routes()`, merged here.
    pub fn router(&self) -> Router {
        let accounts = Router::new()
            .merge(accounts::routes())
            .merge(vitally::routes(self))
            .route_layer(middleware::from_fn_with_state(self.clone(), faults::around))
            // The fault's layer has read the body already, under the sandbox's own limit.
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

    /// Serves until `stop`, then lets requests under way finish for two seconds.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        // Without it, the kernel may hold back a small answer until the previous one is acknowledged. A socket
        // that refuses the option still works, only slower.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let serving =
            axum::serve(listener, self.router()).with_graceful_shutdown(stop.clone().cancelled_owned());
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        tokio::select! {
            served = serving.into_future() => served,
            () = deadline => Ok(()),
        }
    }

    /// The accepted requests still kept, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.0.ledger.snapshot().received.iter().map(|entry| Received::of(entry)).collect()
    }

    /// The requests still kept that were not accepted, by a fault or with a 400 or 413, oldest first.
    pub fn refused(&self) -> Vec<Received> {
        self.0.ledger.snapshot().refused.iter().map(|entry| Received::of(entry)).collect()
    }

    /// How many requests were accepted since the start or the last clearing, kept or not.
    pub fn total(&self) -> u64 {
        self.0.ledger.total()
    }

    /// Waits until `count` requests were accepted in all; `false` when `timeout` passes before.
    pub async fn wait_for(&self, count: u64, timeout: Duration) -> bool {
        self.0.ledger.wait_for(count, timeout).await
    }

    /// The faults to come: the same list that `/faults` changes.
    pub fn faults(&self) -> &Faults {
        &self.0.faults
    }

    /// The accounts as Accoil has them.
    pub fn accounts(&self) -> &Accounts {
        &self.0.accounts
    }

    /// The accounts as Vitally has them.
    pub fn vitally(&self) -> &Vitally {
        &self.0.vitally
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

/// `GET /`: what there is to call.
async fn index() -> Response {
    let routes = serde_json::json!({
        "sandbox": "a stand-in for Accoil and for Vitally: nothing that is sent here goes any further",
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
            "DELETE /received: forget it",
        ],
        "faults": [
            "POST /faults {\"status\":503,\"times\":3}: also path, user, retry_after, body, delay_ms, close",
            "GET /faults: those still to come",
            "DELETE /faults: none any more",
        ],
    });
    http::json(StatusCode::OK, &routes)
}
