//! The routes that Amplitude's event stream and SDKs call (`facts/amplitude.md` 2, 4).

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{Request, request::Parts};

use super::Receiver;
use super::answer::{self, Audience, Refused};
use super::body::Text;
use super::door::Door;
use super::process::process;
use super::source::Source;
use crate::decode::{self, Form};
use crate::event::SourceKind;
use crate::json::Value;

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

async fn answered(
    receiver: &Receiver,
    audience: Audience,
    form: Form,
    bytes: usize,
    events: usize,
    request: Request<Body>,
) -> Response {
    let mut known = None;
    match take(receiver, audience, form, bytes, events, request, &mut known).await {
        Ok(response) => response,
        Err(refused) => refused.answer(audience, known.as_ref()),
    }
}

async fn take(
    receiver: &Receiver,
    audience: Audience,
    form: Form,
    bytes: usize,
    events: usize,
    request: Request<Body>,
    known: &mut Option<Arc<Source>>,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let shared = &receiver.0;
    let door = Door { receiver, kind: SourceKind::Amplitude, parts: &parts };
    let text = door.read(body, bytes, known).await?;
    let size = text.bytes().len();
    let limits = decode::Limits { event_bytes: bytes, events, depth: shared.limits.json_depth };
    let tally = if is_form(form) {
        let fields = Fields::read(&parts, &text);
        let source = door.by_body_key(fields.key.as_deref(), known)?;
        let identification = fields.identification.ok_or(Refused::FormField { field: "identification" })?;
        process(receiver, source, form, limits, text.part(identification)).await?
    } else {
        let source = door.source(&text, known).await?;
        process(receiver, source, form, limits, text).await?
    };
    Ok(answer::taken(audience, &tally, size))
}

const fn is_form(form: Form) -> bool {
    matches!(form, Form::AmplitudeIdentify | Form::AmplitudeGroupIdentify)
}

/// The fields of `/identify` and `/groupidentify`: `api_key` and `identification`, in a form body, in the query,
/// or, as careless callers send it, in a JSON object.
struct Fields {
    key: Option<String>,
    identification: Option<String>,
}

impl Fields {
    fn read(parts: &Parts, text: &Text) -> Self {
        let mut fields = Self { key: None, identification: None };
        fields.take(parts.uri.query().unwrap_or_default());
        let content_type =
            parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let body = text.as_str();
        if content_type.contains("json") || body.trim_start().starts_with('{') {
            fields.key = fields.key.or_else(|| decode::body_key(body).map(Cow::into_owned));
            fields.identification = fields.identification.or_else(|| json_identification(body));
        } else {
            fields.take(body);
        }
        fields
    }

    fn take(&mut self, form: &str) {
        for (name, value) in form_urlencoded::parse(form.as_bytes()) {
            match &*name {
                "api_key" => self.key = Some(value.into_owned()),
                "identification" => self.identification = Some(value.into_owned()),
                _ => {}
            }
        }
    }
}

/// As an object, an array, or text.
fn json_identification(body: &str) -> Option<String> {
    match Value::parse(body).ok()?.get("identification")? {
        Value::String(text) => Some(text.clone().into_owned()),
        value => Some(value.to_string()),
    }
}
