//! `/tester`: what the mappings make of an event, with a draft of a mapping file if one is given; then the event for real.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::explained::ExplainedMapping;
use super::markup::Markup;
use super::shell::Shell;
use super::visitor::Form;
use super::{assets, page, words};
use crate::admin::Admin;
use crate::admin::api::effect::{self, EffectKind, EffectRequest, EffectSelect, EffectView, OutcomeView};
use crate::admin::api::events::explain::{self, ExplainQuery};
use crate::admin::api::events::{self, ExplainView};
use crate::admin::api::mappings::FaultView;
use crate::admin::api::test::{self, Draft, TestRequest};
use crate::admin::error::ApiError;
use crate::admin::guard::Access;

/// The kept rejects, and the kept events, on which a draft is tried.
const MAX_REJECTS: usize = 1000;
const MAX_EVENTS: usize = 500;

const SAMPLE: &str = r#"{
  "type": "track",
  "event": "Report Created",
  "userId": "u-1842",
  "properties": { "pages": 12 }
}"#;
const AMPLITUDE_SAMPLE: &str = r#"{
  "event_type": "Report Created",
  "user_id": "u-1842",
  "event_properties": { "pages": 12 }
}"#;

#[derive(Template)]
#[template(path = "tester.html")]
struct TesterPage {
    shell: Shell,
    sources: Vec<String>,
    destinations: Vec<String>,
    source: String,
    destination: String,
    event: String,
    draft: String,
    outcome: Option<Outcome>,
}

/// The result of a try.
enum Outcome {
    Tried {
        matched: Vec<ExplainedMapping>,
        others: Vec<ExplainedMapping>,
        calls: Vec<Call>,
        refusals: Vec<String>,
        skipped: String,
    },
    /// The effect of the draft on kept events.
    Effect {
        rejects: EffectView,
        /// `None` without a history.
        events: Option<EffectView>,
    },
    Fault {
        error: String,
        faults: Vec<FaultView>,
        place: Option<FaultPlace>,
    },
}

struct Call {
    title: String,
    warnings: String,
    body: Markup,
}

/// The place of the fault in a field of the form.
struct FaultPlace {
    field: &'static str,
    line: usize,
    column: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TesterQuery {
    /// The kept event to begin with.
    event: String,
    /// The mapping with which the draft begins.
    mapping: String,
    source: String,
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Query(query): Query<TesterQuery>,
    shell: Shell,
) -> Response {
    let mut tester = TesterPage::new(&admin, shell);
    if let Some(known) = tester.sources.iter().find(|source| **source == query.source) {
        tester.source.clone_from(known);
    }
    if !query.event.is_empty() {
        match events::one_view(&admin, tester.shell.access, &query.event).await {
            Ok(view) => {
                tester.source = view.line.source;
                let original =
                    view.original.and_then(|original| serde_json::to_string_pretty(&original).ok());
                tester.event = original.unwrap_or_default();
                if let Some((destination, draft)) =
                    draft_of(&admin, tester.shell.access, &query.event, &query.mapping).await
                {
                    (tester.destination, tester.draft) = (destination, draft);
                }
            }
            Err(error) => tester.outcome = Some(Outcome::fault(error)),
        }
    } else if admin
        .receiver()
        .sources()
        .named(&tester.source)
        .is_some_and(|source| source.kind.name() == "amplitude")
    {
        AMPLITUDE_SAMPLE.clone_into(&mut tester.event);
    }
    page(StatusCode::OK, &tester)
}

/// Returns the mapping in force that refuses the event, in the form of a file, and its destination.
async fn draft_of(admin: &Admin, access: Access, event: &str, mapping: &str) -> Option<(String, String)> {
    let view = explain::view(admin, access, event, &ExplainQuery::default()).await.ok()?;
    let (matched, _) = ExplainedMapping::of(&view);
    let explained = matched.into_iter().find(|explained| explained.mapping == mapping)?;
    let draft = explained.draft();
    Some((explained.destination, draft))
}

/// Tries the event, or sends it.
pub(super) async fn run(State(admin): State<Admin>, shell: Shell, form: Form) -> Response {
    let mut tester = TesterPage::new(&admin, shell);
    for (name, field) in [
        ("source", &mut tester.source),
        ("destination", &mut tester.destination),
        ("event", &mut tester.event),
        ("draft", &mut tester.draft),
    ] {
        // Browsers send line breaks as two characters.
        *field = form.get(name).replace("\r\n", "\n");
    }
    let draft = Some(Draft { destination: tester.destination.clone(), document: tester.draft.clone() });
    let draft = draft.filter(|draft| !draft.document.trim().is_empty());
    if form.get("do") == "effect" {
        let effect = effect_of(&admin, draft).await;
        let status = effect.as_ref().map_or_else(|error| error.status, |_| StatusCode::OK);
        tester.outcome =
            Some(effect.map_or_else(Outcome::fault, |(rejects, events)| Outcome::Effect { rejects, events }));
        return page(status, &tester);
    }
    let event: Value = match serde_json::from_str(&tester.event) {
        Ok(event) => event,
        Err(error) => {
            tester.outcome = Some(Outcome::not_json(&error));
            return page(StatusCode::BAD_REQUEST, &tester);
        }
    };
    let mut request =
        TestRequest { source: Some(tester.source.clone()), event: Some(event), user: None, draft: None };
    if form.get("do") == "send" {
        match test::send_view(&admin, &request).await {
            Ok(sent) if !sent.ids.is_empty() => {
                return Redirect::to(&format!("/events/{}", sent.ids.join(""))).into_response();
            }
            Ok(sent) => {
                let error = ApiError::invalid(format!("the relay answered {}: {}", sent.status, sent.answer));
                tester.outcome = Some(Outcome::fault(error));
            }
            Err(error) => tester.outcome = Some(Outcome::fault(error)),
        }
        return page(StatusCode::OK, &tester);
    }
    request.draft = draft;
    let tried = test::dry_view(&admin, request).await;
    let status = tried.as_ref().map_or_else(|error| error.status, |_| StatusCode::OK);
    tester.outcome = Some(tried.map_or_else(Outcome::fault, |view| Outcome::tried(&view)));
    page(status, &tester)
}

/// Returns what the draft, or the present mapping files, would change for the kept rejects and the newest events.
pub(super) async fn effect_of(
    admin: &Admin,
    draft: Option<Draft>,
) -> Result<(EffectView, Option<EffectView>), ApiError> {
    let ask = async |kind: EffectKind, most: usize| {
        let select = EffectSelect { kind, ..EffectSelect::default() };
        effect::view(admin, EffectRequest { draft: draft.clone(), select, most: Some(most) }).await
    };
    let rejects = ask(EffectKind::Reject, MAX_REJECTS).await?;
    let events = if admin.history().is_on() { Some(ask(EffectKind::Event, MAX_EVENTS).await?) } else { None };
    Ok((rejects, events))
}

impl TesterPage {
    fn new(admin: &Admin, shell: Shell) -> Self {
        let sources = admin.receiver().sources();
        let names: Vec<String> = sources.iter().map(|source| source.name.to_string()).collect();
        let destinations: Vec<String> =
            sources.destinations().iter().map(|one| one.name.to_string()).collect();
        Self {
            shell: shell.at("/tester"),
            source: names.first().cloned().unwrap_or_default(),
            destination: destinations.first().cloned().unwrap_or_default(),
            sources: names,
            destinations,
            event: SAMPLE.to_owned(),
            draft: String::new(),
            outcome: None,
        }
    }
}

impl Outcome {
    /// Returns what the mappings make of an event, in a few words.
    fn made(made: &OutcomeView) -> String {
        let calls: Vec<String> =
            made.requests.iter().map(|call| format!("{} by {}", call.path, call.mapping)).collect();
        let refusals = made.rejected.iter().map(|refusal| {
            let text = |key: &str| refusal[key].as_str().unwrap_or_default();
            format!("refused: {} {}", text("field"), text("reason"))
        });
        let parts: Vec<String> = calls.into_iter().chain(refusals).collect();
        if parts.is_empty() { "nothing is sent".to_owned() } else { parts.join("; ") }
    }

    /// Returns whether the draft refuses events that are accepted now.
    fn is_worse(rejects: &EffectView, events: Option<&EffectView>) -> bool {
        rejects.newly_refused + events.map_or(0, |events| events.newly_refused) > 0
    }

    fn tried(view: &ExplainView) -> Self {
        let (matched, others) = ExplainedMapping::of(view);
        let call = |request: &events::explain::RequestView| Call {
            title: format!("{} → POST {} to {}", request.mapping, request.path, request.destination),
            warnings: request.warnings.clone(),
            body: Markup::json(&request.body),
        };
        let refusal = |refusal: &Value| {
            let text = |key: &str| refusal[key].as_str().unwrap_or_default();
            format!("{}: {} {}", text("mapping"), text("field"), text("reason"))
        };
        Self::Tried {
            matched,
            others,
            calls: view.requests.iter().map(call).collect(),
            refusals: view.rejected.iter().map(refusal).collect(),
            skipped: view.skipped.clone().unwrap_or_default(),
        }
    }

    fn fault(error: ApiError) -> Self {
        let faults: Vec<FaultView> = error
            .more
            .get("faults")
            .cloned()
            .and_then(|faults| serde_json::from_value(faults).ok())
            .unwrap_or_default();
        let place = faults.first().filter(|fault| fault.line > 0);
        let place = place.map(|fault| FaultPlace { field: "draft", line: fault.line, column: fault.column });
        Self::Fault { error: error.error, faults, place }
    }

    fn not_json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or_default();
        Self::Fault {
            error: format!("The event is not JSON: {what}, at line {line}, column {column}."),
            faults: Vec::new(),
            place: Some(FaultPlace { field: "event", line, column }),
        }
    }
}
