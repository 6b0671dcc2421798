//! `/api/events`: what became of every event, in a list and one by one.
//!
//! The outbox answers for waiting calls and failures, the history for everything else.

pub mod explain;
mod judge;
mod known;
pub mod line;
mod missing;
mod one;
mod query;
mod suggestion;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

pub use explain::{ExplainQuery, ExplainView};
pub use line::EventLine;
pub use one::{CallView, EventView, RefusalView};
pub(super) use query::cursor;
pub use query::{EventFilter, EventsQuery};

use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;
use crate::admin::request::{NoParameters, Parameters, PathName};
use crate::event_id::EventId;
use crate::history::{self, Cursor, Show};
use crate::outbox::{DeadLetter, Filter, Position, StoredReject, WaitingCall, WaitingFilter};
pub(in crate::admin) use known::KnownEvent;
use query::EventStore;

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventsView {
    /// The newest first; waiting events the oldest first.
    pub events: Vec<EventLine>,
    /// The cursor of the next page: pass it as `before`. None on the last page.
    pub next: Option<String>,
    /// Everything that was received later was searched.
    pub searched_to: Option<chrono::DateTime<chrono::Utc>>,
    /// The search stopped because it took long: continue with `next`.
    pub is_cut: bool,
    /// Whether the history is on. If it is off, only waiting calls and failures are known.
    pub has_history: bool,
    /// Blocks of the history that cannot be read: their events are missing from the result.
    pub unreadable_blocks: u32,
}

/// Returns a page of the events that match the filter.
pub async fn view(admin: &Admin, query: EventsQuery) -> Result<EventsView, ApiError> {
    let most = query.most();
    match query.place(admin.history().is_on())? {
        EventStore::History { filter, before } => search(admin, filter, before, most).await,
        EventStore::Waiting { filter, after } => waiting(admin, filter, after, most).await,
        EventStore::Kept { filter, kinds, before } => kept(admin, filter, kinds, before, most).await,
    }
}

async fn search(
    admin: &Admin,
    filter: history::Filter,
    before: Option<Cursor>,
    most: usize,
) -> Result<EventsView, ApiError> {
    let reader = admin.history().clone();
    let page = tokio::task::spawn_blocking(move || reader.search(&filter, before, most)).await;
    let page = page.map_err(|_| ApiError::failed())?.map_err(|error| history_failed(&error))?;
    Ok(EventsView {
        events: page.lines.iter().map(EventLine::from).collect(),
        next: page.next.map(|next| next.to_string()),
        searched_to: page.searched_to,
        is_cut: page.is_cut,
        has_history: true,
        unreadable_blocks: page.unreadable_blocks,
    })
}

async fn waiting(
    admin: &Admin,
    filter: WaitingFilter,
    after: Option<Position>,
    most: usize,
) -> Result<EventsView, ApiError> {
    let page = admin.outbox().waiting(filter, after, most).await?;
    let line = |call: &WaitingCall| EventLine::of_waiting(call, admin.redactor());
    let mut events: Vec<EventLine> = page.calls.iter().map(line).collect();
    events.dedup_by(|next, earlier| next.id == earlier.id);
    Ok(EventsView { next: page.next.map(|next| next.to_string()), ..from_outbox(admin, events) })
}

async fn kept(
    admin: &Admin,
    filter: Filter,
    kinds: query::Kinds,
    before: i64,
    most: usize,
) -> Result<EventsView, ApiError> {
    let (outbox, redactor) = (admin.outbox().clone(), admin.redactor().clone());
    let read = move || -> Result<Vec<(i64, EventLine)>, ApiError> {
        let archive = outbox.archive().map_err(|error| ApiError::outbox(&error))?;
        let mut found = Vec::new();
        if kinds.dead_letters {
            let letters = archive.newest_dead_letters(&filter, before, most)?;
            let line = |letter: &DeadLetter| EventLine::of_dead_letter(letter, &redactor);
            found.extend(letters.iter().map(|letter| (letter.id, line(letter))));
        }
        if kinds.rejects {
            let rejects = archive.newest_rejects(&filter, before, most)?;
            let line = |reject: &StoredReject| EventLine::of_reject(reject, &redactor);
            found.extend(rejects.iter().map(|reject| (reject.id, line(reject))));
        }
        found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        found.truncate(most);
        Ok(found)
    };
    let found = tokio::task::spawn_blocking(read).await.map_err(|_| ApiError::failed())??;
    let next = if found.len() == most { found.last().map(|(number, _)| number.to_string()) } else { None };
    let mut events: Vec<EventLine> = found.into_iter().map(|(_, line)| line).collect();
    events.dedup_by(|next, earlier| next.id == earlier.id);
    Ok(EventsView { next, ..from_outbox(admin, events) })
}

fn from_outbox(admin: &Admin, events: Vec<EventLine>) -> EventsView {
    EventsView {
        events,
        next: None,
        searched_to: None,
        is_cut: false,
        has_history: admin.history().is_on(),
        unreadable_blocks: 0,
    }
}

/// What became of events, the newest first
#[utoipa::path(get, path = "/api/events", params(EventsQuery),
    responses((status = 200, body = EventsView), (status = 503)))]
pub(in crate::admin) async fn list(
    State(admin): State<Admin>,
    Parameters(query): Parameters<EventsQuery>,
) -> Result<Json<EventsView>, ApiError> {
    view(&admin, query).await.map(Json)
}

/// Reads everything that is known of one event. An error with the code `not_here` contains what else is known.
pub(in crate::admin) async fn known(admin: &Admin, id: &str) -> Result<KnownEvent, ApiError> {
    let Ok(event) = id.parse::<EventId>() else { return Err(missing::error(admin, id).await) };
    let known = KnownEvent::load(admin, event, Show::Hidden).await?;
    if known.is_known() { Ok(known) } else { Err(missing::error(admin, id).await) }
}

/// Returns everything that is known of one event.
pub async fn one_view(admin: &Admin, access: Access, id: &str) -> Result<EventView, ApiError> {
    let known = known(admin, id).await?;
    view_of(admin, access, &known)
}

/// Returns the view of an event that was read.
pub(in crate::admin) fn view_of(
    admin: &Admin,
    access: Access,
    known: &KnownEvent,
) -> Result<EventView, ApiError> {
    one::view(admin, access, known).ok_or_else(ApiError::failed)
}

/// What became of one event, why, and what to do
#[utoipa::path(get, path = "/api/events/{id}", params(("id" = String, Path, description = "The event's id")),
    responses((status = 200, body = EventView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    access: Access,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<EventView>, ApiError> {
    one_view(&admin, access, &id).await.map(Json)
}

/// The event as it was received
#[derive(Debug, Serialize, ToSchema)]
pub struct OriginalView {
    pub id: String,
    /// JSON as it is, anything else as text.
    pub original: Value,
    /// The members of its batch that apply to all events.
    pub envelope: Option<Value>,
}

pub async fn original_view(admin: &Admin, access: Access, id: &str) -> Result<OriginalView, ApiError> {
    access.require_payloads()?;
    let event = one_view(admin, access, id).await?;
    match event.original {
        Some(original) => Ok(OriginalView { id: event.line.id, original, envelope: event.envelope }),
        None => Err(ApiError::not_found(
            "what this event held is not kept: the history keeps as much as [history] payload_rate allows",
        )),
    }
}

/// One event as it was received
#[utoipa::path(get, path = "/api/events/{id}/original", params(("id" = String, Path, description = "The event's id")),
    responses((status = 200, body = OriginalView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn original(
    State(admin): State<Admin>,
    access: Access,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<OriginalView>, ApiError> {
    original_view(&admin, access, &id).await.map(Json)
}

/// What support needs to see of an event, without its values and without its user.
#[derive(Debug, Serialize, ToSchema)]
pub struct SupportView {
    /// The relay's version.
    pub version: String,
    pub event: EventView,
    /// The status of the destinations.
    pub destinations: Vec<crate::admin::api::waiting::StateView>,
}

pub async fn support_view(admin: &Admin, id: &str) -> Result<SupportView, ApiError> {
    let mut event = one_view(admin, Access::Viewer { sees_payloads: false }, id).await?;
    for text in [&mut event.line.user, &mut event.line.group] {
        if !text.is_empty() {
            "[hidden]".clone_into(text);
        }
    }
    let destinations = crate::admin::api::waiting::states(admin);
    Ok(SupportView { version: env!("CARGO_PKG_VERSION").to_owned(), event, destinations })
}

/// One event for support: without its values and without its user
#[utoipa::path(get, path = "/api/events/{id}/support", params(("id" = String, Path, description = "The event's id")),
    responses((status = 200, body = SupportView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn support(
    State(admin): State<Admin>,
    PathName(id): PathName,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Result<Json<SupportView>, ApiError> {
    support_view(&admin, &id).await.map(Json)
}

/// Why each mapping matched an event or not, then or now
#[utoipa::path(get, path = "/api/events/{id}/explain",
    params(("id" = String, Path, description = "The event's id"), ExplainQuery),
    responses((status = 200, body = ExplainView), (status = 404), (status = 409), (status = 503)))]
pub(in crate::admin) async fn explain(
    State(admin): State<Admin>,
    access: Access,
    PathName(id): PathName,
    Parameters(query): Parameters<ExplainQuery>,
) -> Result<Json<ExplainView>, ApiError> {
    explain::view(&admin, access, &id, &query).await.map(Json)
}

/// The history could not be read.
pub(super) fn history_failed(error: &history::ReadError) -> ApiError {
    let code = if matches!(error, history::ReadError::Off) { "history_off" } else { "history_failed" };
    ApiError::new(http::StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
}
