//! Why each mapping matched an event or did not, field by field: with the mappings in force now, or with those that were in force
//! when the event came.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::known::KnownEvent;
use crate::admin::Admin;
use crate::admin::api::mappings;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;
use crate::decode::{self, Form};
use crate::event::DecodeResult;
use crate::history;
use crate::pipeline::{Pipeline, Source, Sources};

#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    /// `now`, the default, or `then`: the mappings as they were when the event came.
    pub mappings: Option<String>,
}

/// What the mappings make of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainView {
    pub id: String,
    /// `now` or `then`.
    pub mappings: String,
    /// One for each event that the received item becomes: it may imply others.
    pub events: Vec<ExplainedView>,
    /// The calls that it becomes.
    pub requests: Vec<RequestView>,
    /// Why mappings refuse it.
    pub rejected: Vec<Value>,
    /// The code of the reason why there is nothing to send, if there is none.
    pub skipped: Option<String>,
}

/// One event as mappings see it, and what each of them makes of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplainedView {
    /// The event as mappings see it.
    pub event: Value,
    /// True if another event implies it.
    pub derived: bool,
    /// Each has `destination`, `mapping`, `origin`, `trigger`, `matched`, `unmatched`, `action`, and `fields` with `field`,
    /// `from`, `kind`, `value`, `outcome`, `sent` and `reason`.
    pub mappings: Vec<Value>,
}

/// A call that would be made.
#[derive(Debug, Serialize, ToSchema)]
pub struct RequestView {
    pub destination: String,
    pub mapping: String,
    pub action: String,
    pub path: String,
    pub body: Value,
    pub warnings: String,
}

/// What was received, and how it is read.
pub(in crate::admin::api) struct ReceivedEvent<'r> {
    pub(in crate::admin::api) form: Form,
    pub(in crate::admin::api) at: DateTime<Utc>,
    pub(in crate::admin::api) original: &'r str,
    pub(in crate::admin::api) envelope: Option<&'r str>,
}

pub async fn view(
    admin: &Admin,
    access: Access,
    id: &str,
    query: &ExplainQuery,
) -> Result<ExplainView, ApiError> {
    access.require_payloads()?;
    let is_then = match query.mappings.as_deref() {
        None | Some("now") => false,
        Some("then") => true,
        Some(_) => return Err(ApiError::invalid("mappings is either now or then")),
    };
    let known = super::known(admin, id).await?;
    view_of(admin, access, id, &known, is_then).await
}

/// Explains an event that was read: by the mappings in force when it came, or by the present ones.
pub(in crate::admin) async fn view_of(
    admin: &Admin,
    access: Access,
    id: &str,
    known: &KnownEvent,
    is_then: bool,
) -> Result<ExplainView, ApiError> {
    access.require_payloads()?;
    let Some(kept) = kept(admin, known) else {
        return Err(ApiError::not_found(
            "the payload of this event is not kept, so it cannot be explained; raise [history] payload_rate to keep more",
        ));
    };
    let sources =
        if is_then { sources_of_version(admin, kept.version).await? } else { admin.receiver().sources() };
    let Some(source) = sources.named(&kept.source) else {
        let error = format!(
            "the source {:?} is no longer configured, so the event cannot be read again",
            kept.source
        );
        return Err(ApiError::conflict("no_source", error));
    };
    let Some(form) = Form::named(&kept.form) else {
        return Err(ApiError::conflict(
            "no_form",
            "the event came in a form that this version does not read",
        ));
    };
    let received = ReceivedEvent {
        form,
        at: kept.received_at,
        original: &kept.original,
        envelope: kept.envelope.as_deref(),
    };
    let mut view = explained(admin, source, &received);
    id.clone_into(&mut view.id);
    if is_then { "then" } else { "now" }.clone_into(&mut view.mappings);
    Ok(view)
}

/// What is kept of an event to read it again.
struct StoredEvent {
    source: String,
    form: String,
    /// The version of the mappings that were in force when it came; 0 if it is unknown.
    version: u64,
    received_at: DateTime<Utc>,
    original: String,
    envelope: Option<String>,
}

/// Without the values that `[privacy]` hides.
fn kept(admin: &Admin, known: &KnownEvent) -> Option<StoredEvent> {
    let recorded = known.history.iter().flat_map(|event| &event.records);
    let recorded = recorded.filter_map(|record| {
        let payload = record.payload.as_ref()?;
        let shape = &record.line.shape;
        Some(StoredEvent {
            source: shape.source.to_string(),
            form: shape.form.to_string(),
            version: shape.mappings,
            received_at: record.line.at(),
            original: payload.original.to_string(),
            envelope: payload.envelope.as_deref().map(ToOwned::to_owned),
        })
    });
    let reject = || {
        let reject = known.rejects.first()?;
        let mut payload = history::Payload {
            original: String::from_utf8_lossy(&reject.original).into(),
            envelope: reject.envelope.as_deref().map(Arc::from),
            bodies: Vec::new(),
        };
        admin.redactor().hide(&mut payload);
        Some(StoredEvent {
            source: reject.source.clone(),
            form: reject.form.clone(),
            version: 0,
            received_at: reject.at,
            original: payload.original.into(),
            envelope: payload.envelope.as_deref().map(ToOwned::to_owned),
        })
    };
    let mut recorded = recorded;
    recorded.next().or_else(reject)
}

/// Returns the sources with the mappings of this version.
async fn sources_of_version(admin: &Admin, version: u64) -> Result<Arc<Sources>, ApiError> {
    let unknown = || {
        ApiError::not_found(
            "the mappings that were in force when the event came are not kept; ask with mappings=now to explain it by the present ones",
        )
    };
    mappings::sources_of(admin, version).await?.ok_or_else(unknown)
}

/// Returns what the source's mappings make of what was received.
pub(in crate::admin::api) fn explained(
    admin: &Admin,
    source: &Source,
    received: &ReceivedEvent<'_>,
) -> ExplainView {
    let limits = &admin.config().limits;
    let limits = decode::Limits {
        event_bytes: limits.amplitude_batch_bytes.max(limits.webhook_bytes),
        events: 1,
        depth: limits.json_depth,
    };
    let ReceivedEvent { form, at: received_at, original, envelope } = *received;
    let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired: false };
    let planned = pipeline.plan_item(original, envelope);
    let events = match &planned.item.outcome {
        DecodeResult::Events(events) => events.as_slice(),
        _ => &[],
    };
    let events = events.iter().map(|event| {
        let mappings =
            source.destinations.iter().flat_map(|destination| destination.explain(source.kind, event));
        ExplainedView {
            event: serde_json::to_value(&event.value).unwrap_or_default(),
            derived: event.derived,
            mappings: mappings.filter_map(|one| serde_json::to_value(one).ok()).collect(),
        }
    });
    ExplainView {
        id: String::new(),
        mappings: "now".to_owned(),
        events: events.collect(),
        requests: planned.plan.requests.iter().map(request).collect(),
        rejected: serde_json::from_str(&crate::accoil::Refusal::to_json(&planned.plan.rejected))
            .unwrap_or_default(),
        skipped: planned.plan.skipped.map(|reason| reason.code().to_owned()),
    }
}

pub(in crate::admin::api) fn request(request: &crate::accoil::Request) -> RequestView {
    RequestView {
        destination: request.destination.to_string(),
        mapping: request.mapping.to_string(),
        action: request.action.to_owned(),
        path: request.path.to_owned(),
        body: serde_json::from_slice(&request.body).unwrap_or_default(),
        warnings: request.warnings.clone(),
    }
}
