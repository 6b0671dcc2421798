//! `GET /api/live`: events as they come, by server-sent events.
//!
//! `event: line` has the event's id as its id, and the event as one line as its data. `event: tick` comes once a second with the
//! number of events received, of those that match the filter, and of those that were sent.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::events::{EventFilter, EventLine, history_failed};
use crate::admin::Admin;
use crate::admin::error::ApiError;
use crate::admin::request::Parameters;
use crate::history::{Live, ViewerMessage};

/// When to try again after too many live views were open.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Events as they come
///
/// Server-sent events. Of the events that match the filter, at most 20 a second are sent.
#[utoipa::path(get, path = "/api/live", params(EventFilter),
    responses((status = 200, body = String, content_type = "text/event-stream"),
        (status = 503, description = "16 clients watch already, or the history is off")))]
pub(in crate::admin) async fn stream(
    State(admin): State<Admin>,
    Parameters(query): Parameters<EventFilter>,
) -> Result<Response, ApiError> {
    let live = subscribe(&admin, &query)?;
    // Confirms at once that the client is connected.
    let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"retry: 2000\n\n"))]);
    let rest = stream::unfold(live, async |mut live| Some((Ok(text(&live.next().await?)), live)));
    let mut response = Response::new(Body::from_stream(futures_util::StreamExt::chain(first, rest)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

fn subscribe(admin: &Admin, query: &EventFilter) -> Result<Live, ApiError> {
    let live = admin.history().live(query.0.filter()?).map_err(|error| history_failed(&error))?;
    live.map_err(|error| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_viewers", error.to_string())
            .with_retry_after(ASK_AGAIN)
    })
}

fn text(message: &ViewerMessage) -> Bytes {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = match message {
        ViewerMessage::Line(line) => {
            write!(text, "event: line\nid: {}\ndata: {}\n\n", line.id, json(&EventLine::from(&**line)))
        }
        ViewerMessage::Tick(tick) => write!(text, "event: tick\ndata: {}\n\n", json(tick)),
    };
    text.into()
}

/// On one line: the JSON has no line breaks.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
