//! `/events/ID`: what became of one event and why, its way through the stages, and what was received beside what was mapped and sent.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;

use super::explained::{ExplainedMapping, as_events};
use super::login::with_cookie;
use super::markup::Markup;
use super::shell::{Message, Shell};
use super::visitor::Form;
use super::{assets, done, page, words};
use crate::admin::Admin;
use crate::admin::api::events::explain;
use crate::admin::api::events::{self, EventView, KnownEvent};
use crate::admin::api::users::{self, UserQuery};
use crate::admin::api::waiting;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;
use crate::event::SourceKind;
use crate::outbox::WaitingFilter;

#[derive(Template)]
#[template(path = "event.html")]
struct EventPage {
    shell: Shell,
    event: EventView,
    /// `then` or `now`.
    mappings: &'static str,
    explained: Result<Explanation, ApiError>,
    original: Option<Markup>,
    envelope: Option<Markup>,
    /// One for each call, if its body is kept.
    bodies: Vec<Option<Markup>>,
    /// Whether Accoil can be asked for the event's user.
    can_verify: bool,
}

struct Explanation {
    matched: Vec<ExplainedMapping>,
    others: Vec<ExplainedMapping>,
    /// Mappings for the other kind of source.
    elsewhere: usize,
    events: Vec<Markup>,
}

/// An id that the relay does not know.
#[derive(Template)]
#[template(path = "not_here.html")]
struct NotHerePage {
    shell: Shell,
    error: ApiError,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct View {
    #[serde(default)]
    mappings: String,
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Query(view): Query<View>,
    shell: Shell,
) -> Response {
    let shell = shell.at("/events");
    // Read once: with a full history, reading takes most of the page's time.
    let known = match events::known(&admin, &id).await {
        Ok(known) => known,
        Err(error) if error.code == "not_here" => {
            return page(StatusCode::NOT_FOUND, &NotHerePage { shell, error });
        }
        Err(error) => return shell.error(error),
    };
    let event = match events::view_of(&admin, shell.access, &known) {
        Ok(event) => event,
        Err(error) => return shell.error(error),
    };
    let (mappings, explained) = explanation(&admin, &shell, &id, &known, &view.mappings).await;
    // Segment's events are mapped as they are sent, so a mapping's paths are those of the sent event.
    let is_segment = admin
        .receiver()
        .sources()
        .named(&event.line.source)
        .is_some_and(|one| one.kind == SourceKind::Segment);
    let faulty = explained.as_ref().ok().filter(|_| is_segment);
    let faulty: Vec<String> =
        faulty.into_iter().flat_map(|one| &one.matched).flat_map(ExplainedMapping::faulty_paths).collect();
    let was_delivered = event.calls.iter().any(|call| call.status == "delivered");
    let page_of_event = EventPage {
        can_verify: was_delivered
            && !event.line.user.is_empty()
            && shell.can_change()
            && admin.accounts().is_some(),
        shell,
        mappings,
        explained,
        original: event.original.as_ref().map(|original| Markup::marked(original, &faulty)),
        envelope: event.envelope.as_ref().map(Markup::json),
        bodies: event.calls.iter().map(|call| call.body.as_ref().map(Markup::json)).collect(),
        event,
    };
    page(StatusCode::OK, &page_of_event)
}

/// By the mappings that were in force when the event came, if they are kept and the page does not ask for the present ones.
async fn explanation(
    admin: &Admin,
    shell: &Shell,
    id: &str,
    known: &KnownEvent,
    asked: &str,
) -> (&'static str, Result<Explanation, ApiError>) {
    let ask = async |is_then: bool| {
        explain::view_of(admin, shell.access, id, known, is_then).await.map(|view| {
            let (matched, mut others) = ExplainedMapping::of(&view);
            let all = others.len();
            others.retain(|other| !other.is_of_other_sources());
            Explanation { matched, elsewhere: all - others.len(), others, events: as_events(&view) }
        })
    };
    if asked != "now" {
        let then = ask(true).await;
        if then.is_ok() || asked == "then" {
            return ("then", then);
        }
    }
    ("now", ask(false).await)
}

/// Handles the page's buttons.
pub(super) async fn change(State(admin): State<Admin>, Path(id): Path<String>, form: Form) -> Response {
    let back = format!("/events/{}", form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>());
    let result = match form.get("do") {
        "retry" => retry(&admin, id).await,
        "verify" => match verify(&admin, &id).await {
            Ok((tone, text)) => {
                return with_cookie(Redirect::to(&back).into_response(), &Message::cookie(tone, &text));
            }
            Err(error) => Err(error),
        },
        _ => Err(ApiError::invalid("the form has no known button")),
    };
    done(&back, result)
}

/// Asks Accoil for the event's user, because an answer of 202 alone proves nothing: a wrong key gets it too.
async fn verify(admin: &Admin, id: &str) -> Result<(&'static str, String), ApiError> {
    let user = events::one_view(admin, Access::Full, id).await?.line.user;
    let query = UserQuery { match_type: None, match_value: Some(user.clone()) };
    let view = users::view(admin, query).await?;
    Ok(if view.is_known {
        ("ok", format!("Accoil has {user}. The calls have arrived, and the key is right."))
    } else {
        let text = format!(
            "Accoil does not have {user}. If it took the call minutes ago, compare the destination's key with Accoil's settings: a wrong key is answered with 202 too."
        );
        ("wait", text)
    })
}

async fn retry(admin: &Admin, event: String) -> Result<String, ApiError> {
    let filter = WaitingFilter { event: Some(event), ..WaitingFilter::default() };
    let view = waiting::retry_view(admin, &filter).await?;
    Ok(if view.users == 0 {
        "No call of this event waits any more."
    } else {
        "Its waiting calls are tried now."
    }
    .to_owned())
}

impl EventPage {
    fn title(&self) -> &str {
        words::title(&self.event.line)
    }

    /// Returns what happened, in a few words.
    fn verdict(&self) -> String {
        match &self.event.reason {
            Some(reason) => words::capitalized(&reason.title),
            None => words::capitalized(&self.event.line.status),
        }
    }

    fn tone(&self) -> &'static str {
        words::tone(&self.event.line.status)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
    fn body(&self, index: &usize) -> Option<&Markup> {
        self.bodies.get(*index).and_then(Option::as_ref)
    }

    /// Returns the draft with which the tester begins.
    fn refusing_mapping(&self) -> String {
        let refusal = self.event.refusals.iter().find(|refusal| !refusal.mapping.is_empty());
        refusal.map(|refusal| refusal.mapping.clone()).unwrap_or_default()
    }

    fn is_waiting(&self) -> bool {
        self.event.line.status == "waiting"
    }
}

impl NotHerePage {
    /// Returns the groups of refused requests: title, route, count, what to do.
    fn groups(&self) -> Vec<(String, String, u64, String)> {
        let groups = self.error.more.get("turned_away_groups").and_then(|groups| groups.as_array());
        let text = |group: &serde_json::Value, key: &str| group[key].as_str().unwrap_or_default().to_owned();
        let group = |group: &serde_json::Value| {
            let count = group["count"].as_u64().unwrap_or_default();
            (words::capitalized(&text(group, "title")), text(group, "route"), count, text(group, "to_do"))
        };
        groups.into_iter().flatten().map(group).collect()
    }

    /// Returns the sources, and when each last sent an event.
    fn sources(&self) -> Vec<(String, Option<chrono::DateTime<chrono::Utc>>)> {
        let sources = self.error.more.get("sources").and_then(|sources| sources.as_array());
        let source = |source: &serde_json::Value| {
            let heard = source["last_heard"].as_str().and_then(|at| at.parse().ok());
            (source["name"].as_str().unwrap_or_default().to_owned(), heard)
        };
        sources.into_iter().flatten().map(source).collect()
    }
}
