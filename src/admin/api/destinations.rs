//! `/api/destinations`: how each destination is doing.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::request::{NoParameters, Parameters};
use crate::deliver::Status;

/// All destinations, in the order of the configuration.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationsView {
    pub destinations: Vec<DestinationView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationView {
    pub name: String,
    /// Where its calls go.
    pub base_url: String,
    /// `v2` or `segment`.
    pub api: String,
    /// `ok`, `failing`, `paused`, `credentials refused` or `calls refused`.
    pub state: String,
    /// What the last failure was, while the state is not `ok`.
    pub reason: Option<String>,
    pub in_flight: usize,
    /// The most calls in flight.
    pub concurrency: usize,
    /// The most calls a second, if it is limited.
    pub rate: Option<u32>,
    /// Calls in memory, those in flight included; more may wait in the outbox.
    pub loaded: usize,
    /// Users with calls that wait for a retry, or behind one.
    pub waiting_users: usize,
    /// Users whose call has been failing for a minute or more.
    pub failing_users: usize,
    /// Since the start, as the next two.
    pub delivered: u64,
    /// Attempts that failed and are made again.
    pub retried: u64,
    /// Calls that became dead letters.
    pub dead: u64,
}

pub fn view(admin: &Admin) -> DestinationsView {
    let statuses = admin.receiver().destinations();
    DestinationsView { destinations: statuses.iter().map(|status| one(admin, status)).collect() }
}

fn one(admin: &Admin, status: &Status) -> DestinationView {
    let section = admin.config().destinations.iter().find(|section| *section.name == *status.name);
    DestinationView {
        name: status.name.to_string(),
        base_url: section.map(|section| section.base_url.clone()).unwrap_or_default(),
        api: section.map(|section| section.api.name().to_owned()).unwrap_or_default(),
        state: status.state.name().to_owned(),
        reason: status.reason().map(ToOwned::to_owned),
        in_flight: status.in_flight,
        concurrency: section.map(|section| section.concurrency).unwrap_or_default(),
        rate: section.and_then(|section| section.rate),
        loaded: status.loaded,
        waiting_users: status.waiting_users,
        failing_users: status.failing_users,
        delivered: status.delivered,
        retried: status.retried,
        dead: status.dead,
    }
}

/// How each destination is doing
#[utoipa::path(get, path = "/api/destinations", responses((status = 200, body = DestinationsView)))]
pub(in crate::admin) async fn list(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Json<DestinationsView> {
    Json(view(&admin))
}
