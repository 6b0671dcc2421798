//! `/api/sync`: the kept runs of the account syncs, and the next ones; starts a run and streams its reports.

use std::convert::Infallible;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::accounts::sync::{Direction, KeptRun, Report, StateError, Summary, SyncError};
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters, PathName};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
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
    /// The kept runs, the newest first.
    pub runs: Vec<SyncRunView>,
    /// When the scheduled syncs run next.
    pub next: Vec<NextRunView>,
}

/// A run in short.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SyncRunView {
    /// Its number in `/api/sync/runs/{id}`.
    pub id: i64,
    /// `vitally-to-accoil` or `accoil-to-vitally`.
    pub direction: String,
    /// `schedule`, or `request`: a command, the API, or the dashboard.
    pub cause: String,
    /// `running`, `done`, `failed`, or `interrupted`, if the relay stopped meanwhile.
    pub state: String,
    pub begun_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    /// Accounts read from Vitally. This and the next ones are 0 until the run has ended.
    pub accounts: usize,
    pub written: usize,
    pub unchanged: usize,
    /// Accounts that the interrupted run before it had handled.
    pub resumed: usize,
    /// Accounts left to the next run.
    pub waiting: usize,
    pub skipped: usize,
    /// Accounts that Accoil does not have.
    pub unknown: usize,
    pub warnings: usize,
    pub failed: usize,
    /// Why it ended early, or else the reason of its first failure.
    pub reason: Option<String>,
}

/// A run with the names of its accounts.
#[derive(Debug, Serialize, ToSchema)]
pub struct OneSyncRunView {
    #[serde(flatten)]
    pub run: SyncRunView,
    /// The summary, with at most 1,000 accounts of each kind; none if the run has not ended.
    pub summary: Option<serde_json::Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct NextRunView {
    pub direction: String,
    pub at: DateTime<Utc>,
}

impl SyncRunView {
    fn new(run: KeptRun, current: Option<i64>) -> Self {
        let KeptRun { id, direction, cause, begun_at, ended_at, counts } = run;
        let state = match ended_at {
            None if current == Some(id) => "running",
            None => "interrupted",
            Some(_) if counts.reason.is_some() => "failed",
            Some(_) => "done",
        };
        Self {
            id,
            direction: direction.name().to_owned(),
            cause: cause.name().to_owned(),
            state: state.to_owned(),
            begun_at,
            ended_at,
            accounts: counts.accounts,
            written: counts.written,
            unchanged: counts.unchanged,
            resumed: counts.resumed,
            waiting: counts.waiting,
            skipped: counts.skipped,
            unknown: counts.unknown,
            warnings: counts.warnings,
            failed: counts.failed,
            reason: counts.reason,
        }
    }
}

pub async fn view(admin: &Admin) -> Result<SyncsView, ApiError> {
    let syncs = admin.syncs();
    let last = syncs.last().await;
    let last = last.iter().map(|summary| serde_json::to_value(&**summary).unwrap_or_default()).collect();
    // Before the runs are read: a run that ends in between is not called interrupted.
    let current = syncs.current();
    let runs = syncs.kept_runs().await.map_err(|error| failed(&error))?;
    let next = |(direction, at): (Direction, _)| NextRunView { direction: direction.name().to_owned(), at };
    Ok(SyncsView {
        running: syncs.is_running(),
        last,
        runs: runs.into_iter().map(|run| SyncRunView::new(run, current)).collect(),
        next: syncs.next().into_iter().map(next).collect(),
    })
}

/// Returns one run and its summary, which it has if it has ended.
pub async fn run_view(admin: &Admin, id: &str) -> Result<(SyncRunView, Option<Summary>), ApiError> {
    let syncs = admin.syncs();
    let current = syncs.current();
    let found = match id.parse() {
        Ok(id) => syncs.kept_run(id).await.map_err(|error| failed(&error))?,
        Err(_) => None,
    };
    let (run, summary) = found.ok_or_else(|| {
        ApiError::not_found("there is no such run: GET /api/sync lists those that are kept")
    })?;
    Ok((SyncRunView::new(run, current), summary))
}

fn failed(error: &StateError) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "sync_failed", error.to_string())
}

/// Whether a sync runs, the kept runs, and the next ones
#[utoipa::path(get, path = "/api/sync", responses((status = 200, body = SyncsView), (status = 503)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<SyncsView>, ApiError> {
    view(&admin).await.map(Json)
}

/// One run: its counts, and the accounts that were skipped or failed, with the reasons
#[utoipa::path(get, path = "/api/sync/runs/{id}", params(("id" = String, Path, description = "The run's number")),
    responses((status = 200, body = OneSyncRunView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn show_run(
    State(admin): State<Admin>,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<OneSyncRunView>, ApiError> {
    let (run, summary) = run_view(&admin, &id).await?;
    let summary = summary.map(|summary| serde_json::to_value(summary).unwrap_or_default());
    Ok(Json(OneSyncRunView { run, summary }))
}

/// Start a sync
///
/// The answer is its reports, one JSON object per line, the summary last. The run continues if the caller
/// disconnects.
#[utoipa::path(post, path = "/api/sync/{direction}", params(SyncQuery, ("direction" = String, Path,
    description = "vitally-to-accoil or accoil-to-vitally")),
    responses((status = 200, body = String, content_type = "application/x-ndjson"), (status = 404), (status = 409)))]
pub(in crate::admin) async fn start(
    State(admin): State<Admin>,
    PathName(direction): PathName,
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
