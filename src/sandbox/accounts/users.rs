//! One request for a user, `GET /v2/users`: the sandbox knows the users of the calls that it received (`docs/accoil-api.md`).
//!
//! How Accoil wraps the list is not documented; here it is `{"users": […]}`.

use ::http::{HeaderMap, StatusCode};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::get::{error, is_authorized};
use crate::json;
use crate::sandbox::{Sandbox, http};

pub(super) async fn answer(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    if !is_authorized(&headers) {
        return error(
            StatusCode::UNAUTHORIZED,
            "Invalid or expired token",
            "unauthorized",
            "unauthorized",
            None,
        );
    }
    let query = query.unwrap_or_default();
    let given = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, value)| name == wanted && !value.is_empty()).map(|(_, value)| value.into_owned())
    };
    let (Some(kind), Some(value)) = (given("match_type"), given("match_value")) else {
        let message = "match_type and match_value are required together";
        return error(StatusCode::BAD_REQUEST, message, "bad_request", "missing_match_parameter", None);
    };
    let received = sandbox.received();
    let seen = received.iter().rev().find(|call| {
        let is = |name: &str| call.body.get(name).and_then(json::Value::as_str) == Some(value.as_str());
        kind == "tracking_id" && (is("userId") || is("user_id"))
    });
    let users: Vec<Value> =
        seen.map(|_| json!({"id": 1, "tracking_id": value, "name": null})).into_iter().collect();
    http::json(StatusCode::OK, &json!({ "users": users }))
}
