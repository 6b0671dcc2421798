//! `GET /api/export`: the events of the history that match a filter, one JSON object a line, the newest first.
//!
//! Reads the next page when the client has taken the one before, so that memory holds one page of each export. Hides what
//! `[privacy]` names, unless the admin token asks for it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::{ACCEPT_ENCODING, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::{IntoParams, PartialSchema as _};

use super::events::{EventLine, EventsQuery, cursor, history_failed};
use crate::admin::Admin;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;
use crate::admin::request::Parameters;
use crate::history::{Cursor, Filter, Line, Page, Payload, Reader, Show};

/// Events of one export unless the request says otherwise.
const USUAL: usize = 100_000;
const MOST: usize = 1_000_000;
/// Events that are read at once, with their payloads.
const PAGE: usize = 250;
/// Exports at the same time.
const MAX_EXPORTS: usize = 4;
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// The parameters of the list of events, and one more.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ExportQuery {
    #[serde(flatten)]
    pub events: EventsQuery,
    pub redact: Option<String>,
}

impl IntoParams for ExportQuery {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut all = EventsQuery::into_params(|| None);
        for one in &mut all {
            let description = match one.name.as_str() {
                "before" => "The cursor: `next` of the last line of an export that was cut.",
                "most" => "The most events: 100,000 unless given, 1,000,000 at most.",
                _ => continue,
            };
            one.description = Some(description.to_owned());
        }
        let redact = ParameterBuilder::new()
            .name("redact")
            .parameter_in(ParameterIn::Query)
            .description(Some("`off` shows values that `[privacy] redact` hides; only with the admin token. Otherwise `on`."))
            .schema(Some(String::schema()));
        all.push(redact.build());
        all
    }
}

/// One line.
#[derive(Serialize)]
struct Exported {
    #[serde(flatten)]
    line: EventLine,
    form: Arc<str>,
    envelope: Option<Box<RawValue>>,
    /// JSON as it was received; a string if it is not JSON. None if it is not kept, or if this token may not see it.
    original: Option<Box<RawValue>>,
    /// The calls.
    sent: Vec<Sent>,
}

#[derive(Serialize)]
struct Sent {
    destination: String,
    mapping: String,
    path: String,
    body: Option<Box<RawValue>>,
}

/// The last line, if there are more events than were asked for.
#[derive(Serialize)]
struct More {
    next: String,
}

impl ExportQuery {
    fn show(&self, access: Access) -> Result<Show, ApiError> {
        match self.redact.as_deref() {
            None | Some("on") => Ok(Show::Hidden),
            Some("off") if access == Access::Full => Ok(Show::Whole),
            Some("off") => {
                let error = "redact=off needs the admin token";
                Err(ApiError::new(StatusCode::FORBIDDEN, "viewer", error))
            }
            Some(_) => Err(ApiError::invalid("redact is on or off")),
        }
    }
}

/// Events with what was received and sent, one JSON object a line
///
/// If there are more events than `most`, the last line is `{"next":"…"}`: pass it as `before` to go on. Compressed with gzip
/// if `Accept-Encoding` has it. At most 4 exports at a time.
#[utoipa::path(get, path = "/api/export", params(ExportQuery),
    responses((status = 200, body = String, content_type = "application/x-ndjson"),
        (status = 503, description = "4 exports are under way, or the history is off")))]
pub(in crate::admin) async fn stream(
    State(admin): State<Admin>,
    access: Access,
    headers: HeaderMap,
    Parameters(query): Parameters<ExportQuery>,
) -> Result<Response, ApiError> {
    let show = query.show(access)?;
    let before = query.events.before.as_deref().map(cursor).transpose()?;
    let left = query.events.most.unwrap_or(USUAL).clamp(1, MOST);
    let permit = Arc::clone(admin.exports()).try_acquire_owned().map_err(|_| {
        let error = format!("{MAX_EXPORTS} exports are under way: try again when one has ended");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_exports", error).with_retry_after(ASK_AGAIN)
    })?;
    let (reader, filter) = (admin.history().clone(), Arc::new(query.events.filter()?));
    let source = Source { reader, filter, show, sees_payloads: access.sees_payloads(), _permit: permit };
    let gzip = is_accepted(&headers).then(|| GzEncoder::new(Vec::new(), Compression::fast()));
    let is_gzip = gzip.is_some();
    // A fault that shows at once is an answer of its own.
    let first = source.page(before, left).await?;
    let export = Export { source, page: Some(first), left, gzip };
    let mut response = Response::new(Body::from_stream(stream::try_unfold(export, Export::next)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"events.ndjson\""));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Limits the exports of a relay.
pub fn permits() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MAX_EXPORTS))
}

fn is_accepted(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|one| one.trim() == "gzip")
}

/// What is exported.
struct Source {
    reader: Reader,
    filter: Arc<Filter>,
    show: Show,
    sees_payloads: bool,
    _permit: OwnedSemaphorePermit,
}

impl Source {
    async fn page(&self, before: Option<Cursor>, left: usize) -> Result<Page, ApiError> {
        let (reader, filter, show) = (self.reader.clone(), Arc::clone(&self.filter), self.show);
        let most = PAGE.min(left);
        let read =
            tokio::task::spawn_blocking(move || reader.search_whole(&filter, before, most, show)).await;
        read.map_err(|_| ApiError::failed())?.map_err(|error| history_failed(&error))
    }

    /// Returns the lines of a page.
    fn text(&self, page: &Page) -> Vec<u8> {
        let mut text = Vec::new();
        for (line, payload) in page.lines.iter().zip(&page.payloads) {
            let exported = Exported::new(line, payload.as_ref().filter(|_| self.sees_payloads));
            add_line(&mut text, &exported);
        }
        text
    }
}

/// An export under way.
struct Export {
    source: Source,
    /// Read, and not yet sent; `None` after the last one.
    page: Option<Page>,
    left: usize,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl Export {
    /// Returns the next piece of the answer. After an error the connection is closed, so that the client sees that the export is
    /// not whole.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, ApiError> {
        let Some(page) = self.page.take() else { return Ok(None) };
        let mut text = self.source.text(&page);
        self.left = self.left.saturating_sub(page.lines.len());
        match page.next {
            Some(next) if self.left > 0 => self.page = Some(self.source.page(Some(next), self.left).await?),
            Some(next) => add_line(&mut text, &More { next: next.to_string() }),
            None => {}
        }
        Ok(Some((self.packed(text)?.into(), self)))
    }

    fn packed(&mut self, text: Vec<u8>) -> Result<Vec<u8>, ApiError> {
        let Some(gzip) = &mut self.gzip else { return Ok(text) };
        let is_last = self.page.is_none();
        // Writing to memory does not fail.
        let mut pack = || {
            gzip.write_all(&text)?;
            if is_last {
                gzip.try_finish()?;
            } else {
                gzip.flush()?;
            }
            Ok(std::mem::take(gzip.get_mut()))
        };
        let packed: std::io::Result<_> = pack();
        packed.map_err(|_| ApiError::failed())
    }
}

fn add_line(text: &mut Vec<u8>, line: &impl Serialize) {
    // The values have only texts, numbers and JSON, so this cannot fail.
    let _ = serde_json::to_writer(&mut *text, line);
    text.push(b'\n');
}

impl Exported {
    fn new(line: &Line, payload: Option<&Payload>) -> Self {
        let sent = line.shape.calls.iter().enumerate().map(|(index, call)| Sent {
            destination: call.destination.to_string(),
            mapping: call.mapping.to_string(),
            path: call.path.clone(),
            body: payload.and_then(|payload| payload.bodies.get(index)).and_then(|body| raw(body)),
        });
        Self {
            line: EventLine::from(line),
            form: Arc::clone(&line.shape.form),
            envelope: payload.and_then(|payload| payload.envelope.as_deref()).and_then(raw),
            original: payload.and_then(|payload| raw(&payload.original)),
            sent: sent.collect(),
        }
    }
}

/// Returns JSON on one line; anything else as a string.
fn raw(text: &str) -> Option<Box<RawValue>> {
    let is_one_line = !text.contains(['\n', '\r']);
    let json = if is_one_line { RawValue::from_string(text.to_owned()).ok() } else { None };
    json.or_else(|| to_raw_value(&serde_json::from_str::<Value>(text).ok()?).ok())
        .or_else(|| to_raw_value(text).ok())
}
