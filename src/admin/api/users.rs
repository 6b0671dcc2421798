//! `GET /api/users`: whether Accoil has a user. Accoil answers 202 to a wrong key too, so only this shows that
//! delivered events have arrived.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::accounts::{failed, not_configured};
use super::destinations;
use crate::accounts::accoil::UserKey;
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::Parameters;
use crate::history::{Filter, Outcome};

/// The most events of the user that are searched for their destinations.
const MAX_EVENTS: usize = 20;
const MAX_VALUE: usize = 2048;

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UserQuery {
    /// `tracking_id`, the default: the user id of the events; or `email`.
    pub match_type: Option<String>,
    /// The id.
    pub match_value: Option<String>,
}

/// Whether Accoil has a user.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserView {
    pub is_known: bool,
    /// As Accoil returns it.
    pub user: Option<Value>,
    pub asked_at: DateTime<Utc>,
    /// The destinations that got events of this user. If Accoil has the user, their keys are confirmed now.
    pub destinations: Vec<String>,
}

pub async fn view(admin: &Admin, query: UserQuery) -> Result<UserView, ApiError> {
    let Some(cache) = admin.accounts() else { return Err(not_configured()) };
    let key = match query.match_type.as_deref() {
        None => UserKey::TrackingId,
        Some(name) => UserKey::ALL.into_iter().find(|key| key.name() == name).ok_or_else(|| {
            ApiError::invalid("match_type is tracking_id, the user id of the events, or email")
        })?,
    };
    let value = query.match_value.unwrap_or_default();
    if value.trim().is_empty() || value.len() > MAX_VALUE {
        return Err(ApiError::invalid(format!("match_value must be an id of 1 to {MAX_VALUE} bytes")));
    }
    let user = cache.client().find_user(key, &value).await.map_err(|error| failed(&error))?;
    let destinations =
        if key == UserKey::TrackingId { destinations_of_user(admin, &value).await } else { Vec::new() };
    if user.is_some() {
        destinations::confirm_keys(admin, &destinations).await?;
    }
    Ok(UserView { is_known: user.is_some(), user, asked_at: Utc::now(), destinations })
}

/// Returns the destinations that recently received an event of this user. Without a history it returns the configured
/// destination if there is exactly one.
async fn destinations_of_user(admin: &Admin, user: &str) -> Vec<String> {
    let reader = admin.history().clone();
    if !reader.is_on() {
        return match admin.config().destinations.as_slice() {
            [only] => vec![only.name.clone()],
            _ => Vec::new(),
        };
    }
    let filter = Filter { user: Some(user.to_owned()), ..Filter::default() };
    let found = tokio::task::spawn_blocking(move || reader.search(&filter, None, MAX_EVENTS)).await;
    let Ok(Ok(page)) = found else { return Vec::new() };
    let attempts = page.lines.iter().flat_map(|line| &line.attempts);
    let took = attempts.filter(|attempt| attempt.ending.outcome == Outcome::Delivered);
    let mut names: Vec<String> = took.map(|attempt| attempt.ending.destination.to_string()).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether Accoil has a user
#[utoipa::path(get, path = "/api/users", params(UserQuery),
    responses((status = 200, body = UserView), (status = 404), (status = 502), (status = 503)))]
pub(in crate::admin) async fn find(
    State(admin): State<Admin>,
    Parameters(query): Parameters<UserQuery>,
) -> Result<Json<UserView>, ApiError> {
    view(&admin, query).await.map(Json)
}
