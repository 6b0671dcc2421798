//! `/api/imports`: the steps of `accoil-relay import`, which reads the file. The relay runs its events through the stages and stores them.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters, PathName, Payload};
use crate::outbox::{AcceptError, ChangeError};
use crate::replay::{ImportError, ImportEvent, ImportFile, ImportStep};

/// How long a step waits for the calls of the steps before it.
const ROOM_WAIT: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The name of this API in a job's `by`.
const BY: &str = "admin API";

/// A file to import.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"source": "web", "name": "2025.ndjson", "events": 1, "checksum": "5f3c7a01-96"}))]
pub struct BeginRequest {
    /// The source that its events count as received from.
    pub source: String,
    /// The file's name, for people.
    pub name: String,
    /// The number of its events.
    pub events: u64,
    /// A checksum, by which an interrupted import of the same file is found.
    pub checksum: String,
    /// Import a file that was imported before.
    #[serde(default)]
    pub again: bool,
}

/// An import that begins or continues.
#[derive(Debug, Serialize, ToSchema)]
pub struct BegunView {
    pub job: i64,
    /// Events that are imported already.
    pub after: u64,
}

/// The next events of the file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"after": 0, "is_last": false, "events": [
    {"line": 1, "text": "{\"type\":\"track\",\"event\":\"Report Created\",\"userId\":\"ada\"}"}]}))]
pub struct StepRequest {
    /// The number of events before these.
    pub after: u64,
    /// At most 500.
    pub events: Vec<EventRequest>,
    #[serde(default)]
    pub is_last: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EventRequest {
    /// Its line in the file.
    pub line: u64,
    /// One event or a batch as the source posts it, or a line of the archive. Empty: it could not be read, and only counts.
    pub text: String,
}

/// What became of the events.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportedView {
    pub accepted: u64,
    pub duplicates: u64,
    pub skipped: u64,
    pub rejected: u64,
    pub reasons: Vec<ReasonView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReasonView {
    pub line: u64,
    pub reason: String,
}

impl From<ImportError> for ApiError {
    fn from(error: ImportError) -> Self {
        let text = error.to_string();
        match error {
            ImportError::Source { .. } | ImportError::TooMany => Self::invalid(text),
            ImportError::Again { .. } => Self::conflict("imported_before", text),
            ImportError::Unknown(_) => Self::not_found(text),
            ImportError::Stopped { .. } | ImportError::Place { .. } => Self::conflict("job_state", text),
            ImportError::Read(error) => error.into(),
            ImportError::Change(ChangeError(AcceptError::Busy | AcceptError::Full | AcceptError::Away)) => {
                busy(text)
            }
            ImportError::Change(error) => error.into(),
        }
    }
}

/// Nothing was stored, and the same step may succeed later.
fn busy(text: impl Into<String>) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "busy", text).with_retry_after(RETRY_AFTER)
}

/// Begin an import, or continue an interrupted one of the same file
#[utoipa::path(post, path = "/api/imports", request_body = BeginRequest,
    responses((status = 200, body = BegunView), (status = 409), (status = 503)))]
pub(in crate::admin) async fn begin(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(request): Payload<BeginRequest>,
) -> Result<Json<BegunView>, ApiError> {
    let BeginRequest { source, name, events, checksum, again } = request;
    let file = ImportFile { source, name, events, checksum };
    let begun = admin.importer().begin(&file, again, BY).await?;
    Ok(Json(BegunView { job: begun.job, after: begun.after }))
}

/// Import the next events
///
/// They are stored together with the import's progress. With `busy` nothing was stored: send the same step again.
#[utoipa::path(post, path = "/api/imports/{id}", request_body = StepRequest,
    params(("id" = i64, Path, description = "The import's job", example = 1)),
    responses((status = 200, body = ImportedView), (status = 404), (status = 409), (status = 503)))]
pub(in crate::admin) async fn step(
    State(admin): State<Admin>,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(request): Payload<StepRequest>,
) -> Result<Json<ImportedView>, ApiError> {
    let id = id.parse().map_err(|_| ApiError::not_found("an import is a job, and a job has a number"))?;
    let sources = admin.receiver().sources();
    let destinations = sources.destinations().iter().map(|one| one.name.to_string()).collect();
    let background = admin.outbox().background();
    if tokio::time::timeout(ROOM_WAIT, background.room(&destinations)).await.is_err() {
        return Err(busy(
            "the calls of the last steps still wait, because a destination is slow, paused or away",
        ));
    }
    let events = request.events.into_iter().map(|EventRequest { line, text }| ImportEvent { line, text });
    let step = ImportStep { after: request.after, events: events.collect(), is_last: request.is_last };
    let imported = admin.importer().step(id, step).await?;
    let reasons = imported.reasons.into_iter().map(|one| ReasonView { line: one.line, reason: one.reason });
    Ok(Json(ImportedView {
        accepted: imported.accepted,
        duplicates: imported.duplicates,
        skipped: imported.skipped,
        rejected: imported.rejected,
        reasons: reasons.collect(),
    }))
}
