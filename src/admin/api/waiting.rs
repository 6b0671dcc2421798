//! `/api/waiting`: lists the waiting calls; retries, moves or removes them.

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::shared::{AttemptView, payload};
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;
use crate::admin::request::{NoParameters, Parameters, Payload};
use crate::deliver::Status;
use crate::history::Redactor;
use crate::outbox::{ChangeWaitingError, InvalidCallId, Position, WaitingCall, WaitingFilter, WaitingFor};

/// The most calls in one answer, unless the request asks for fewer.
const MAX_CALLS: usize = 200;

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WaitingQuery {
    /// Ids of calls, separated by commas.
    pub id: Option<String>,
    pub destination: Option<String>,
    pub user: Option<String>,
    /// The event's id or name.
    pub event: Option<String>,
    /// The cursor: `next` of the page before.
    #[param(value_type = Option<String>)]
    pub after: Option<Position>,
    /// The most calls, 200 at most.
    pub most: Option<usize>,
    /// Whether to show bodies and events too.
    #[serde(default)]
    pub payload: bool,
}

/// A page of the waiting calls, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingView {
    pub calls: Vec<WaitingCallView>,
    /// The cursor of the next page; absent on the last one.
    pub next: Option<String>,
    pub destinations: Vec<StateView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingCallView {
    pub id: String,
    pub event_id: String,
    pub event: String,
    pub message_id: String,
    pub received_at: Option<DateTime<Utc>>,
    pub user: String,
    pub destination: String,
    pub source: String,
    pub mapping: String,
    pub action: String,
    pub path: String,
    /// `turn`, `retry`, `earlier` (an earlier call of the same user), or `damaged` (on the disk: it is never sent).
    pub waiting_for: String,
    /// The call of the same user that must be done first.
    pub behind: Option<BehindView>,
    pub attempts: Vec<AttemptView>,
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What was left out or changed. Like the next two, only if payloads are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<String>,
    /// What will be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The event as it was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BehindView {
    pub id: String,
    pub event_id: String,
}

/// A destination's state in short.
#[derive(Debug, Serialize, ToSchema)]
pub struct StateView {
    pub name: String,
    pub state: String,
    pub reason: Option<String>,
}

/// The number of users whose calls were made due.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetryView {
    /// The users whose calls are tried now.
    pub users: usize,
    pub destinations: Vec<StateView>,
}

/// The calls that were moved or removed.
#[derive(Debug, Serialize, ToSchema)]
pub struct GoneView {
    pub calls: usize,
    /// True if no step follows.
    pub is_last: bool,
}

impl WaitingCallView {
    /// `redactor` hides the values that `[privacy]` names.
    pub fn new(call: &WaitingCall, with_payload: bool, redactor: &Redactor) -> Self {
        let WaitingCall { id, labels, job, waiting_for, behind, attempts, next_attempt_at } = call;
        let values = redactor.find_in(&[&job.body, &job.original]);
        let shown = |text: &str| values.hidden_in(text).unwrap_or_else(|| text.to_owned());
        let hidden = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            redactor
                .hidden(&text, &values)
                .map_or_else(|| payload(bytes), |hidden| payload(hidden.as_bytes()))
        };
        Self {
            id: id.to_string(),
            event_id: job.event.to_string(),
            event: shown(&labels.name),
            message_id: shown(&labels.message_id),
            received_at: job.event.has_time().then(|| job.event.time()),
            user: shown(job.user.as_str()),
            destination: job.destination.as_str().to_owned(),
            source: job.source.as_str().to_owned(),
            mapping: job.mapping.as_str().to_owned(),
            action: job.action.as_str().to_owned(),
            path: job.path.as_str().to_owned(),
            waiting_for: match waiting_for {
                WaitingFor::Turn => "turn",
                WaitingFor::Retry => "retry",
                WaitingFor::Earlier => "earlier",
                WaitingFor::Damaged => "damaged",
            }
            .to_owned(),
            behind: behind.map(|(id, event)| BehindView { id: id.to_string(), event_id: event.to_string() }),
            attempts: attempts
                .iter()
                .map(AttemptView::from)
                .map(|attempt| AttemptView { reason: shown(&attempt.reason), ..attempt })
                .collect(),
            next_attempt_at: *next_attempt_at,
            warnings: with_payload.then(|| shown(job.warnings.as_str())),
            body: with_payload.then(|| hidden(&job.body)),
            original: with_payload.then(|| hidden(&job.original)),
        }
    }
}

/// A page of the waiting calls, and the state of the destinations.
pub async fn view(admin: &Admin, access: Access, query: WaitingQuery) -> Result<WaitingView, ApiError> {
    if query.payload {
        access.require_payloads()?;
    }
    let ids = query.id.as_deref().unwrap_or_default().split(',').filter(|id| !id.is_empty());
    let ids = ids.map(str::parse).collect::<Result<_, InvalidCallId>>();
    let ids = ids.map_err(|error| ApiError::invalid(error.to_string()))?;
    let filter = WaitingFilter { ids, destination: query.destination, user: query.user, event: query.event };
    let most = query.most.unwrap_or(MAX_CALLS).min(MAX_CALLS);
    let page = admin.outbox().waiting(filter, query.after, most).await?;
    Ok(WaitingView {
        calls: page
            .calls
            .iter()
            .map(|call| WaitingCallView::new(call, query.payload, admin.redactor()))
            .collect(),
        next: page.next.map(|next| next.to_string()),
        destinations: states(admin),
    })
}

pub fn states(admin: &Admin) -> Vec<StateView> {
    let one = |status: &Status| StateView {
        name: status.name.to_string(),
        state: status.state.name().to_owned(),
        reason: status.reason().map(ToOwned::to_owned),
    };
    admin.receiver().destinations().iter().map(one).collect()
}

/// Waiting calls, oldest first
#[utoipa::path(get, path = "/api/waiting", params(WaitingQuery),
    responses((status = 200, body = WaitingView), (status = 503)))]
pub(in crate::admin) async fn list(
    State(admin): State<Admin>,
    access: Access,
    Parameters(query): Parameters<WaitingQuery>,
) -> Result<Json<WaitingView>, ApiError> {
    view(&admin, access, query).await.map(Json)
}

/// Makes the next attempts of these calls due now.
pub async fn retry_view(admin: &Admin, filter: &WaitingFilter) -> Result<RetryView, ApiError> {
    let users = admin.outbox().retry(filter).await?;
    Ok(RetryView { users, destinations: states(admin) })
}

/// Try waiting calls now
///
/// The body is a filter: `ids`, `destination`, `user`, `event`.
#[utoipa::path(post, path = "/api/waiting/retry",
    request_body(content = Value, example = json!({"user": "ada"})),
    responses((status = 200, body = RetryView), (status = 503)))]
pub(in crate::admin) async fn retry(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(filter): Payload<WaitingFilter>,
) -> Result<Json<RetryView>, ApiError> {
    retry_view(&admin, &filter).await.map(Json)
}

/// A destination that is no longer configured, and where its calls go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "accoil-old", "to": "accoil"}))]
pub(in crate::admin) struct Gone {
    from: String,
    to: Option<String>,
}

/// Move the calls of a destination that is no longer configured: one page
#[utoipa::path(post, path = "/api/waiting/move", request_body = Gone,
    responses((status = 200, body = GoneView), (status = 409), (status = 503)))]
pub(in crate::admin) async fn move_gone(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(gone): Payload<Gone>,
) -> Result<Json<GoneView>, ApiError> {
    match gone {
        Gone { from, to: Some(to) } => change(&admin, &from, Some(&to)).await.map(Json),
        Gone { .. } => Err(ApiError::invalid("`to` is missing: name a configured destination")),
    }
}

/// Remove the calls of a destination that is no longer configured: one page
#[utoipa::path(post, path = "/api/waiting/purge", request_body = Gone,
    responses((status = 200, body = GoneView), (status = 409), (status = 503)))]
pub(in crate::admin) async fn purge(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(gone): Payload<Gone>,
) -> Result<Json<GoneView>, ApiError> {
    match gone {
        Gone { from, to: None } => change(&admin, &from, None).await.map(Json),
        Gone { .. } => Err(ApiError::invalid("a purge has no `to`")),
    }
}

async fn change(admin: &Admin, from: &str, to: Option<&str>) -> Result<GoneView, ApiError> {
    let sources = admin.receiver().sources();
    let known: Vec<&str> = sources.destinations().iter().map(|destination| &*destination.name).collect();
    let step = admin.outbox().change_orphaned(from, to, &known).await?;
    Ok(GoneView { calls: step.calls, is_last: step.is_last })
}

impl From<ChangeWaitingError> for ApiError {
    fn from(error: ChangeWaitingError) -> Self {
        match error {
            ChangeWaitingError::StillConfigured { .. } | ChangeWaitingError::Unknown { .. } => {
                Self::conflict("conflict", error.to_string())
            }
            _ => Self::outbox(&error),
        }
    }
}
