//! The routes that Segment's webhooks and SDKs call (`facts/segment.md` 1, 2).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::answer::{self, Audience, Refused};
use super::body::{self, Text};
use super::process::process;
use super::source::Source;
use super::{Receiver, credentials, signature, status};
use crate::decode::{self, Form};
use crate::event::SourceKind;
use crate::reasons::Reason;

/// `POST /segment`
pub(super) async fn webhook(State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let limits = &receiver.0.limits;
    let decode_limits = decode::Limits {
        event_bytes: limits.webhook_bytes,
        events: limits.webhook_events,
        depth: limits.json_depth,
    };
    answered(
        &receiver,
        Audience::SegmentWebhook,
        Form::SegmentWebhook,
        decode_limits,
        limits.webhook_bytes,
        request,
    )
    .await
}

/// `POST /v1/{call}`
pub(super) async fn track(
    State(receiver): State<Receiver>,
    call: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    // A path whose percent signs stand for no text is no route either.
    let Some(form) = call.ok().and_then(|Path(call)| Form::of_tracking_path(&call)) else {
        return status::unknown_route(State(receiver), request).await;
    };
    let limits = &receiver.0.limits;
    let bytes = match form {
        Form::SegmentBatch => limits.tracking_batch_bytes,
        _ => limits.tracking_event_bytes,
    };
    let decode_limits = decode::Limits {
        event_bytes: limits.tracking_event_bytes,
        events: limits.tracking_batch_events,
        depth: limits.json_depth,
    };
    answered(&receiver, Audience::SegmentSdk, form, decode_limits, bytes, request).await
}

async fn answered(
    receiver: &Receiver,
    audience: Audience,
    form: Form,
    limits: decode::Limits,
    bytes: usize,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut known = None;
    match take(receiver, &parts.headers, body, form, limits, bytes, &mut known).await {
        Ok(response) => response,
        Err(refused) => refused.answer(audience, known.as_ref()),
    }
}

async fn take(
    receiver: &Receiver,
    headers: &HeaderMap,
    body: Body,
    form: Form,
    limits: decode::Limits,
    bytes: usize,
    known: &mut Option<Arc<Source>>,
) -> Result<Response, Refused> {
    let shared = &receiver.0;
    let text = body::read(headers, body, bytes, shared.timeout, &shared.room).await?;
    let source = known.insert(source(receiver, headers, &text).ok_or(Refused::Key)?);
    let is_webhook = matches!(form, Form::SegmentWebhook);
    if is_webhook && !is_signed(source, headers, &text) {
        return Err(Refused::Signature);
    }
    let size = text.bytes().len();
    let tally = process(receiver, source, form, limits, text).await?;
    let audience = if is_webhook { Audience::SegmentWebhook } else { Audience::SegmentSdk };
    Ok(answer::taken(audience, &tally, size))
}

/// By the key in a header; else, as OAuth senders and older SDKs do it, in the body.
fn source(receiver: &Receiver, headers: &HeaderMap, text: &Text) -> Option<Arc<Source>> {
    // The body is looked at only if no header has the key.
    let in_body = std::iter::once_with(|| decode::body_key(text.as_str())).flatten();
    let sources = receiver.0.sources.load();
    sources.find(SourceKind::Segment, credentials::header_keys(headers).chain(in_body)).cloned()
}

/// Webhook posts of a source with a shared secret must carry its signature.
fn is_signed(source: &Source, headers: &HeaderMap, text: &Text) -> bool {
    let Some(secret) = &source.shared_secret else { return true };
    let signature = headers.get("x-signature").and_then(|value| value.to_str().ok());
    signature.is_some_and(|signature| signature::is_valid(secret.expose_secret(), text.as_str(), signature))
}

/// `GET /v1/projects/{write_key}/settings`: what analytics.js and the mobile SDKs load first.
///
/// `metrics.sampleRate` is 0, or the SDK would post its own metrics to Segment; no other integration is named, or it
/// would load that one's code from Segment's CDN.
pub(super) async fn settings(
    State(receiver): State<Receiver>,
    write_key: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let sources = receiver.0.sources.load();
    let known =
        |key: &String| sources.find(SourceKind::Segment, std::iter::once(key.as_str().into())).is_some();
    let Some(write_key) = write_key.ok().map(|Path(key)| key).filter(known) else {
        let message = "no Segment source has this write key; check the key given to the SDK";
        let reason = Reason::DoorKey;
        let body = json!({"success": false, "error": message, "code": reason, "message": message});
        return answer::refused(answer::json(StatusCode::NOT_FOUND, &body), reason, None);
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = header("x-forwarded-host").or_else(|| header("host")).unwrap_or("localhost");
    let protocol = match header("x-forwarded-proto") {
        Some("https") => "https",
        _ => "http",
    };
    let body = json!({
        "integrations": {
            "Segment.io": {"apiKey": write_key, "apiHost": format!("{host}/v1"), "protocol": protocol}
        },
        "metrics": {"sampleRate": 0},
    });
    answer::json(StatusCode::OK, &body)
}
