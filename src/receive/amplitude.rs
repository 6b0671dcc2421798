//! The routes that Amplitude's event stream and SDKs call (`docs/amplitude.md#event-streams` and
//! `docs/amplitude.md#ingestion-paths-bodies-limits`).

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use http::header::CONTENT_TYPE;

use super::answer::{self, Audience, Refused};
use super::door::{Door, Seen};
use super::form::{self, Fields};
use super::process::process;
use super::{Receiver, status};
use crate::decode::{self, Form};
use crate::event::SourceKind;

/// `POST /amplitude`
pub(super) async fn stream(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let (bytes, events) = (receiver.0.limits.webhook_bytes, receiver.0.limits.webhook_events);
    answered(&receiver, Audience::AmplitudeStream, Form::AmplitudeStream, bytes, events, request).await
}

/// `POST /2/httpapi`
pub(super) async fn upload(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let (bytes, events) = (receiver.0.limits.amplitude_bytes, receiver.0.limits.amplitude_events);
    answered(&receiver, Audience::AmplitudeSdk, Form::AmplitudeUpload, bytes, events, request).await
}

/// `POST /batch`
pub(super) async fn batch(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let (bytes, events) = (receiver.0.limits.amplitude_batch_bytes, receiver.0.limits.amplitude_events);
    answered(&receiver, Audience::AmplitudeSdk, Form::AmplitudeUpload, bytes, events, request).await
}

/// `POST /identify`
pub(super) async fn identify(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let (bytes, events) = (receiver.0.limits.amplitude_bytes, receiver.0.limits.amplitude_events);
    answered(&receiver, Audience::AmplitudeSdk, Form::AmplitudeIdentify, bytes, events, request).await
}

/// `POST /groupidentify`
pub(super) async fn group_identify(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let (bytes, events) = (receiver.0.limits.amplitude_bytes, receiver.0.limits.amplitude_events);
    answered(&receiver, Audience::AmplitudeSdk, Form::AmplitudeGroupIdentify, bytes, events, request).await
}

/// `POST /` and `/httpapi`, where Amplitude's older SDKs post forms, and read a text for success.
pub(super) async fn legacy(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // No SDK posts JSON to `/`: the sender's address lacks its path.
    if request.uri().path() == "/" && content_type.is_some_and(|kind| kind.contains("json")) {
        return status::unknown_route(State(receiver), request).await;
    }
    let (bytes, events) = (receiver.0.limits.amplitude_bytes, receiver.0.limits.amplitude_events);
    answered(&receiver, Audience::AmplitudeLegacy, Form::AmplitudeUpload, bytes, events, request).await
}

async fn answered(
    receiver: &Receiver,
    audience: Audience,
    form: Form,
    bytes: usize,
    events: usize,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let door = Door { receiver, kind: SourceKind::Amplitude, parts: &parts };
    let limits = decode::Limits { event_bytes: bytes, events, depth: receiver.0.limits.json_depth };
    let mut seen = Seen::default();
    match take(&door, audience, form, limits, body, &mut seen).await {
        Ok(response) => response,
        Err(refused) => door.refuse(&refused, audience, &seen),
    }
}

async fn take(
    door: &Door<'_>,
    audience: Audience,
    form: Form,
    limits: decode::Limits,
    body: Body,
    seen: &mut Seen,
) -> Result<Response, Refused> {
    let receiver = door.receiver;
    let text = door.read(body, limits.event_bytes, seen).await?;
    let size = text.bytes().len();
    let is_legacy = audience == Audience::AmplitudeLegacy;
    let tally = if is_form(form) || (is_legacy && !form::is_json(text.as_str())) {
        let fields = Fields::read(door.parts, &text).await;
        let source = door.by_body_key(fields.key.as_deref(), seen)?;
        let content = if is_legacy { fields.to_upload() } else { fields.content };
        let field = if is_legacy { "e" } else { "identification" };
        let content = content.ok_or(Refused::FormField { field })?;
        process(receiver, source, form, limits, text.part(content)).await?
    } else {
        let source = door.source(&text, seen).await?;
        process(receiver, source, form, limits, text).await?
    };
    Ok(answer::taken(audience, &tally, size))
}

const fn is_form(form: Form) -> bool {
    matches!(form, Form::AmplitudeIdentify | Form::AmplitudeGroupIdentify)
}
