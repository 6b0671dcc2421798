//! `/api/sync`: the syncs of accounts, their last runs, and one begun and listened to.

use std::convert::Infallible;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::{Admin, refusal};
use crate::accounts::sync::{Direction, Report, SyncError};
use crate::receive;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    #[serde(default)]
    dry_run: bool,
}

/// `GET /api/sync`: whether one runs, and how each direction's last run ended.
pub(super) async fn show(State(admin): State<Admin>) -> Response {
    let syncs = &admin.0.syncs;
    let body = json!({"running": syncs.is_running(), "last": syncs.last().await});
    receive::json(StatusCode::OK, &body)
}

/// `POST /api/sync/{direction}?dry_run=true`: begins one. The answer is its reports, a JSON object a line, the summary
/// last; the run goes on if the caller goes.
pub(super) async fn start(
    State(admin): State<Admin>,
    direction: Result<Path<String>, PathRejection>,
    options: Result<Query<Options>, axum::extract::rejection::QueryRejection>,
    body: Body,
) -> Response {
    let Some(direction) = direction.ok().and_then(|Path(name)| Direction::of_name(&name)) else {
        let error = "there is no such sync; there are vitally-to-accoil and accoil-to-vitally";
        return refusal(StatusCode::NOT_FOUND, "not_found", error);
    };
    // A body might ask for a dry run: it must not be passed over.
    let (Ok(Query(options)), true) = (options, body.is_end_stream()) else {
        let error = "the only parameter is dry_run, true or false, after a question mark; a body is not read: send none";
        return refusal(StatusCode::BAD_REQUEST, "invalid_parameter", error);
    };
    let reports = match admin.0.syncs.start(direction, options.dry_run) {
        Ok(reports) => reports,
        Err(error @ SyncError::Running) => {
            return refusal(StatusCode::CONFLICT, "sync_running", &error.to_string());
        }
        Err(error @ SyncError::NotConfigured { .. }) => {
            return refusal(StatusCode::NOT_FOUND, "not_configured", &error.to_string());
        }
    };
    let lines = stream::unfold(reports, async |mut reports| {
        let line = line(&reports.recv().await?);
        Some((Ok::<_, Infallible>(line), reports))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

fn line(report: &Report) -> Bytes {
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
