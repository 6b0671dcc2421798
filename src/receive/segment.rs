//! The routes that Segment's webhooks and SDKs call (`docs/segment.md#webhook-destinations` and
//! `docs/segment.md#the-tracking-api`).

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, VARY};
use http::{Extensions, HeaderMap, HeaderValue, Request, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::answer::{self, Audience, RequestRefusal};
use super::authenticator::{Authenticator, RequestContext};
use super::body::Text;
use super::process::process;
use super::sender::Sender;
use super::{Receiver, signature, status};
use crate::decode::{self, Form};
use crate::event::SourceKind;
use crate::pipeline::Source;
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
    // A path with invalid percent-encoding is not a route.
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
    let authenticator = Authenticator { receiver, kind: SourceKind::Segment, parts: &parts };
    let mut context = RequestContext::default();
    match take(&authenticator, body, form, limits, bytes, &mut context).await {
        Ok(response) => response,
        Err(refused) => authenticator.refuse(&refused, audience, &context),
    }
}

async fn take(
    authenticator: &Authenticator<'_>,
    body: Body,
    form: Form,
    limits: decode::Limits,
    bytes: usize,
    context: &mut RequestContext,
) -> Result<Response, RequestRefusal> {
    let text = authenticator.read(body, bytes, context).await?;
    let source = authenticator.source(&text, context).await?;
    if !is_signed(source, &authenticator.parts.headers, &text) {
        return Err(RequestRefusal::Signature);
    }
    let size = text.bytes().len();
    let tally = process(authenticator.receiver, source, form, limits, text).await?;
    let is_webhook = matches!(form, Form::SegmentWebhook);
    let audience = if is_webhook { Audience::SegmentWebhook } else { Audience::SegmentSdk };
    Ok(answer::accepted(audience, &tally, size))
}

/// Requests of a source with a shared secret must have its signature, on every route.
fn is_signed(source: &Source, headers: &HeaderMap, text: &Text) -> bool {
    let Some(secret) = &source.shared_secret else { return true };
    match headers.get("x-signature") {
        None => source.takes_unsigned,
        Some(signature) => signature
            .to_str()
            .is_ok_and(|signature| signature::is_valid(secret.expose_secret(), text.as_str(), signature)),
    }
}

/// `GET /v1/projects/{write_key}/settings`: the document that analytics.js and the mobile SDKs load first.
///
/// `metrics.sampleRate` is 0, because otherwise the SDK would post its own metrics to Segment. No other integration
/// is named, because the SDK would load its code from Segment's CDN.
pub(super) async fn settings(
    State(receiver): State<Receiver>,
    write_key: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let sources = receiver.0.sources.load();
    let known = |key: &String| {
        let keyed = sources.keyed(SourceKind::Segment, std::iter::once(key.as_str().into()));
        keyed.or_else(|| sources.open(SourceKind::Segment)).is_some()
    };
    let Some(write_key) = write_key.ok().map(|Path(key)| key).filter(known) else {
        let message = "no Segment source has this write key; check the key given to the SDK";
        let reason = Reason::DoorKey;
        let body = json!({"success": false, "error": message, "code": reason, "message": message});
        let sender = Sender::of_head(&headers, &Extensions::new());
        return answer::refused(answer::json(StatusCode::NOT_FOUND, &body), reason, None, sender);
    };
    let (host, protocol) = public_address(receiver.0.public_url.as_deref(), &headers);
    let body = json!({
        "integrations": {
            "Segment.io": {"apiKey": write_key, "apiHost": format!("{host}/v1"), "protocol": protocol}
        },
        "metrics": {"sampleRate": 0},
    });
    let mut response = answer::json(StatusCode::OK, &body);
    // The answer depends on the request: a cached copy could send one site's browsers to another host.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_static("host, x-forwarded-host, x-forwarded-proto"));
    response
}

/// Returns the host, with a path if there is one, and the scheme by which SDKs reach this relay: from the
/// configuration, or else from the nearest proxy or the client.
fn public_address<'h>(public_url: Option<&'h str>, headers: &'h HeaderMap) -> (&'h str, &'h str) {
    if let Some((scheme, rest)) = public_url.and_then(|url| url.split_once("://")) {
        return (rest, scheme);
    }
    let host = first(headers, "x-forwarded-host").or_else(|| first(headers, "host")).unwrap_or("localhost");
    (host, if is_by_https(headers) { "https" } else { "http" })
}

/// Returns whether the client asked by HTTPS, if a proxy says so.
pub(crate) fn is_by_https(headers: &HeaderMap) -> bool {
    first(headers, "x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
}

/// Each proxy appends its own value, so the first is what the client asked for.
fn first<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get(name).and_then(|value| value.to_str().ok())?;
    value.split(',').map(str::trim).next().filter(|value| !value.is_empty())
}
