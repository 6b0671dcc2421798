//! `/api/replays` and `/api/purges`: replay failures and past events, or remove failures, as jobs that run while the relay runs.
//!
//! A job handles only what was counted before: `up_to` and `expect` come from the answer to a dry run.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters, PathName, Payload};
use crate::history::HIDDEN;
use crate::outbox::Job;
use crate::replay::{DryRun, How, JobError, Order, Select};

/// The most jobs of one answer.
const MOST: usize = 100;
/// Events per second, unless the request names a rate.
const RATE: u32 = 200;
/// The name of this API in a job's `by`.
const BY: &str = "admin API";

/// What to send again, and how.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"select": {"kind": "event", "filter": {"status": ["delivered"], "name": "Report Created"}},
    "how": "mappings", "dry_run": true}))]
pub struct ReplayRequest {
    /// Failures: `{"kind": "reject" or "dead-letter", "filter": {…}}` or `{"kind", "ids": […]}`. Past events: `{"kind": "event",
    /// "filter": {"status": ["delivered"], "from": "2026-11-26T14:00:00Z", …}, "archive": true}` with the filters of the list of events.
    #[schema(value_type = Value)]
    pub select: Select,
    /// `mappings`, the default: through the mappings in force; `as_sent`: the calls as they were.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub how: How,
    /// Only calls of these mappings; empty: of the mappings at which the event failed.
    #[serde(default)]
    pub mappings: Vec<String>,
    /// Events per second; 200 by default.
    pub rate: Option<u32>,
    /// Only report what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// The newest number that was counted, of past events the newest time in milliseconds; required unless it is a dry run.
    pub up_to: Option<i64>,
    /// The number that was counted; required unless it is a dry run.
    pub expect: Option<u64>,
}

/// What to remove permanently.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"select": {"kind": "reject", "filter": {"code": "reject.missing"}}, "dry_run": true}))]
pub struct PurgeRequest {
    /// As for a replay.
    #[schema(value_type = Value)]
    pub select: Select,
    /// Only count them.
    #[serde(default)]
    pub dry_run: bool,
    pub up_to: Option<i64>,
    pub expect: Option<u64>,
}

/// What a replay would do.
#[derive(Debug, Serialize, ToSchema)]
pub struct DryRunView {
    /// `expect` and `up_to` of the replay.
    pub expect: u64,
    pub up_to: i64,
    /// Calls that would be sent as they were.
    pub same: u64,
    /// Events whose calls would differ from those that were sent or refused before.
    pub different: u64,
    /// Events that would be refused again, and stay.
    pub refused: u64,
    /// Events whose source, form or mapping no longer exists, and which stay.
    pub gone: u64,
    /// Past events of which what would be sent is not kept; they are not sent.
    pub not_kept: u64,
    /// Past events whose hidden values were not stored; they are not sent.
    pub redacted: u64,
    /// Damaged blocks of the history; their events are missing from all counts.
    pub unreadable_blocks: u64,
    /// Damaged files of the archive; what follows the damage is missing from all counts.
    pub unreadable_files: u64,
    /// The first differences and refusals: `id`, `event`, `before`, `after`.
    pub examples: Vec<Value>,
}

/// What a purge would remove.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountView {
    /// `expect` and `up_to` of the purge.
    pub expect: u64,
    pub up_to: i64,
}

/// The jobs, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct JobsView {
    pub jobs: Vec<JobView>,
    /// The cursor of the next page: pass it as `before`.
    pub next: Option<i64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct JobView {
    pub id: i64,
    /// `replay`, `purge` or `import`.
    pub kind: String,
    /// `running`, `paused`, `done`, `cancelled` or `failed`.
    pub state: String,
    /// What the job was started with.
    pub order: Value,
    /// The number of events at the start.
    pub expect: u64,
    /// The newest number that the job handles.
    pub up_to: i64,
    pub done: u64,
    /// Those that were not sent: refused again, without their source, or not kept.
    pub failed: u64,
    pub by: String,
    pub at: DateTime<Utc>,
    /// Why the job stopped by itself; otherwise empty.
    pub note: String,
}

impl From<Job> for JobView {
    fn from(job: Job) -> Self {
        Self {
            id: job.id,
            state: job.state.name().to_owned(),
            order: serde_json::from_str(&job.order).unwrap_or_default(),
            kind: job.kind,
            expect: job.expect,
            up_to: job.up_to,
            done: job.done,
            failed: job.failed,
            by: job.by,
            at: job.at,
            note: job.note,
        }
    }
}

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        let text = error.to_string();
        match error {
            JobError::Conflict { found, .. } => Self::conflict("count_changed", text).with("count", found),
            JobError::NeverSent
            | JobError::Rate
            | JobError::Status
            | JobError::ArchiveFilter
            | JobError::NoArchive
            | JobError::TooMany
            | JobError::NotRemoved => Self::invalid(text),
            JobError::Archive(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "archive_failed", text),
            JobError::Stopping => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", text),
            JobError::History(error) => super::events::history_failed(&error),
            JobError::Unknown(_) => Self::not_found(text),
            JobError::State { .. } => Self::conflict("job_state", text),
            JobError::Read(error) => error.into(),
            JobError::Change(error) => error.into(),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// The cursor: `next` of the page before.
    pub before: Option<i64>,
    /// The most jobs, 100 at most.
    pub most: Option<usize>,
}

pub async fn list_view(admin: &Admin, query: &JobsQuery) -> Result<JobsView, ApiError> {
    let most = query.most.unwrap_or(MOST).clamp(1, MOST);
    // There are few jobs, because an operator starts each of them.
    let jobs = admin.jobs().list(usize::from(u16::MAX)).await?;
    let before = query.before.unwrap_or(i64::MAX);
    let mut jobs: Vec<JobView> = jobs.into_iter().filter(|job| job.id < before).map(JobView::from).collect();
    let is_more = jobs.len() > most;
    jobs.truncate(most);
    let next = jobs.last().map(|job| job.id).filter(|_| is_more);
    Ok(JobsView { jobs, next })
}

/// Returns what a replay would do, and what to pass as `expect` and `up_to`.
pub async fn dry_view(admin: &Admin, request: ReplayRequest) -> Result<DryRunView, ApiError> {
    let (expect, up_to) = if let (Some(expect), Some(up_to)) = (request.expect, request.up_to) {
        (expect, up_to)
    } else {
        let counted = admin.jobs().count(&request.select).await?;
        (counted.count, counted.up_to)
    };
    let run = admin.jobs().dry_run(&order(request, expect, up_to)).await?;
    let DryRun { same, different, refused, gone, .. } = run;
    let DryRun { not_kept, redacted, unreadable_blocks, unreadable_files, examples, .. } = run;
    let mut examples: Vec<Value> =
        examples.iter().map(|one| serde_json::to_value(one).unwrap_or_default()).collect();
    if !admin.redactor().is_off() {
        examples.iter_mut().for_each(hide_bodies);
    }
    Ok(DryRunView {
        expect,
        up_to,
        same,
        different,
        refused,
        gone,
        not_kept,
        redacted,
        unreadable_blocks,
        unreadable_files,
        examples,
    })
}

/// A body may have a value at another path than the event, and the event itself is not available here.
fn hide_bodies(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == "body" {
                    *member = HIDDEN.into();
                } else {
                    hide_bodies(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(hide_bodies),
        _ => {}
    }
}

pub async fn start_view(admin: &Admin, request: ReplayRequest) -> Result<JobView, ApiError> {
    let (expect, up_to) = counted(request.expect, request.up_to)?;
    Ok(admin.jobs().replay(&order(request, expect, up_to), BY).await?.into())
}

fn order(request: ReplayRequest, expect: u64, up_to: i64) -> Order {
    let ReplayRequest { select, how, mappings, rate, .. } = request;
    Order { select, how, mappings, rate: rate.unwrap_or(RATE), up_to, expect }
}

fn counted(expect: Option<u64>, up_to: Option<i64>) -> Result<(u64, i64), ApiError> {
    expect.zip(up_to).ok_or_else(|| {
        ApiError::invalid(
            "expect and up_to are required, so that nothing is done to what nobody counted: ask with \"dry_run\": true first, and pass \
             what it answers",
        )
    })
}

/// Replays and purges, the newest first
#[utoipa::path(get, path = "/api/replays", params(JobsQuery),
    responses((status = 200, body = JobsView), (status = 503)))]
pub(in crate::admin) async fn list(
    State(admin): State<Admin>,
    Parameters(query): Parameters<JobsQuery>,
) -> Result<Json<JobsView>, ApiError> {
    list_view(&admin, &query).await.map(Json)
}

/// Send failures or past events again, or report what would happen
#[utoipa::path(post, path = "/api/replays", request_body = ReplayRequest, responses(
    (status = 200, body = DryRunView, description = "Of a dry run"),
    (status = 202, body = JobView, description = "The job that was started"),
    (status = 409), (status = 503),
))]
pub(in crate::admin) async fn start(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(request): Payload<ReplayRequest>,
) -> Result<Response, ApiError> {
    if request.dry_run {
        return Ok(Json(dry_view(&admin, request).await?).into_response());
    }
    Ok((StatusCode::ACCEPTED, Json(start_view(&admin, request).await?)).into_response())
}

/// Remove failures permanently, or count them
#[utoipa::path(post, path = "/api/purges", request_body = PurgeRequest, responses(
    (status = 200, body = CountView, description = "Of a dry run"),
    (status = 202, body = JobView, description = "The job that was started"),
    (status = 409), (status = 503),
))]
pub(in crate::admin) async fn purge(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(request): Payload<PurgeRequest>,
) -> Result<Response, ApiError> {
    if request.dry_run {
        let counted = admin.jobs().count(&request.select).await?;
        return Ok(Json(CountView { expect: counted.count, up_to: counted.up_to }).into_response());
    }
    Ok((StatusCode::ACCEPTED, Json(purge_view(&admin, request).await?)).into_response())
}

pub async fn purge_view(admin: &Admin, request: PurgeRequest) -> Result<JobView, ApiError> {
    let (expect, up_to) = counted(request.expect, request.up_to)?;
    let order = Order {
        select: request.select,
        how: How::default(),
        mappings: Vec::new(),
        rate: crate::replay::MAX_RATE,
        up_to,
        expect,
    };
    Ok(admin.jobs().purge(&order, BY).await?.into())
}

/// One replay or purge
#[utoipa::path(get, path = "/api/replays/{id}", params(("id" = i64, Path, description = "The job's number", example = 1)),
    responses((status = 200, body = JobView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(admin.jobs().get(number(&id)?).await?.into()))
}

/// Pause a job until it is resumed, also after a restart
#[utoipa::path(post, path = "/api/replays/{id}/pause", params(("id" = i64, Path, description = "The job's number", example = 1)),
    responses((status = 200, body = JobView), (status = 404), (status = 409), (status = 503)))]
pub(in crate::admin) async fn pause(
    State(admin): State<Admin>,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(admin.jobs().pause(number(&id)?).await?.into()))
}

/// Resume a job
#[utoipa::path(post, path = "/api/replays/{id}/resume", params(("id" = i64, Path, description = "The job's number", example = 1)),
    responses((status = 200, body = JobView), (status = 404), (status = 409), (status = 503)))]
pub(in crate::admin) async fn resume(
    State(admin): State<Admin>,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(admin.jobs().resume(number(&id)?).await?.into()))
}

/// Cancel a job; what it has done stays done
#[utoipa::path(post, path = "/api/replays/{id}/cancel", params(("id" = i64, Path, description = "The job's number", example = 1)),
    responses((status = 200, body = JobView), (status = 404), (status = 409), (status = 503)))]
pub(in crate::admin) async fn cancel(
    State(admin): State<Admin>,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<JobView>, ApiError> {
    Ok(Json(admin.jobs().cancel(number(&id)?).await?.into()))
}

fn number(id: &str) -> Result<i64, ApiError> {
    id.parse().map_err(|_| ApiError::not_found("a job has a number; GET /api/replays lists them"))
}
