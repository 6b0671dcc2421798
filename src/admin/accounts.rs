//! `GET /api/accounts`: one account as Accoil scores it, with the parameters of Accoil's own API, through the cache.
//!
//! Accoil's 401 is a 502 here: it is about the relay's token, not about the caller's.

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::header::{AGE, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::time::Duration;

use super::{Admin, refusal};
use crate::accounts::accoil::{Cached, Expand, GetError, KEYS, Lookup, Query, QueryError};
use accoil_mapping::nearest;

const PARAMETERS: [&str; 5] = ["workspace_id", "id", "match_type", "match_value", "expand"];
/// Longer than one attempt takes.
const TIMEOUT: Duration = Duration::from_secs(35);
/// `Retry-After` where Accoil gives none.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

pub(super) async fn get(State(admin): State<Admin>, RawQuery(raw): RawQuery) -> Response {
    let mut response = answer(&admin, raw.as_deref().unwrap_or_default()).await;
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn answer(admin: &Admin, raw: &str) -> Response {
    let Some(cache) = &admin.0.accounts else {
        let error = format!(
            "the configuration has no [accounts], which this needs: add it, with {KEYS}; then start the relay again"
        );
        return refusal(StatusCode::NOT_FOUND, "not_configured", &error);
    };
    let query = match read(raw) {
        Ok(query) => query,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "invalid_parameter", &error.to_string()),
    };
    match tokio::time::timeout(TIMEOUT, cache.get(&query)).await {
        Ok(Ok(cached)) => found(&cached),
        Ok(Err(error)) => failed(&error),
        Err(_) => {
            let error = "Accoil has not answered yet; it may be slow or take no more requests just now: ask again later";
            refusal(StatusCode::GATEWAY_TIMEOUT, "accoil_timeout", error)
        }
    }
}

/// Why the parameters are none of Accoil's.
#[derive(Debug, thiserror::Error)]
enum ParameterError {
    #[error(
        "there is no parameter {name:?}{}: there are workspace_id, id, match_type, match_value and expand",
        .nearest.map(|nearest| format!(", did you mean {nearest}?")).unwrap_or_default()
    )]
    Unknown { name: String, nearest: Option<&'static str> },
    #[error("{name} is given twice: give it once")]
    Twice { name: &'static str },
    #[error(transparent)]
    Query(#[from] QueryError),
}

fn read(raw: &str) -> Result<Query, ParameterError> {
    let mut given: [Option<String>; 5] = Default::default();
    for (name, value) in form_urlencoded::parse(raw.as_bytes()) {
        let known = PARAMETERS.iter().zip(&mut given).find(|(known, _)| **known == name);
        let Some((name, slot)) = known else {
            let nearest = nearest(&name, PARAMETERS.into_iter());
            return Err(ParameterError::Unknown { name: name.chars().take(64).collect(), nearest });
        };
        if slot.replace(value.into_owned()).is_some() {
            return Err(ParameterError::Twice { name });
        }
    }
    let [workspace_id, id, match_type, match_value, expand] = given;
    Ok(Query {
        lookup: Lookup::from_parameters(id, match_type, match_value)?,
        expand: expand.map_or(Ok(Expand::default()), |expand| expand.parse())?,
        workspace_id: workspace_id.filter(|id| !id.trim().is_empty()),
    })
}

/// With an age and a time to keep it that are the account's own.
fn found(cached: &Cached) -> Response {
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

fn failed(error: &GetError) -> Response {
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
    let mut response = refusal(status, code, &error.to_string());
    if let GetError::RateLimited { retry_after, .. } = error {
        let wait = retry_after.unwrap_or(RETRY_AFTER_DEFAULT).as_secs().max(1);
        response.headers_mut().insert(RETRY_AFTER, wait.into());
    }
    response
}
