//! `POST /api/test/effect`: what a draft of mappings, or the mapping files as they are now, would change for kept events.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::events::explain::{RequestView, request};
use super::test::{Draft, drafted};
use crate::accoil::{Plan, Refusal};
use crate::admin::Admin;
use crate::admin::answer::Json;
use crate::admin::error::ApiError;
use crate::admin::request::{NoParameters, Parameters, Payload};
use crate::history::{self, Redactor, Show, Status};
use crate::outbox::{Filter, StoredReject};
use crate::pipeline::Sources;
use crate::replay::{self, Effect, EffectExample, KeptEvent};

/// The number of events that are tried, unless the request names one.
const DEFAULT_EVENTS: usize = 500;
const MAX_EVENTS: usize = 1000;

/// Mappings to try on events that are kept.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EffectRequest {
    /// Mappings to try instead of those in force; the mapping files as they are now if it is left out.
    pub draft: Option<Draft>,
    /// Which kept events to try.
    pub select: EffectSelect,
    /// The most events, the newest first; 500 if it is left out, 1,000 at most.
    pub most: Option<usize>,
}

/// Which kept events are tried.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EffectSelect {
    pub kind: EffectKind,
    /// As for a replay: `user`, `event`, `message_id`, `reason`, `since`, `until`, …; all that is given must hold.
    #[schema(value_type = Object)]
    pub filter: Filter,
}

/// Where the kept events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EffectKind {
    /// From the history, whatever became of them.
    #[default]
    Event,
    /// From the rejects.
    Reject,
}

/// What the other mappings would change. `same`, `different`, `refused` and `gone` add up to `looked_at`.
#[derive(Debug, Serialize, ToSchema)]
pub struct EffectView {
    /// How many events were tried.
    pub looked_at: u64,
    /// Events whose calls do not change.
    pub same: u64,
    /// Events that become other calls, or calls instead of none, or none instead of calls.
    pub different: u64,
    /// Events that the other mappings refuse, at least in part.
    pub refused: u64,
    /// Events whose source is no longer configured, or whose form this version does not read.
    pub gone: u64,
    /// Of `different`: events that the mappings in force refuse and the other mappings accept completely.
    pub fixed: u64,
    /// Of `refused`: events that the mappings in force accept completely.
    pub newly_refused: u64,
    /// Matching events that could not be tried, because their payload is not kept.
    pub not_kept: u64,
    /// True if more events match than were tried.
    pub is_cut: bool,
    /// Up to five of each kind of change.
    pub examples: Vec<EffectExampleView>,
}

/// What changes for one event.
#[derive(Debug, Serialize, ToSchema)]
pub struct EffectExampleView {
    /// The event's id.
    pub event: String,
    /// `fixed`, `different`, `newly refused` or `still refused`.
    pub change: String,
    /// What the mappings in force make of it.
    pub before: OutcomeView,
    /// What the other mappings make of it.
    pub after: OutcomeView,
}

/// What mappings make of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct OutcomeView {
    pub requests: Vec<RequestView>,
    /// Why mappings refuse it.
    pub rejected: Vec<Value>,
    /// The code of the reason why there is nothing to send, if there is none.
    pub skipped: Option<String>,
}

/// The events to try, how many have no payload, and whether there are more.
#[derive(Default)]
struct EventsToTry {
    events: Vec<KeptEvent>,
    not_kept: u64,
    is_cut: bool,
}

/// Tries the draft on the newest kept events. Nothing is sent or changed. The examples hold values of events.
pub async fn view(admin: &Admin, request: EffectRequest) -> Result<EffectView, ApiError> {
    let in_force = admin.receiver().sources();
    let other = match request.draft {
        Some(draft) => drafted(Arc::clone(&in_force), draft).await?,
        None => reloaded(Arc::clone(&in_force)).await?,
    };
    let most = request.most.unwrap_or(DEFAULT_EVENTS).clamp(1, MAX_EVENTS);
    let (admin, select) = (admin.clone(), request.select);
    let compare = move || {
        let EventsToTry { events, not_kept, is_cut } = match select.kind {
            EffectKind::Event => of_history(&admin, &select.filter, most)?,
            EffectKind::Reject => of_rejects(&admin, &select.filter, most)?,
        };
        let looked_at = events.len() as u64;
        let effect = Effect::of(&in_force, &other, &admin.config().limits, events);
        let examples = effect.examples.iter().map(|one| example(admin.redactor(), one)).collect();
        let Effect { same, different, refused, gone, fixed, newly_refused, .. } = effect;
        Ok(EffectView {
            looked_at,
            same,
            different,
            refused,
            gone,
            fixed,
            newly_refused,
            not_kept,
            is_cut,
            examples,
        })
    };
    tokio::task::spawn_blocking(compare).await.map_err(|_| ApiError::failed())?
}

/// The sources with the mapping files as they are now.
async fn reloaded(in_force: Arc<Sources>) -> Result<Arc<Sources>, ApiError> {
    let read = tokio::task::spawn_blocking(move || in_force.reload()).await;
    let read = read.map_err(|_| ApiError::failed())?;
    read.map(Arc::new).map_err(|faults| super::mappings::invalid("the mapping files have faults", &faults))
}

fn of_rejects(admin: &Admin, filter: &Filter, most: usize) -> Result<EventsToTry, ApiError> {
    let archive = admin.outbox().archive().map_err(|error| ApiError::outbox(&error))?;
    let mut rejects = archive.newest_rejects(filter, i64::MAX, most + 1)?;
    let is_cut = rejects.len() > most;
    rejects.truncate(most);
    Ok(EventsToTry { events: rejects.into_iter().map(KeptEvent::from).collect(), not_kept: 0, is_cut })
}

impl From<StoredReject> for KeptEvent {
    fn from(reject: StoredReject) -> Self {
        Self {
            id: reject.event,
            source: reject.source,
            form: reject.form,
            received_at: reject.at,
            original: String::from_utf8_lossy(&reject.original).into_owned(),
            envelope: reject.envelope,
        }
    }
}

fn of_history(admin: &Admin, filter: &Filter, most: usize) -> Result<EventsToTry, ApiError> {
    if !filter.ids.is_empty() || filter.group.is_some() {
        let error = "ids and group select rejects: name an event of the history by its id, as event";
        return Err(ApiError::invalid(error));
    }
    let mut filter = replay::of_history(filter);
    filter.statuses = Status::ALL.into_iter().filter(|status| *status != Status::Duplicate).collect();
    let page = admin.history().search_whole(&filter, None, most, Show::Whole);
    let page = page.map_err(|error| super::events::history_failed(&error))?;
    let mut found = EventsToTry { is_cut: page.next.is_some(), ..EventsToTry::default() };
    for (line, payload) in page.lines.into_iter().zip(page.payloads).filter(|(line, _)| !line.is_replay) {
        let Some(payload) = payload else {
            found.not_kept += 1;
            continue;
        };
        found.events.push(KeptEvent {
            id: line.id,
            source: line.shape.source.to_string(),
            form: line.shape.form.to_string(),
            received_at: line.at(),
            original: payload.original.into(),
            envelope: payload.envelope.as_deref().map(ToOwned::to_owned),
        });
    }
    Ok(found)
}

/// An example without what the configuration hides.
fn example(redactor: &Redactor, example: &EffectExample) -> EffectExampleView {
    let EffectExample { change, event, before, after } = example;
    let bodies = before.requests.iter().chain(&after.requests);
    let bodies = bodies.map(|request| std::str::from_utf8(&request.body).unwrap_or_default());
    let values = redactor.find(bodies.chain([event.original.as_str()]).chain(event.envelope.as_deref()));
    EffectExampleView {
        event: event.id.to_string(),
        change: change.name().to_owned(),
        before: outcome(redactor, &values, before),
        after: outcome(redactor, &values, after),
    }
}

fn outcome(redactor: &Redactor, values: &history::HiddenValues, plan: &Plan) -> OutcomeView {
    let shown = |one: &crate::accoil::Request| {
        let mut view = request(one);
        if let Some(hidden) = redactor.hidden(&view.body.to_string(), values) {
            view.body = serde_json::from_str(&hidden).unwrap_or_default();
        }
        if let Some(hidden) = values.hidden_in(&view.warnings) {
            view.warnings = hidden;
        }
        view
    };
    let rejected = Refusal::to_json(&plan.rejected);
    let rejected = values.hidden_in(&rejected).unwrap_or(rejected);
    OutcomeView {
        requests: plan.requests.iter().map(shown).collect(),
        rejected: serde_json::from_str(&rejected).unwrap_or_default(),
        skipped: plan.skipped.map(|reason| reason.code().to_owned()),
    }
}

/// What other mappings would change for the newest kept events
///
/// Nothing is sent or changed.
#[utoipa::path(post, path = "/api/test/effect", request_body = EffectRequest,
    responses((status = 200, body = EffectView), (status = 404), (status = 503)))]
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
    Payload(request): Payload<EffectRequest>,
) -> Result<Json<EffectView>, ApiError> {
    view(&admin, request).await.map(Json)
}
