//! `/api/destinations`: the status of each destination; pauses, resumes and probes one.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};

use axum::extract::State;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use siphasher::sip::SipHasher13;
use utoipa::ToSchema;

use super::shared::ReasonView;
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters, PathName};
use crate::config;
use crate::deliver::{self, Control, Status};
use crate::reasons::Reason;
use accoil_mapping::nearest;

/// The prefix of the names under which confirmed keys are stored.
const CONFIRMED: &str = "confirmed:";

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
    /// `ok`, `failing`, `paused`, `credentials refused` or `calls refused`. `paused`: it asked for a pause, or an operator
    /// paused it.
    pub state: String,
    /// When this state began.
    pub since: DateTime<Utc>,
    /// The last failure, or that an operator paused it; only if the state is not `ok`.
    pub reason: Option<String>,
    /// The state's reason in the catalogue.
    pub wait: Option<ReasonView>,
    /// When an operator paused it, if it is paused.
    pub paused_since: Option<DateTime<Utc>>,
    /// When the next call is tried, while the destination is left alone.
    pub next_probe_at: Option<DateTime<Utc>>,
    pub in_flight: usize,
    /// The most calls in flight now; fewer than configured while it is overloaded.
    pub concurrency: usize,
    /// The most calls in flight that the configuration allows.
    pub most_concurrency: usize,
    /// The most calls per second, if it is limited.
    pub rate: Option<u32>,
    /// Calls in memory, including those in flight; more may wait in the outbox.
    pub loaded: usize,
    /// Users with calls that wait for a retry, or behind one.
    pub waiting_users: usize,
    /// Users whose call has been failing for a minute or more.
    pub failing_users: usize,
    /// Since the start, like the next three.
    pub delivered: u64,
    /// Calls that were not made, because their content was already delivered.
    pub held: u64,
    /// Attempts that failed and are retried.
    pub retried: u64,
    /// Calls that became dead letters.
    pub dead: u64,
    /// When Accoil's read API last had a user whose events were delivered here with this key. `None` means never:
    /// Accoil answers 202 to a wrong key too.
    pub key_confirmed_at: Option<DateTime<Utc>>,
    /// Whether the key can be confirmed: `[accounts]` is configured.
    pub can_confirm_key: bool,
}

pub async fn view(admin: &Admin) -> Result<DestinationsView, ApiError> {
    let confirmed: HashMap<String, i64> = admin.outbox().kept_values(CONFIRMED).await?.into_iter().collect();
    let statuses = admin.receiver().destinations();
    let destinations = admin.config().destinations.iter().zip(&statuses);
    let destinations = destinations.map(|(section, status)| one(admin, section, status, &confirmed));
    Ok(DestinationsView { destinations: destinations.collect() })
}

fn one(
    admin: &Admin,
    section: &config::Destination,
    status: &Status,
    confirmed: &HashMap<String, i64>,
) -> DestinationView {
    // Shows a pause or resume that was just asked for, even if the dispatcher has not read it yet.
    let paused_since = admin.control(&section.name).and_then(Control::paused_since);
    let (state, reason, since) = match paused_since {
        Some(since) => ("paused", Some("paused by an operator".to_owned()), since),
        None => (status.state.name(), status.reason().map(ToOwned::to_owned), status.since),
    };
    DestinationView {
        name: section.name.clone(),
        base_url: section.base_url.clone(),
        api: section.api.name().to_owned(),
        state: state.to_owned(),
        since,
        reason,
        wait: wait(status, paused_since.is_some()).map(ReasonView::from),
        paused_since,
        next_probe_at: status.next_probe_at.filter(|_| paused_since.is_none()),
        in_flight: status.in_flight,
        concurrency: status.concurrency,
        most_concurrency: section.concurrency,
        rate: section.rate,
        loaded: status.loaded,
        waiting_users: status.waiting_users,
        failing_users: status.failing_users,
        delivered: status.delivered,
        held: status.held,
        retried: status.retried,
        dead: status.dead,
        key_confirmed_at: confirmed
            .get(&confirmation(section))
            .copied()
            .and_then(DateTime::from_timestamp_millis),
        can_confirm_key: admin.accounts().is_some(),
    }
}

/// Returns why a destination gets no calls at all; `None` if it gets some.
pub fn wait(status: &Status, is_paused: bool) -> Option<Reason> {
    match status.state {
        _ if is_paused => Some(Reason::WaitPaused),
        deliver::State::CredentialsRefused => Some(Reason::WaitKey),
        deliver::State::CallsRefused => Some(Reason::WaitPlace),
        deliver::State::Paused => Some(Reason::WaitLimited),
        deliver::State::Ok | deliver::State::Failing => None,
    }
}

/// Returns why the destination with this name gets no calls at all; `None` if it gets some.
pub fn wait_of(admin: &Admin, name: &str) -> Option<Reason> {
    let statuses = admin.receiver().destinations();
    let status = statuses.iter().find(|status| *status.name == *name)?;
    wait(status, admin.control(name).is_some_and(|control| control.paused_since().is_some()))
}

/// Returns the name under which it is stored that the destination's key is confirmed. Another key has another name.
fn confirmation(section: &config::Destination) -> String {
    let mut hasher = SipHasher13::new();
    section.name.hash(&mut hasher);
    section.api_key.expose_secret().hash(&mut hasher);
    format!("{CONFIRMED}{}:{:016x}", section.name, hasher.finish())
}

/// Stores that Accoil has a user whose events went to these destinations.
pub async fn confirm_keys(admin: &Admin, names: &[String]) -> Result<(), ApiError> {
    for section in admin.config().destinations.iter().filter(|section| names.contains(&section.name)) {
        admin.outbox().keep_value(confirmation(section), Some(Utc::now().timestamp_millis())).await?;
    }
    Ok(())
}

/// What an operator can ask of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationAction {
    Pause,
    Resume,
    Probe,
}

/// Performs the action and returns the destination's status afterwards.
pub async fn change(
    admin: &Admin,
    name: &str,
    action: DestinationAction,
) -> Result<DestinationView, ApiError> {
    let Some(control) = admin.control(name) else {
        let names = || admin.config().destinations.iter().map(|section| section.name.as_str());
        let advice = nearest(name, names()).map(|nearest| format!(", did you mean {nearest}?"));
        let shown: String = name.chars().take(64).collect();
        let error = format!(
            "there is no destination {shown:?}{} The destinations are {}",
            advice.unwrap_or_else(|| ".".to_owned()),
            names().collect::<Vec<_>>().join(", ")
        );
        return Err(ApiError::not_found(error));
    };
    match action {
        // Stored first, because a pause that is not stored would end with the process.
        DestinationAction::Pause if control.paused_since().is_none() => {
            let now = Utc::now();
            deliver::keep_pause(admin.outbox(), name, Some(now)).await?;
            control.pause(now);
            tracing::warn!(destination.name = name, "an operator has paused the destination; its calls wait");
        }
        DestinationAction::Pause => {}
        DestinationAction::Resume => {
            deliver::keep_pause(admin.outbox(), name, None).await?;
            control.resume();
            tracing::info!(destination.name = name, "an operator has resumed the destination");
        }
        DestinationAction::Probe if control.paused_since().is_some() => {
            let error = "the destination is paused by an operator: resume it instead";
            return Err(ApiError::conflict("paused", error));
        }
        DestinationAction::Probe => control.probe(),
    }
    let view = view(admin).await?;
    view.destinations.into_iter().find(|destination| destination.name == name).ok_or_else(ApiError::failed)
}

/// Status of each destination
#[utoipa::path(get, path = "/api/destinations",
    responses((status = 200, body = DestinationsView), (status = 503)))]
pub(in crate::admin) async fn list(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<DestinationsView>, ApiError> {
    view(&admin).await.map(Json)
}

/// Make no more calls to a destination
///
/// Events are accepted and wait. A restart does not end the pause.
#[utoipa::path(post, path = "/api/destinations/{name}/pause", params(("name" = String, Path, description = "The destination")),
    responses((status = 200, body = DestinationView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn pause(
    State(admin): State<Admin>,
    PathName(name): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<DestinationView>, ApiError> {
    change(&admin, &name, DestinationAction::Pause).await.map(Json)
}

/// Make calls to a destination again
#[utoipa::path(post, path = "/api/destinations/{name}/resume", params(("name" = String, Path, description = "The destination")),
    responses((status = 200, body = DestinationView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn resume(
    State(admin): State<Admin>,
    PathName(name): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<DestinationView>, ApiError> {
    change(&admin, &name, DestinationAction::Resume).await.map(Json)
}

/// Make one call now, although the destination is left alone because it failed
#[utoipa::path(post, path = "/api/destinations/{name}/probe", params(("name" = String, Path, description = "The destination")),
    responses((status = 200, body = DestinationView), (status = 404), (status = 409), (status = 503)))]
pub(in crate::admin) async fn probe(
    State(admin): State<Admin>,
    PathName(name): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<DestinationView>, ApiError> {
    change(&admin, &name, DestinationAction::Probe).await.map(Json)
}
