//! `/api/dead-letters/replay` and `/api/dead-letters/purge`: each request runs one step; see `replay::Selection`.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters, Payload};
use crate::replay::{self, ReplayError, Replayer, Selection, Step};

/// What one step did.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepView {
    /// The number replayed or removed.
    pub done: usize,
    /// Those that were left, and why.
    pub left: Vec<LeftView>,
    /// `after` and `up_to` of the next step.
    pub after: i64,
    pub up_to: i64,
    /// True if no step follows.
    pub is_last: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LeftView {
    pub id: i64,
    pub reason: String,
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let Step { done, left, after, up_to, is_last } = step;
        let left = left.into_iter().map(|left| LeftView { id: left.id, reason: left.reason }).collect();
        Self { done, left, after, up_to, is_last }
    }
}

impl From<ReplayError> for ApiError {
    fn from(error: ReplayError) -> Self {
        Self::outbox(&error)
    }
}

/// Send dead letters again, and rejects through the mappings in force: one step
///
/// The body is a selection: `kind`, `filter`, `after`, `up_to`, `most`.
#[utoipa::path(post, path = "/api/dead-letters/replay",
    request_body(content = serde_json::Value, example = json!({"kind": "reject", "filter": {"user": "ada"}})),
    responses((status = 200, body = StepView), (status = 503)))]
pub(in crate::admin) async fn replay(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(selection): Payload<Selection>,
) -> Result<Json<StepView>, ApiError> {
    let receiver = admin.receiver();
    let replayer = Replayer::new(receiver.sources(), receiver.limits());
    Ok(Json(replay::replay(admin.outbox(), &replayer, &selection).await?.into()))
}

/// Remove dead letters and rejects for good: one step
///
/// The body is a selection, as for a replay.
#[utoipa::path(post, path = "/api/dead-letters/purge",
    request_body(content = serde_json::Value, example = json!({"kind": "reject", "filter": {"user": "nobody"}})),
    responses((status = 200, body = StepView), (status = 503)))]
pub(in crate::admin) async fn purge(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(selection): Payload<Selection>,
) -> Result<Json<StepView>, ApiError> {
    Ok(Json(replay::purge(admin.outbox(), &selection).await?.into()))
}
