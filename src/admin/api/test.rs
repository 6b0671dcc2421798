//! `/api/test`: what an event would become, with the mappings in force or with a draft; `/api/test/send`: a real event through
//! the public routes, as a sender would post it.

use axum::body::Body;
use axum::extract::State;
use chrono::Utc;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Limited};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt as _;
use utoipa::ToSchema;

use super::events::explain::{ExplainView, ReceivedEvent, explained};
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters, Payload};
use crate::decode::Form;
use crate::event::SourceKind;
use crate::pipeline::{Source, Sources};
use crate::receive;

/// The user of a test event, unless the request names one.
const USER: &str = "relay-test";
/// The most bytes of an answer that are read.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// An event to try.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TestRequest {
    /// The source that it is sent as; the first one if it is left out.
    pub source: Option<String>,
    /// The event as a sender writes it; a track called "Relay Test" if it is left out.
    pub event: Option<Value>,
    /// The user id of that track.
    pub user: Option<String>,
    /// Mappings to try instead of those in force.
    pub draft: Option<Draft>,
}

/// Mappings that are not in force.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    pub destination: String,
    /// A mapping file, TOML or JSON. Mappings with the name of one in force replace it; others are added.
    pub document: String,
}

/// What a sent event was answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct SentView {
    pub source: String,
    /// Where it was posted.
    pub path: String,
    pub event: Value,
    /// The status of the relay's answer.
    pub status: u16,
    /// The relay's answer, as a sender gets it.
    pub answer: Value,
    /// The event's id.
    pub ids: Vec<String>,
}

/// What the mappings make of an event; nothing is sent or kept.
pub async fn dry_view(admin: &Admin, request: TestRequest) -> Result<ExplainView, ApiError> {
    let source = source(admin, request.source.as_deref())?;
    let event = event(&source, &request);
    let source = match request.draft {
        Some(draft) => {
            if !source.destinations.iter().any(|one| *one.name == *draft.destination) {
                let names: Vec<&str> = source.destinations.iter().map(|one| &*one.name).collect();
                let error = format!("the source has no such destination; it has {}", names.join(", "));
                return Err(ApiError::not_found(error));
            }
            let sources = drafted(admin.receiver().sources(), draft).await?;
            sources.named(&source.name).cloned().unwrap_or(source)
        }
        None => source,
    };
    let form = match source.kind {
        SourceKind::Segment => Form::SegmentWebhook,
        SourceKind::Amplitude => Form::AmplitudeStream,
    };
    let original = event.to_string();
    let received = ReceivedEvent { form, at: Utc::now(), original: &original, envelope: None };
    Ok(explained(admin, &source, &received))
}

/// Posts the event as a sender would.
pub async fn send_view(admin: &Admin, request: &TestRequest) -> Result<SentView, ApiError> {
    if request.draft.is_some() {
        return Err(ApiError::invalid("a draft is only for a dry run: POST /api/test"));
    }
    let source = source(admin, request.source.as_deref())?;
    let event = event(&source, request);
    let path = match source.kind {
        SourceKind::Segment => "/segment",
        SourceKind::Amplitude => "/amplitude",
    };
    let body = event.to_string();
    let mut post = Request::builder().method(Method::POST).uri(path).header(HOST, "localhost");
    post = post.header(CONTENT_TYPE, "application/json");
    if let Some(key) = &source.write_key {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose_secret())).map_err(|_| {
            ApiError::conflict("write_key", "the source's write key cannot be sent in a header")
        })?;
        bearer.set_sensitive(true);
        post = post.header(AUTHORIZATION, bearer);
    }
    if let Some(secret) = &source.shared_secret {
        post = post.header("x-signature", receive::sign(secret.expose_secret(), &body));
    }
    let post = post.body(Body::from(body)).map_err(|_| ApiError::failed())?;
    let Ok(response) = receive::router(admin.receiver().clone()).oneshot(post).await;
    let status = response.status().as_u16();
    let answer = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    let answer = answer.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let ids = answer["ids"].as_array().into_iter().flatten();
    let ids = ids.filter_map(|id| id.as_str().map(ToOwned::to_owned)).collect();
    Ok(SentView { source: source.name.to_string(), path: path.to_owned(), event, status, answer, ids })
}

fn source(admin: &Admin, name: Option<&str>) -> Result<Arc<Source>, ApiError> {
    let sources = admin.receiver().sources();
    let found = match name {
        Some(name) => sources.named(name),
        None => sources.iter().next(),
    };
    found.cloned().ok_or_else(|| {
        let names: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
        match names.as_slice() {
            [] => ApiError::not_found("the configuration has no source: add a [[sources]] section"),
            names => {
                ApiError::not_found(format!("there is no such source; the sources are {}", names.join(", ")))
            }
        }
    })
}

fn event(source: &Source, request: &TestRequest) -> Value {
    if let Some(event) = &request.event {
        return event.clone();
    }
    let id = format!("test-{}", uuid::Uuid::new_v4());
    let user = request.user.as_deref().unwrap_or(USER);
    let now = Utc::now();
    match source.kind {
        SourceKind::Segment => json!({
            "type": "track", "event": "Relay Test", "userId": user, "messageId": id, "timestamp": now.to_rfc3339(),
        }),
        SourceKind::Amplitude => json!({
            "event_type": "Relay Test", "user_id": user, "device_id": "relay-test", "insert_id": id,
            "event_time": now.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        }),
    }
}

/// Returns the sources with the draft's mappings in place of those in force.
pub(super) async fn drafted(sources: Arc<Sources>, draft: Draft) -> Result<Arc<Sources>, ApiError> {
    let names: Vec<String> = sources.destinations().iter().map(|one| one.name.to_string()).collect();
    let Draft { destination, document } = draft;
    let drafted = tokio::task::spawn_blocking(move || sources.with_draft(&destination, &document)).await;
    match drafted.map_err(|_| ApiError::failed())? {
        Ok(Some(sources)) => Ok(Arc::new(sources)),
        Ok(None) => Err(ApiError::not_found(format!(
            "the draft is for a destination that does not exist; the destinations are {}",
            names.join(", ")
        ))),
        Err(faults) => {
            let first = faults.first().map(|fault| fault.message.clone()).unwrap_or_default();
            Err(super::mappings::invalid(&format!("the draft has faults: {first}"), &faults))
        }
    }
}

/// What an event would become; nothing is sent or kept
#[utoipa::path(post, path = "/api/test", request_body = TestRequest,
    responses((status = 200, body = ExplainView), (status = 404)))]
pub(in crate::admin) async fn dry(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(request): Payload<TestRequest>,
) -> Result<Json<ExplainView>, ApiError> {
    dry_view(&admin, request).await.map(Json)
}

/// Send a test event through the relay, as a sender would
#[utoipa::path(post, path = "/api/test/send", request_body = TestRequest,
    responses((status = 200, body = SentView), (status = 404), (status = 409)))]
pub(in crate::admin) async fn send(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(request): Payload<TestRequest>,
) -> Result<Json<SentView>, ApiError> {
    send_view(&admin, &request).await.map(Json)
}
