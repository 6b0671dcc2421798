//! `GET /api/accounts`: one account with Accoil's scores, with the parameters of Accoil's own API, through the cache.
//!
//! Accoil's 401 is a 502 here, because it is about the relay's token and not about the caller's.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::accounts::accoil::{CachedAccount, ExpandBlocks, GetError, KEYS, Lookup, Query};
use crate::admin::Admin;
use crate::admin::error::ApiError;
use crate::admin::request::Parameters;

/// Longer than one attempt can take.
const TIMEOUT: Duration = Duration::from_secs(35);
/// `Retry-After` if Accoil sends none.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// The parameters of Accoil's own API.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AccountQuery {
    /// The workspace; the configured one if it is left out.
    workspace_id: Option<String>,
    /// Accoil's own id of the account.
    id: Option<String>,
    /// `domain`, `name`, `intercom_id`, `salesforce_id`, `tracking_id` or a trait; with `match_value`.
    match_type: Option<String>,
    match_value: Option<String>,
    /// `insights`, `traits` and `segments`, with commas between.
    expand: Option<String>,
}

/// One account as Accoil scores it
#[utoipa::path(get, path = "/api/accounts", params(AccountQuery),
    responses((status = 200, body = serde_json::Value), (status = 404), (status = 502), (status = 503), (status = 504)))]
pub(in crate::admin) async fn get(
    State(admin): State<Admin>,
    parameters: Result<Parameters<AccountQuery>, ApiError>,
) -> Response {
    let cached = match parameters {
        Ok(Parameters(query)) => find(&admin, query).await,
        Err(error) => Err(error),
    };
    cached.map_or_else(ApiError::into_response, |cached| found(&cached))
}

/// Asks Accoil or the cache.
pub async fn find(admin: &Admin, query: AccountQuery) -> Result<CachedAccount, ApiError> {
    let Some(cache) = admin.accounts() else {
        return Err(not_configured());
    };
    let query = read(query)?;
    match tokio::time::timeout(TIMEOUT, cache.get(&query)).await {
        Ok(Ok(cached)) => Ok(cached),
        Ok(Err(error)) => Err(failed(&error)),
        Err(_) => {
            let error = "Accoil has not answered yet; it may be slow or accept no more requests at present: ask again later";
            Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, "accoil_timeout", error))
        }
    }
}

pub(super) fn not_configured() -> ApiError {
    let error = format!(
        "the configuration has no [accounts], which this needs: add it, with {KEYS}; then start the relay again"
    );
    ApiError::new(StatusCode::NOT_FOUND, "not_configured", error)
}

fn read(query: AccountQuery) -> Result<Query, ApiError> {
    let invalid = |error: crate::accounts::accoil::QueryError| ApiError::invalid(error.to_string());
    let AccountQuery { workspace_id, id, match_type, match_value, expand } = query;
    Ok(Query {
        lookup: Lookup::from_parameters(id, match_type, match_value).map_err(invalid)?,
        expand: expand.map_or(Ok(ExpandBlocks::default()), |expand| expand.parse()).map_err(invalid)?,
        workspace_id: workspace_id.filter(|id| !id.trim().is_empty()),
    })
}

/// The age and the cache time are the account's own.
fn found(cached: &CachedAccount) -> Response {
    let mut response = Response::new(Body::from(cached.found.with_age(cached.age)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(AGE, cached.age.as_secs().into());
    let control = format!("private, max-age={}", (cached.age + cached.fresh_for).as_secs());
    if let Ok(control) = HeaderValue::from_str(&control) {
        headers.insert(CACHE_CONTROL, control);
    }
    response
}

pub(super) fn failed(error: &GetError) -> ApiError {
    let (status, code) = match error {
        GetError::MissingLookup => (StatusCode::BAD_REQUEST, "missing_lookup_parameter"),
        GetError::Query(_) => (StatusCode::BAD_REQUEST, "invalid_parameter"),
        GetError::BadRequest(_) => (StatusCode::BAD_REQUEST, "accoil_bad_request"),
        GetError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
        GetError::Unauthorized { .. } => (StatusCode::BAD_GATEWAY, "accoil_unauthorized"),
        GetError::RateLimited { .. } => (StatusCode::SERVICE_UNAVAILABLE, "accoil_rate_limited"),
        GetError::Unexpected { .. } | GetError::NotJson { .. } => {
            (StatusCode::BAD_GATEWAY, "accoil_unexpected")
        }
        GetError::Http(_) => (StatusCode::BAD_GATEWAY, "accoil_unreachable"),
    };
    let refusal = ApiError::new(status, code, error.to_string());
    match error {
        GetError::RateLimited { retry_after, .. } => {
            refusal.with_retry_after(retry_after.unwrap_or(RETRY_AFTER_DEFAULT))
        }
        _ => refusal,
    }
}
