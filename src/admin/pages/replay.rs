//! The replay of past events from `/events`: a dry run of what the filters select, then the job.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::failures::started;
use super::markup::Markup;
use super::shell::Shell;
use super::visitor::Form;
use super::{assets, done, page, words};
use crate::admin::Admin;
use crate::admin::api::events::EventsQuery;
use crate::admin::api::replays::{self, DryRunView, ReplayRequest};
use crate::admin::error::ApiError;
use crate::admin::request::Parameters;
use crate::replay::{How, PastSelect, Select};

#[derive(Template)]
#[template(path = "replay.html")]
struct ReplayPage {
    shell: Shell,
    run: DryRunView,
    /// The selection with exact times, as JSON: the job takes what the dry run counted.
    select: String,
    how: &'static str,
    rate: String,
    /// The filter of the list that this came from.
    filter: String,
    examples: Vec<Markup>,
}

/// Tries a replay of the filtered events, or starts it.
pub(super) async fn act(State(admin): State<Admin>, shell: Shell, form: Form) -> Response {
    let back = format!("/events?{}", form.get("filter"));
    match form.get("do") {
        "try" => match try_replay(&admin, shell, &form).await {
            Ok(tried) => page(StatusCode::OK, &tried),
            Err(error) => done(&back, Err(error)),
        },
        "replay" => match of_form(&form) {
            Ok(request) => started("/events", replays::start_view(&admin, request).await),
            Err(error) => done("/events", Err(error)),
        },
        _ => done(&back, Err(ApiError::invalid("the form has no known button"))),
    }
}

async fn try_replay(admin: &Admin, shell: Shell, form: &Form) -> Result<ReplayPage, ApiError> {
    let mut query: EventsQuery = Parameters::read(form.get("filter"))?;
    (query.before, query.most) = (None, None);
    let archive = form.get("archive") == "yes";
    let select = Select::Event(PastSelect { filter: query.filter()?, archive, history: None });
    let frozen = serde_json::to_string(&select).map_err(|_| ApiError::failed())?;
    let run = replays::dry_view(admin, request(select, form, true)?).await?;
    Ok(ReplayPage {
        shell: shell.at("/events"),
        select: frozen,
        how: if is_as_sent(form) { "as_sent" } else { "mappings" },
        rate: form.get("rate").to_owned(),
        filter: form.get("filter").to_owned(),
        examples: run.examples.iter().map(Markup::json).collect(),
        run,
    })
}

fn of_form(form: &Form) -> Result<ReplayRequest, ApiError> {
    let select = serde_json::from_str(form.get("select"))
        .map_err(|error| ApiError::invalid(format!("the form cannot be used: {error}")))?;
    request(select, form, false)
}

fn request(select: Select, form: &Form, dry_run: bool) -> Result<ReplayRequest, ApiError> {
    let rate = match form.get("rate").trim() {
        "" => None,
        rate => Some(rate.parse().map_err(|_| ApiError::invalid("events a second must be a whole number"))?),
    };
    Ok(ReplayRequest {
        select,
        how: if is_as_sent(form) { How::AsSent } else { How::Mappings },
        mappings: Vec::new(),
        rate,
        dry_run,
        up_to: form.get("up_to").parse().ok(),
        expect: form.get("expect").parse().ok(),
    })
}

fn is_as_sent(form: &Form) -> bool {
    form.get("how") == "as_sent"
}

impl ReplayPage {
    fn sent(&self) -> u64 {
        self.run.same + self.run.different
    }

    /// Returns each number that is worth a line, with what it counts.
    fn counts(&self) -> Vec<(&'static str, u64)> {
        let run = &self.run;
        let counts = [
            ("as they were sent before", run.same),
            ("differently, or for the first time", run.different),
            ("not sent: refused, or nothing to send", run.refused),
            ("not sent: their source, destination or mapping is gone", run.gone),
            ("not sent: what they held is not kept", run.not_kept),
            ("not sent: their hidden values were not stored", run.redacted),
            ("damaged blocks of the history, whose events are not counted", run.unreadable_blocks),
            ("damaged files of the archive, whose other events are not counted", run.unreadable_files),
        ];
        counts.into_iter().filter(|(_, count)| *count > 0).collect()
    }
}
