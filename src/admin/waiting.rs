//! `/api/waiting`: the calls that wait; made due now, moved to another destination, or removed.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, body, refusal};
use crate::outbox::{CallId, GoneError, WaitingFilter};
use crate::receive;

/// Calls of one answer unless the request says fewer.
const MOST: usize = 200;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    /// More than one with commas.
    id: Option<String>,
    destination: Option<String>,
    user: Option<String>,
    event: Option<String>,
    after: Option<CallId>,
    most: Option<usize>,
    #[serde(default)]
    payload: bool,
}

/// `GET /api/waiting`: a page of the waiting calls, the oldest first, and how the destinations are doing.
pub(super) async fn list(
    State(admin): State<Admin>,
    choice: Result<Query<Choice>, QueryRejection>,
) -> Response {
    let Ok(Query(choice)) = choice else {
        let error = "the parameters are id, destination, user, event, after, most and payload; see docs/troubleshooting.md";
        return refusal(StatusCode::BAD_REQUEST, "invalid_parameter", error);
    };
    let ids = choice.id.as_deref().unwrap_or_default().split(',').filter(|id| !id.is_empty());
    let ids = match ids.map(str::parse).collect() {
        Ok(ids) => ids,
        Err(error @ crate::outbox::NoCallId) => {
            return refusal(StatusCode::BAD_REQUEST, "invalid_parameter", &error.to_string());
        }
    };
    let filter =
        WaitingFilter { ids, destination: choice.destination, user: choice.user, event: choice.event };
    let most = choice.most.unwrap_or(MOST).min(MOST);
    match admin.outbox().waiting(filter, choice.after, most).await {
        Ok(page) => {
            let calls: Vec<Value> = page.calls.iter().map(|call| call.to_json(choice.payload)).collect();
            let answer = json!({"calls": calls, "next": page.next, "destinations": destinations(&admin)});
            receive::json(StatusCode::OK, &answer)
        }
        Err(error) => super::failed(&error),
    }
}

/// `POST /api/waiting/retry`, the body a filter: their next attempts are due now.
pub(super) async fn retry(State(admin): State<Admin>, request: Body) -> Response {
    let filter: WaitingFilter = match body(request).await {
        Ok(filter) => filter,
        Err(response) => return response,
    };
    match admin.outbox().retry(&filter).await {
        Ok(users) => {
            let answer = json!({"users": users, "destinations": destinations(&admin)});
            receive::json(StatusCode::OK, &answer)
        }
        Err(error) => super::failed(&error),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gone {
    from: String,
    to: Option<String>,
}

/// `POST /api/waiting/move`, the body `{"from": …, "to": …}`: one page; again while the answer is not the last one.
pub(super) async fn move_gone(State(admin): State<Admin>, request: Body) -> Response {
    match body::<Gone>(request).await {
        Ok(Gone { from, to: Some(to) }) => change(&admin, &from, Some(&to)).await,
        Ok(_) => refusal(
            StatusCode::BAD_REQUEST,
            "invalid_parameter",
            "`to` is missing: name a configured destination",
        ),
        Err(response) => response,
    }
}

/// `POST /api/waiting/purge`, the body `{"from": …}`: one page; again while the answer is not the last one.
pub(super) async fn purge(State(admin): State<Admin>, request: Body) -> Response {
    match body::<Gone>(request).await {
        Ok(Gone { from, to: None }) => change(&admin, &from, None).await,
        Ok(_) => refusal(StatusCode::BAD_REQUEST, "invalid_parameter", "a purge has no `to`"),
        Err(response) => response,
    }
}

async fn change(admin: &Admin, from: &str, to: Option<&str>) -> Response {
    let sources = admin.receiver().sources();
    let known: Vec<&str> = sources.destinations().iter().map(|destination| &*destination.name).collect();
    match admin.outbox().change_gone(from, to, &known).await {
        Ok(step) => receive::json(StatusCode::OK, &json!({"calls": step.calls, "is_last": step.is_last})),
        Err(error @ (GoneError::StillConfigured { .. } | GoneError::Unknown { .. })) => {
            refusal(StatusCode::CONFLICT, "conflict", &error.to_string())
        }
        Err(error) => super::failed(&error),
    }
}

fn destinations(admin: &Admin) -> Vec<Value> {
    let statuses = admin.receiver().destinations();
    let one = |status: &crate::deliver::Status| json!({"name": &*status.name, "state": status.state.name(), "reason": status.reason()});
    statuses.iter().map(one).collect()
}
