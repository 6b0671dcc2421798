//! A stand-in for Vitally's REST API for accounts (`docs/vitally.md#accounts`).
//!
//! Some things are invented because Vitally does not document them: every error body but the one for a missing
//! header, whose form `{"error": …}` all of them take; 400 for a parameter out of range, a broken cursor and an
//! `externalId` that exists; 404 for an unknown id; 200 with the account for POST and PUT; the body of a health
//! score; that `status` does not filter an organization's list.

mod limit;
mod list;
mod write;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, Method, StatusCode};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::data::Company;
use super::ledger::Recent;
use super::store::{Account, InOrder, Store};
use super::{Sandbox, http};
use limit::Limit;

/// The attributes in the order of Vitally's documentation.
const ATTRIBUTES: [&str; 26] = [
    "id",
    "createdAt",
    "updatedAt",
    "externalId",
    "name",
    "traits",
    "organizationId",
    "accountOwnerId",
    "mrr",
    "nextRenewalDate",
    "churnedAt",
    "firstSeenTimestamp",
    "lastSeenTimestamp",
    "lastInboundMessageTimestamp",
    "lastOutboundMessageTimestamp",
    "trialEndDate",
    "usersCount",
    "npsDetractorCount",
    "npsPassiveCount",
    "npsPromoterCount",
    "npsScore",
    "healthScore",
    "csmId",
    "accountExecutiveId",
    "keyRoles",
    "segments",
];

/// The accounts in Vitally, and the writes that were made.
#[derive(Debug)]
pub struct Vitally {
    inner: Mutex<Inner>,
    limit: Limit,
    write_cost: u32,
    /// The largest number of writes to keep.
    keep: usize,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    writes: Recent<Write>,
}

/// A write that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Write {
    /// POST, PUT or DELETE.
    pub method: String,
    /// Vitally's own id of the account.
    pub id: String,
    /// The body as it was sent; null for DELETE.
    pub body: Value,
    pub at: DateTime<Utc>,
}

impl Vitally {
    pub(super) fn new<'a>(
        companies: impl IntoIterator<Item = &'a Company>,
        limit: (u32, Duration),
        write_cost: u32,
        keep: usize,
    ) -> Self {
        let store = Store::new("externalId", companies.into_iter().map(Company::in_vitally));
        let inner = Mutex::new(Inner { store, writes: Recent::default() });
        Self { inner, limit: Limit::new(limit), write_cost, keep }
    }

    /// Returns the accounts in the order of their ids.
    pub fn accounts(&self) -> Vec<Value> {
        self.inner().store.iter().cloned().map(Value::Object).collect()
    }

    /// Stores an account and replaces the one with the same `id`. It is sent as it is and does not count as a write.
    /// Returns false if the value is not an object with a string `id`.
    pub fn set(&self, account: Value) -> bool {
        self.inner().store.set(account)
    }

    /// Removes the account with this id of Vitally's; this does not count as a write. Returns false if there is none.
    pub fn remove(&self, id: &str) -> bool {
        self.inner().store.remove(id).is_some()
    }

    /// Returns the writes that were carried out, oldest first: the newest `Options::keep` of them, within 64 MiB.
    pub fn writes(&self) -> Vec<Write> {
        self.inner().writes.iter().cloned().collect()
    }

    /// Returns the highest number of units used in any window so far.
    pub fn max_units_in_window(&self) -> u32 {
        self.limit.peak()
    }

    /// Returns how many requests the rate limit refused. Requests that a fault refused do not count.
    pub fn refused(&self) -> u64 {
        self.limit.refused()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Returns Vitally's own id of the account with this id or `externalId`.
    fn resolve(&self, id: &str) -> Option<String> {
        match self.store.get(id) {
            Some(_) => Some(id.to_owned()),
            None => self.store.id_of(id).map(str::to_owned),
        }
    }

    fn find(&self, id: &str) -> Option<&Account> {
        self.store.get(&self.resolve(id)?)
    }
}

pub(super) fn routes(sandbox: &Sandbox) -> Router<Sandbox> {
    Router::new()
        .route("/resources/accounts", get(list::all).post(write::create))
        .route("/resources/organizations/{id}/accounts", get(list::of_organization))
        .route("/resources/accounts/{id}", get(one).put(write::update).delete(write::delete))
        .route("/resources/accounts/{id}/healthScores", get(health))
        .route_layer(middleware::from_fn_with_state(sandbox.clone(), admit))
}

/// The routes that show what happened. They are not part of Vitally's API, so neither the limit nor faults apply.
pub(super) fn inspection() -> Router<Sandbox> {
    Router::new().route("/vitally/writes", get(writes))
}

/// Counts a request and checks its token before anything else.
async fn admit(State(sandbox): State<Sandbox>, request: Request, next: Next) -> Response {
    let vitally = sandbox.vitally();
    let cost = if request.method() == Method::GET { 1 } else { vitally.write_cost };
    let limit_state = vitally.limit.take(cost, Instant::now());
    let mut response = if limit_state.is_refused {
        refuse(StatusCode::TOO_MANY_REQUESTS, "Too many requests.")
    } else if let Err(reason) = authorize(request.headers()) {
        refuse(StatusCode::UNAUTHORIZED, reason)
    } else {
        next.run(request).await
    };
    vitally.limit.write_headers(&limit_state, response.headers_mut());
    response
}

/// Accepts any token as a user name without a password, except one of Accoil's (`docs/vitally.md#the-secret`).
fn authorize(headers: &HeaderMap) -> Result<(), &'static str> {
    // This text is Vitally's own.
    let header = headers.get(AUTHORIZATION).ok_or("Authorization header not present.")?;
    let credentials =
        header.as_bytes().strip_prefix(b"Basic ").and_then(|text| BASE64_STANDARD.decode(text).ok());
    match credentials.as_deref().and_then(|credentials| credentials.strip_suffix(b":")) {
        None | Some(b"") => {
            Err("Authorization header is not Basic with a secret token and a colon in base64.")
        }
        Some(token) if token.starts_with(b"accoil_") => Err("The secret token is not valid."),
        Some(_) => Ok(()),
    }
}

async fn one(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    match sandbox.vitally().inner().find(&id) {
        Some(account) => http::json(StatusCode::OK, &shown(account)),
        None => unknown(),
    }
}

/// The body is not documented. It holds only the health scores that are documented on the account.
async fn health(State(sandbox): State<Sandbox>, Path(id): Path<String>) -> Response {
    match sandbox.vitally().inner().find(&id) {
        Some(account) => http::json(StatusCode::OK, &json!({ "healthScore": account.get("healthScore") })),
        None => unknown(),
    }
}

async fn writes(State(sandbox): State<Sandbox>) -> Response {
    http::json(StatusCode::OK, &sandbox.vitally().writes())
}

fn shown(account: &Account) -> InOrder<'_> {
    InOrder { members: account, order: &ATTRIBUTES }
}

fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "Account not found.")
}

/// Returns an error in the one form that is known from Vitally.
fn refuse(status: StatusCode, text: &str) -> Response {
    http::json(status, &json!({ "error": text }))
}
