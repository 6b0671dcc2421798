//! The routes that Amplitude's event stream and SDKs call (`docs/amplitude.md#event-streams` and
//! `docs/amplitude.md#ingestion-paths-bodies-limits`).

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::Request;
use http::header::CONTENT_TYPE;

use super::answer::{self, Audience, RequestRefusal};
use super::authenticator::{Authenticator, RequestContext};
use super::form::{self, Fields};
use super::process::process;
use super::{Receiver, status};
use crate::config::Limits;
use crate::decode::{self, Form};
use crate::event::SourceKind;

/// What differs between the routes.
#[derive(Clone, Copy)]
pub(super) struct Route {
    form: Form,
    audience: Audience,
    /// The most bytes of a body, and the most events in it.
    bytes: fn(&Limits) -> usize,
    events: fn(&Limits) -> usize,
}

const UPLOAD: Route = Route {
    form: Form::AmplitudeUpload,
    audience: Audience::AmplitudeSdk,
    bytes: |limits| limits.amplitude_bytes,
    events: |limits| limits.amplitude_events,
};

/// Amplitude's older SDKs post forms, and read a text for success.
pub(super) const LEGACY: Route = Route { audience: Audience::AmplitudeLegacy, ..UPLOAD };

/// Every path with its route. `/` is not among them, because it has no form with another slash.
pub(super) const ROUTES: [(&str, Route); 6] = [
    (
        "/amplitude",
        Route {
            form: Form::AmplitudeStream,
            audience: Audience::AmplitudeStream,
            bytes: |limits| limits.webhook_bytes,
            events: |limits| limits.webhook_events,
        },
    ),
    ("/2/httpapi", UPLOAD),
    ("/batch", Route { bytes: |limits| limits.amplitude_batch_bytes, ..UPLOAD }),
    ("/identify", Route { form: Form::AmplitudeIdentify, ..UPLOAD }),
    ("/groupidentify", Route { form: Form::AmplitudeGroupIdentify, ..UPLOAD }),
    ("/httpapi", LEGACY),
];

/// Handles a request on any of the routes.
pub(super) async fn post(route: Route, State(receiver): State<Receiver>, request: Request<Body>) -> Response {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // No SDK posts JSON to `/`: the sender's address lacks its path.
    if request.uri().path() == "/" && content_type.is_some_and(|kind| kind.contains("json")) {
        return status::unknown_route(State(receiver), request).await;
    }
    let (parts, body) = request.into_parts();
    let authenticator = Authenticator { receiver: &receiver, kind: SourceKind::Amplitude, parts: &parts };
    let mut context = RequestContext::default();
    match accept(&authenticator, route, body, &mut context).await {
        Ok(response) => response,
        Err(refused) => authenticator.refuse(&refused, route.audience, &context),
    }
}

/// Reads and stores the request's events.
async fn accept(
    authenticator: &Authenticator<'_>,
    route: Route,
    body: Body,
    context: &mut RequestContext,
) -> Result<Response, RequestRefusal> {
    let Route { form, audience, .. } = route;
    let receiver = authenticator.receiver;
    let shared = &receiver.0.limits;
    let (bytes, events) = ((route.bytes)(shared), (route.events)(shared));
    let limits = decode::Limits { event_bytes: bytes, events, depth: shared.json_depth };
    let text = authenticator.read(body, bytes, context).await?;
    let size = text.bytes().len();
    let is_legacy = audience == Audience::AmplitudeLegacy;
    let tally = if is_form(form) || (is_legacy && !form::is_json(text.as_str())) {
        let fields = Fields::read(authenticator.parts, &text).await;
        let source = authenticator.by_body_key(fields.key.as_deref(), context)?;
        let content = if is_legacy { fields.to_upload() } else { fields.content };
        let field = if is_legacy { "e" } else { "identification" };
        let content = content.ok_or(RequestRefusal::FormField { field })?;
        process(receiver, source, form, limits, text.part(content)).await?
    } else {
        let source = authenticator.source(&text, context).await?;
        process(receiver, source, form, limits, text).await?
    };
    Ok(answer::accepted(audience, &tally, size))
}

const fn is_form(form: Form) -> bool {
    matches!(form, Form::AmplitudeIdentify | Form::AmplitudeGroupIdentify)
}
