//! The answer for an event that the relay does not know: how far back the history goes, when each source last sent an event, and
//! which requests were refused since the start.

use http::StatusCode;
use serde_json::json;

use crate::admin::Admin;
use crate::admin::api::door;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;
use crate::history;

/// The most groups of refused requests in the answer.
const MAX_GROUPS: usize = 5;
/// The most sources in the answer.
const MAX_SOURCES: usize = 20;

/// Returns 404 with the code `not_here`.
pub(super) async fn error(admin: &Admin, id: &str) -> ApiError {
    let (since, sources) = record(admin).await;
    let mut door = door::view(admin, Access::Viewer { sees_payloads: false });
    door.groups.truncate(MAX_GROUPS);
    let turned_away: Vec<_> = door.groups.iter().map(|group| {
        json!({"code": group.reason.code, "title": group.reason.title, "to_do": group.reason.to_do, "route": group.route,
            "count": group.count, "last": group.last})
    }).collect();
    let shown: String = id.chars().take(64).collect();
    let back = match since {
        Some(since) => format!("the record goes back to {}", since.format("%Y-%m-%d %H:%M:%SZ")),
        None if admin.history().is_on() => "the record has no event yet".to_owned(),
        None => "no history is kept, so that only what waits or failed is known".to_owned(),
    };
    let text = format!(
        "no event with the id {shown:?} reached this relay: {back}, and {} requests were refused since the start. \
         Compare the sender's host and write key with GET /api/setup; look at GET /api/door",
        door.count
    );
    ApiError::new(StatusCode::NOT_FOUND, "not_here", text)
        .with("record_since", json!(since))
        .with("sources", json!(sources))
        .with("turned_away", json!(door.count))
        .with("turned_away_groups", json!(turned_away))
}

/// Returns how far back the history goes, and when each source last sent an event.
async fn record(admin: &Admin) -> (Option<chrono::DateTime<chrono::Utc>>, Vec<serde_json::Value>) {
    let reader = admin.history().clone();
    let names: Vec<String> =
        admin.receiver().sources().iter().take(MAX_SOURCES).map(|source| source.name.to_string()).collect();
    let read = move || {
        let since = reader.state().ok().and_then(|state| state.since);
        let last = |name: &String| {
            let filter = history::Filter { source: Some(name.clone()), ..history::Filter::default() };
            let page = reader.search(&filter, None, 1).ok()?;
            page.lines.first().map(history::Line::at)
        };
        let sources = names.iter().map(|name| json!({"name": name, "last_heard": last(name)})).collect();
        (since, sources)
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}
