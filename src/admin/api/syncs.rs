//! `/api/sync`: the last runs of the account syncs; starts a run and streams its reports.

use std::convert::Infallible;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::accounts::sync::{Direction, Report, SyncError};
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{Named, NoParameters, Parameters};

#[derive(Debug, Deserialize, IntoParams)]
pub struct SyncQuery {
    /// Only reports the changes that a run would make.
    #[serde(default)]
    dry_run: bool,
}

/// The syncs.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncsView {
    pub running: bool,
    /// The summary of each direction's last run.
    pub last: Vec<serde_json::Value>,
}

pub async fn view(admin: &Admin) -> SyncsView {
    let syncs = admin.syncs();
    let last = syncs.last().await;
    let last = last.iter().map(|summary| serde_json::to_value(&**summary).unwrap_or_default()).collect();
    SyncsView { running: syncs.is_running(), last }
}

/// Whether a sync runs, and how each direction's last run ended
#[utoipa::path(get, path = "/api/sync", responses((status = 200, body = SyncsView)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Json<SyncsView> {
    Json(view(&admin).await)
}

/// Start a sync
///
/// The answer is its reports, one JSON object per line, the summary last. The run continues if the caller
/// disconnects.
#[utoipa::path(post, path = "/api/sync/{direction}", params(SyncQuery, ("direction" = String, Path,
    description = "vitally-to-accoil or accoil-to-vitally")),
    responses((status = 200, body = String, content_type = "application/x-ndjson")))]
pub(in crate::admin) async fn start(
    State(admin): State<Admin>,
    Named(direction): Named,
    Parameters(query): Parameters<SyncQuery>,
    body: Body,
) -> Result<Response, ApiError> {
    let Some(direction) = Direction::of_name(&direction) else {
        return Err(ApiError::not_found(
            "there is no such sync; the syncs are vitally-to-accoil and accoil-to-vitally",
        ));
    };
    // A body might ask for a dry run, so it must not be ignored.
    if !body.is_end_stream() {
        let error = "a body is not read: send none; the only parameter is dry_run, after a question mark";
        return Err(ApiError::invalid(error));
    }
    let reports = admin.syncs().start(direction, query.dry_run)?;
    let lines = stream::unfold(reports, async |mut reports| {
        let line = line(&reports.recv().await?);
        Some((Ok::<_, Infallible>(line), reports))
    });
    let mut response = Response::new(Body::from_stream(lines));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Running => Self::conflict("sync_running", error.to_string()),
            SyncError::NotConfigured { .. } => {
                Self::new(StatusCode::NOT_FOUND, "not_configured", error.to_string())
            }
        }
    }
}

fn line(report: &Report) -> Bytes {
    let mut line = serde_json::to_vec(report).unwrap_or_default();
    line.push(b'\n');
    line.into()
}
