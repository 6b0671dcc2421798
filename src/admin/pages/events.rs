//! `/events`: what became of every event, as a list that can be filtered, shared by its address, and watched live.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;

use super::shell::Shell;
use super::{assets, page, words};
use crate::admin::Admin;
use crate::admin::api::events::{self, EventsQuery, EventsView};
use crate::admin::error::ApiError;
use crate::admin::request::Parameters;
use crate::event_id::EventId;
use crate::history::Status;

const TYPES: [&str; 6] = ["track", "identify", "group", "page", "screen", "alias"];
/// The parameters that only the page's scripts read.
const SCRIPT_PARAMETERS: [&str; 1] = ["open"];

#[derive(Template)]
#[template(path = "events.html")]
struct EventsPage {
    shell: Shell,
    query: EventsQuery,
    from: String,
    /// The filter as the query of an address.
    filter: String,
    sources: Vec<String>,
    destinations: Vec<String>,
    has_archive: bool,
    /// Why no further events are recorded, if so.
    paused: Option<String>,
    result: Result<EventsView, ApiError>,
}

pub(super) async fn show(State(admin): State<Admin>, RawQuery(raw): RawQuery, shell: Shell) -> Response {
    let shell = shell.at("/events");
    let raw = raw.unwrap_or_default();
    let filter = filter_text(&raw);
    let query = match Parameters::<EventsQuery>::read(&filter) {
        Ok(query) => query,
        Err(error) => return shell.error(error),
    };
    let from = value(&raw, "from");
    let result = events::view(&admin, query.clone()).await;
    let sources = admin.receiver().sources();
    let list = EventsPage {
        shell,
        from,
        filter: without(&filter, "before"),
        sources: sources.iter().map(|source| source.name.to_string()).collect(),
        has_archive: admin.config().history.archive.is_some(),
        destinations: sources.destinations().iter().map(|one| one.name.to_string()).collect(),
        query,
        paused: admin.history().paused(),
        result,
    };
    page(StatusCode::OK, &list)
}

/// `/find?q=`: an event id leads to its page, `key:value` words become filters, and anything else is searched as any id.
pub(super) async fn find(RawQuery(raw): RawQuery) -> Response {
    let text = value(&raw.unwrap_or_default(), "q");
    let text = text.trim();
    if text.parse::<EventId>().is_ok() {
        return Redirect::to(&format!("/events/{}", text.to_lowercase())).into_response();
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    let mut rest = Vec::new();
    for word in text.split_whitespace() {
        match word.split_once(':') {
            Some((key, value)) if is_filter(key) && !value.is_empty() => drop(query.append_pair(key, value)),
            _ => rest.push(word),
        }
    }
    if !rest.is_empty() {
        query.append_pair("any", &rest.join(" "));
    }
    Redirect::to(&format!("/events?{}", query.finish())).into_response()
}

/// `/e/{id}`: the short address.
pub(super) async fn short(axum::extract::Path(id): axum::extract::Path<String>) -> Response {
    let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    Redirect::to(&format!("/events/{id}")).into_response()
}

fn is_filter(key: &str) -> bool {
    let known = <EventsQuery as utoipa::IntoParams>::into_params(|| None);
    known.iter().any(|one| one.name == key && !["before", "most"].contains(&key))
}

/// Returns the parameters without those that are empty or only for scripts.
fn filter_text(raw: &str) -> String {
    let pairs = form_urlencoded::parse(raw.as_bytes());
    let pairs = pairs.filter(|(key, value)| !value.is_empty() && !SCRIPT_PARAMETERS.contains(&&**key));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn without(raw: &str, name: &str) -> String {
    let pairs = form_urlencoded::parse(raw.as_bytes()).filter(|(key, _)| key != name);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn value(raw: &str, name: &str) -> String {
    let mut pairs = form_urlencoded::parse(raw.as_bytes());
    pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[expect(
    clippy::unused_self,
    clippy::ref_option,
    reason = "templates call methods, with references to fields"
)]
impl EventsPage {
    /// The statuses that a person chooses from.
    fn statuses(&self) -> impl Iterator<Item = &'static str> {
        Status::ALL.iter().map(|status| status.name())
    }

    fn types(&self) -> [&'static str; 6] {
        TYPES
    }

    fn is(&self, field: &Option<String>, value: &str) -> bool {
        field.as_deref() == Some(value)
    }

    /// Filters without a field on the page: they stay when the form is sent.
    fn others(&self) -> Vec<(&'static str, &str)> {
        let EventsQuery { group, message_id, mapping, reason, code, any, .. } = &self.query;
        let others = [
            ("group", group),
            ("message_id", message_id),
            ("mapping", mapping),
            ("reason", reason),
            ("code", code),
            ("any", any),
        ];
        others.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?))).collect()
    }

    fn has_history(&self) -> bool {
        self.result.as_ref().is_ok_and(|view| view.has_history)
    }

    /// Past events are in the history.
    fn can_replay(&self) -> bool {
        self.shell.can_change() && self.result.as_ref().is_ok_and(|view| view.has_history)
    }

    /// Live lines are added on top of the first page, unless the filter has an end.
    fn is_live(&self) -> bool {
        self.query.before.is_none()
            && self.query.from.is_none()
            && self.query.to.is_none()
            && self.has_history()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_search_leads_to_an_event_or_becomes_a_filter() {
        for (text, expected) in [
            ("65wzsb800a000", "/events/65wzsb800a000"),
            ("65WZSB800A000", "/events/65wzsb800a000"),
            ("u-1842", "/events?any=u-1842"),
            ("user:u-1 status:rejected", "/events?user=u-1&status=rejected"),
            ("http://a b", "/events?any=http%3A%2F%2Fa+b"),
            ("", "/events?"),
        ] {
            let raw = form_urlencoded::Serializer::new(String::new()).append_pair("q", text).finish();
            let response = find(RawQuery(Some(raw))).await;
            assert_eq!(response.headers()["location"], expected, "{text}");
        }
    }
}
