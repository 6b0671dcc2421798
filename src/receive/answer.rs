//! The answer for each kind of sender: always a JSON object, with the fields by which its SDK judges the answer.
//!
//! Segment's SDKs count only 200 as success, and read `success`, `error`, `code`, `message`
//! (`docs/segment.md#how-sdks-judge-an-answer`). Amplitude's SDKs trust `code` in the body
//! (`docs/amplitude.md#how-sdks-judge-an-answer`).

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use chrono::Utc;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::body::BodyError;
use super::process::{ProcessError, Tally, UnreadableBody};
use super::sender::Sender;
use super::traffic;
use crate::accoil::Refusal;
use crate::decode;
use crate::event_id::EventId;
use crate::outbox::AcceptError;
use crate::pipeline::Source;
use crate::reasons::Reason;

/// When to try again after 503, in seconds.
const BUSY_RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// The id of the event, for a request that had one.
pub(super) const EVENT_HEADER: HeaderName = HeaderName::from_static("relay-event");
/// The most event ids that an answer lists.
const MAX_IDS: usize = 20;

/// The kind of sender that an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Segment's SDKs: a request is accepted, whatever happens to its events.
    SegmentSdk,
    /// Segment's Webhook destinations: they show a 400's reasons to their owner and drop the event.
    SegmentWebhook,
    /// Amplitude's SDKs: a wrong key is a 400 for them.
    AmplitudeSdk,
    /// Amplitude's SDKs before 2020: they keep their events until they read `success` as plain text.
    AmplitudeLegacy,
    /// Amplitude's event stream: it would send an event with a 400 ten more times.
    AmplitudeStream,
}

impl Audience {
    pub(super) const fn is_amplitude(self) -> bool {
        matches!(self, Self::AmplitudeSdk | Self::AmplitudeLegacy | Self::AmplitudeStream)
    }
}

/// Why a whole request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestRefusal {
    #[error(
        "no source of this kind has this write key; check the key, and that it is sent as Basic user name, Bearer token, \
         x-api-key header or in the body"
    )]
    Key,
    /// The text by which Amplitude's SDKs recognise a wrong key. Sent only to the sender, never logged.
    #[error("Invalid API key: {sent}")]
    ApiKey { sent: String },
    #[error(
        "the X-Signature header is missing or is not the HMAC-SHA1 of this body; check that the webhook's shared secret \
         is the source's shared_secret"
    )]
    Signature,
    #[error(
        "this source has no write key, so it accepts requests only from this machine, and none from a page of another site; give the source a write_key"
    )]
    Origin,
    #[error("{0}")]
    Malformed(&'static str),
    #[error("the relay has reached its limit of connections; try again in a moment")]
    NoPlace,
    #[error("field {field} is missing; send it as a form field, URL-encoded")]
    FormField { field: &'static str },
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    Process(#[from] ProcessError),
}

impl RequestRefusal {
    const fn status(&self, audience: Audience) -> StatusCode {
        match self {
            // Amplitude's ingestion has no 401; its SDKs recognise a wrong key by the 400.
            Self::Key | Self::ApiKey { .. }
                if !matches!(audience, Audience::AmplitudeStream) && audience.is_amplitude() =>
            {
                StatusCode::BAD_REQUEST
            }
            Self::Key | Self::ApiKey { .. } | Self::Signature => StatusCode::UNAUTHORIZED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Malformed(_) | Self::FormField { .. } => StatusCode::BAD_REQUEST,
            Self::Body(error) => body_status(error, audience),
            Self::Process(ProcessError::Unreadable { why, .. }) => match why {
                UnreadableBody::Body(decode::BodyError::TooManyEvents { .. }) => too_large(audience),
                _ => StatusCode::BAD_REQUEST,
            },
            Self::Process(ProcessError::Outbox(AcceptError::TooLarge)) => too_large(audience),
            Self::NoPlace | Self::Process(ProcessError::Outbox(_)) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    const fn reason(&self) -> Reason {
        match self {
            Self::Key | Self::ApiKey { .. } => Reason::DoorKey,
            Self::Signature => Reason::DoorSignature,
            Self::Origin => Reason::DoorOrigin,
            Self::Malformed(_) => Reason::DoorRequest,
            Self::FormField { .. } => Reason::DoorField,
            Self::Body(BodyError::TooLarge { .. }) => Reason::DoorLarge,
            Self::Body(BodyError::TimedOut) => Reason::DoorTimeout,
            Self::NoPlace | Self::Body(BodyError::NoRoom) => Reason::DoorBusy,
            Self::Body(BodyError::NoShare) => Reason::DoorShare,
            Self::Body(BodyError::Encoding { .. }) => Reason::DoorEncoding,
            Self::Body(BodyError::Corrupt(_)) => Reason::DoorCompressed,
            Self::Body(BodyError::CutOff(_)) => Reason::DoorCut,
            Self::Process(error) => error.reason(),
        }
    }

    /// `source` is the one whose key the request had, if it is known.
    pub(super) fn answer(
        &self,
        audience: Audience,
        source: Option<&Arc<Source>>,
        sender: Sender,
    ) -> Response {
        let status = self.status(audience);
        let reason = self.reason();
        let message = self.to_string();
        let mut body = if audience.is_amplitude() {
            // The texts by which Amplitude's SDKs recognise these.
            let error = match self {
                Self::Key => format!("Invalid API key: {message}"),
                Self::Body(BodyError::TooLarge { .. }) => format!("Payload too large: {message}"),
                _ => message,
            };
            json!({"code": status.as_u16(), "error": error, "reason": reason})
        } else {
            json!({"success": false, "error": message, "code": reason, "message": message})
        };
        // An unreadable body is kept as a reject, which this id finds.
        let event = match self {
            Self::Process(ProcessError::Unreadable { event, .. }) => Some(*event),
            _ => None,
        };
        if let Some(event) = event {
            merge(&mut body, json!({"ids": [event]}));
        }
        let mut response = json(status, &body);
        if let Some(event) = event {
            name_event(&mut response, event);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, BUSY_RETRY_AFTER);
        }
        refused(response, reason, source.map(|source| Arc::clone(&source.name)), sender)
    }
}

/// Returns the same answer, marked for the code that counts refusals.
pub(super) fn refused(
    mut response: Response,
    reason: Reason,
    source: Option<Arc<str>>,
    sender: Sender,
) -> Response {
    response.extensions_mut().insert(traffic::RefusalMark { reason, source, sender });
    response
}

const fn body_status(error: &BodyError, audience: Audience) -> StatusCode {
    match error {
        BodyError::TooLarge { .. } => too_large(audience),
        BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
        BodyError::NoRoom | BodyError::NoShare => StatusCode::SERVICE_UNAVAILABLE,
        BodyError::Encoding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        BodyError::Corrupt(_) | BodyError::CutOff(_) => StatusCode::BAD_REQUEST,
    }
}

/// The tracking API answers 400 (`docs/segment.md#limits-of-the-tracking-api`), because older SDKs retry anything
/// else. Amplitude's SDKs halve their batch on 413.
const fn too_large(audience: Audience) -> StatusCode {
    match audience {
        Audience::SegmentSdk => StatusCode::BAD_REQUEST,
        _ => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

/// Returns the answer to an accepted request. The id of a single event is also in a header, for senders whose answers
/// nobody reads.
pub(super) fn accepted(audience: Audience, tally: &Tally, bytes: usize) -> Response {
    let mut response = counted(audience, tally, bytes);
    if tally.events == 1
        && let Some(id) = tally.ids.clone().and_then(|mut ids| ids.next())
    {
        name_event(&mut response, id);
    }
    response
}

fn name_event(response: &mut Response, event: EventId) {
    if let Ok(id) = HeaderValue::try_from(event.to_string()) {
        response.headers_mut().insert(EVENT_HEADER, id);
    }
}

fn counted(audience: Audience, tally: &Tally, bytes: usize) -> Response {
    if audience == Audience::AmplitudeLegacy {
        let mut response = Response::new(Body::from("success"));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        return response;
    }
    let mut answer = StoredAnswer::new(tally);
    if audience.is_amplitude() {
        answer.code = Some(Code::Status(200));
        answer.events_ingested = Some(tally.events);
        answer.payload_size_bytes = Some(bytes);
        answer.server_upload_time = Some(Utc::now().timestamp_millis());
        return json(StatusCode::OK, &answer);
    }
    // A webhook's batch has one status for all its events. It is a failure only if no event can be delivered.
    let all_rejected = tally.rejected > 0 && tally.accepted + tally.duplicates + tally.skipped == 0;
    if audience == Audience::SegmentWebhook && all_rejected {
        let error = tally.reasons.iter().map(|(_, refusal)| describe(refusal)).collect::<Vec<_>>().join("; ");
        answer.success = Some(false);
        answer.code = Some(Code::Word("rejected"));
        answer.message = Some(error.clone());
        answer.error = Some(error);
        return json(StatusCode::BAD_REQUEST, &answer);
    }
    answer.success = Some(true);
    json(StatusCode::OK, &answer)
}

/// The answer to a request whose events were stored, rejects included. Every post gets one, so it is written without a
/// tree of values.
#[derive(Serialize)]
struct StoredAnswer<'t> {
    accepted: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    duplicates: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    events_ingested: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_size_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<RejectedEvent<'t>>,
    rejected: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_upload_time: Option<i64>,
    skipped: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skips: Vec<SkippedEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarnedEvent<'t>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Code {
    Status(u16),
    Word(&'static str),
}

#[derive(Serialize)]
struct RejectedEvent<'t> {
    code: Reason,
    field: &'t str,
    index: usize,
    mapping: &'t str,
    reason: &'t str,
}

#[derive(Serialize)]
struct SkippedEvent {
    code: Reason,
    index: usize,
    reason: &'static str,
}

#[derive(Serialize)]
struct WarnedEvent<'t> {
    index: usize,
    mapping: &'t str,
    warning: &'t str,
}

impl<'t> StoredAnswer<'t> {
    fn new(tally: &'t Tally) -> Self {
        let rejected = |(index, refusal): &'t (usize, Refusal)| RejectedEvent {
            code: refusal.code,
            field: &refusal.field,
            index: *index,
            mapping: &refusal.mapping,
            reason: &refusal.reason,
        };
        let skipped =
            |(index, why): &(usize, Reason)| SkippedEvent { code: *why, index: *index, reason: why.title() };
        let warned = |(index, mapping, warning): &'t (usize, Arc<str>, String)| WarnedEvent {
            index: *index,
            mapping,
            warning,
        };
        Self {
            accepted: tally.accepted,
            code: None,
            duplicates: tally.duplicates,
            error: None,
            events_ingested: None,
            ids: tally.ids.iter().flat_map(|ids| ids.clone().take(MAX_IDS.min(tally.events))).collect(),
            message: None,
            payload_size_bytes: None,
            reasons: tally.reasons.iter().map(rejected).collect(),
            rejected: tally.rejected,
            server_upload_time: None,
            skipped: tally.skipped,
            skips: tally.skips.iter().map(skipped).collect(),
            success: None,
            warnings: tally.warnings.iter().map(warned).collect(),
        }
    }
}

fn describe(refusal: &Refusal) -> String {
    match (&*refusal.mapping, refusal.field.as_str()) {
        ("", "") => format!("the event {}", refusal.reason),
        ("", field) => format!("{field} {}", refusal.reason),
        (mapping, field) => format!("{mapping}: {field} {}", refusal.reason),
    }
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

/// Returns a JSON answer.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Answers contain only what JSON can express.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
