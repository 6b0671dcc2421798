//! `/failures`: failures by reason, one reason, and the jobs that send failures again.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;
use serde_json::json;

use super::markup::Markup;
use super::shell::Shell;
use super::visitor::Form;
use super::{assets, chart, done, page, words};
use crate::admin::Admin;
use crate::admin::api::failures::{self, FailuresView, OneGroupView};
use crate::admin::api::replays::{
    self, DryRunView, JobView, JobsQuery, JobsView, PurgeRequest, ReplayRequest,
};
use crate::admin::error::ApiError;

#[derive(Template)]
#[template(path = "failures.html")]
struct FailuresPage {
    shell: Shell,
    view: FailuresView,
}

#[derive(Template)]
#[template(path = "group.html")]
struct GroupPage {
    shell: Shell,
    view: OneGroupView,
    spark: Markup,
    preview: Option<ReplayPreview>,
}

/// The result of a dry run of a replay.
struct ReplayPreview {
    run: DryRunView,
    how: String,
    only: String,
    rate: String,
    examples: Vec<Markup>,
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct JobsPage {
    shell: Shell,
    view: JobsView,
    /// The page of one job.
    is_one: bool,
}

pub(super) async fn show(State(admin): State<Admin>, shell: Shell) -> Response {
    match failures::view(&admin).await {
        Ok(view) => page(StatusCode::OK, &FailuresPage { shell: shell.at("/failures"), view }),
        Err(error) => shell.error(error),
    }
}

pub(super) async fn group(State(admin): State<Admin>, Path(key): Path<String>, shell: Shell) -> Response {
    group_page(&admin, &key, shell, None).await
}

async fn group_page(admin: &Admin, key: &str, shell: Shell, preview: Option<ReplayPreview>) -> Response {
    let shell = shell.at("/failures");
    let view = match failures::one_view(admin, key).await {
        Ok(view) => view,
        Err(error) => return shell.error(error),
    };
    let hours: Vec<u64> = view.by_hour.iter().map(|hour| hour.count).collect();
    let label = format!("{} in {} hours that had some", view.group.count, hours.len());
    let spark = Markup::chart(chart::sparkline("b-fail", &label, &hours));
    page(StatusCode::OK, &GroupPage { shell, view, spark, preview })
}

/// Tries a replay of the group, starts it, or removes the group.
pub(super) async fn act(
    State(admin): State<Admin>,
    Path(key): Path<String>,
    shell: Shell,
    form: Form,
) -> Response {
    let back = format!("/failures/{}", form_urlencoded::byte_serialize(key.as_bytes()).collect::<String>());
    let view = match failures::one_view(&admin, &key).await {
        Ok(view) => view,
        Err(error) => return shell.error(error),
    };
    match form.get("do") {
        "try" => match try_replay(&admin, &view, &form).await {
            Ok(preview) => group_page(&admin, &key, shell, Some(preview)).await,
            Err(error) => done(&back, Err(error)),
        },
        "replay" => match replay_request(&view, &form, false) {
            Ok(request) => started(&back, replays::start_view(&admin, request).await),
            Err(error) => done(&back, Err(error)),
        },
        "purge" => started(&back, purge(&admin, &view, form.get("typed")).await),
        _ => done(&back, Err(ApiError::invalid("the form has no known button"))),
    }
}

pub(super) fn started(back: &str, job: Result<JobView, ApiError>) -> Response {
    match job {
        Ok(job) => Redirect::to(&format!("/failures/replays/{}", job.id)).into_response(),
        Err(error) => done(back, Err(error)),
    }
}

async fn try_replay(admin: &Admin, view: &OneGroupView, form: &Form) -> Result<ReplayPreview, ApiError> {
    let run = replays::dry_view(admin, replay_request(view, form, true)?).await?;
    Ok(ReplayPreview {
        examples: run.examples.iter().map(Markup::json).collect(),
        how: form.get("how").to_owned(),
        only: form.get("only").to_owned(),
        rate: form.get("rate").to_owned(),
        run,
    })
}

fn replay_request(view: &OneGroupView, form: &Form, dry_run: bool) -> Result<ReplayRequest, ApiError> {
    let number = |name: &str| form.get(name).parse::<u64>().ok();
    let mut request = json!({
        "select": view.group.select,
        "how": if form.get("how") == "as_sent" { "as_sent" } else { "mappings" },
        "dry_run": dry_run,
    });
    if form.get("only") == "yes" {
        request["mappings"] = json!([view.group.mapping]);
    }
    if let Some(rate) = number("rate") {
        request["rate"] = rate.into();
    }
    if !dry_run {
        request["expect"] = json!(number("expect"));
        request["up_to"] = json!(number("up_to"));
    }
    serde_json::from_value(request)
        .map_err(|error| ApiError::invalid(format!("the form cannot be used: {error}")))
}

/// A large number must be typed, because removed events cannot be restored.
async fn purge(admin: &Admin, view: &OneGroupView, typed: &str) -> Result<JobView, ApiError> {
    let select = || serde_json::from_value(view.group.select.clone());
    let failed = |error: serde_json::Error| ApiError::invalid(error.to_string());
    let counted = admin.jobs().count(&select().map_err(failed)?).await?;
    if typed.trim() != counted.count.to_string() {
        return Err(ApiError::invalid(format!(
            "nothing was removed: to remove them, type their number, {}",
            counted.count
        )));
    }
    let request = PurgeRequest {
        select: select().map_err(failed)?,
        dry_run: false,
        up_to: Some(counted.up_to),
        expect: Some(counted.count),
    };
    replays::purge_view(admin, request).await
}

pub(super) async fn jobs(State(admin): State<Admin>, shell: Shell) -> Response {
    match replays::list_view(&admin, &JobsQuery { before: None, most: None }).await {
        Ok(view) => page(StatusCode::OK, &JobsPage { shell: shell.at("/failures"), view, is_one: false }),
        Err(error) => shell.error(error),
    }
}

pub(super) async fn job(State(admin): State<Admin>, Path(id): Path<i64>, shell: Shell) -> Response {
    match admin.jobs().get(id).await {
        Ok(job) => {
            let view = JobsView { jobs: vec![job.into()], next: None };
            page(StatusCode::OK, &JobsPage { shell: shell.at("/failures"), view, is_one: true })
        }
        Err(error) => shell.error(error.into()),
    }
}

/// Pauses, resumes or cancels a job.
pub(super) async fn change_job(State(admin): State<Admin>, Path(id): Path<i64>, form: Form) -> Response {
    let jobs = admin.jobs();
    let result = match form.get("do") {
        "pause" => jobs.pause(id).await,
        "resume" => jobs.resume(id).await,
        _ => jobs.cancel(id).await,
    };
    let result =
        result.map(|job| format!("The job is {}.", JobView::from(job).state)).map_err(ApiError::from);
    done(&format!("/failures/replays/{id}"), result)
}

#[expect(clippy::unused_self, reason = "templates call methods of their page")]
impl JobsPage {
    fn order(&self, job: &JobView) -> Markup {
        Markup::json(&job.order)
    }

    /// Whether it replays past events.
    fn is_past(&self, job: &JobView) -> bool {
        job.order["select"]["kind"] == "event"
    }

    /// Returns the progress of a job in percent.
    fn share(&self, job: &JobView) -> u64 {
        ((job.done + job.failed) * 100).checked_div(job.expect).unwrap_or(100)
    }
}

impl GroupPage {
    /// Returns a short title; the whole sentence is below it.
    fn title(&self) -> String {
        let group = &self.view.group;
        let reason = group.reason.as_ref().map_or(group.title.as_str(), |reason| reason.title.as_str());
        let whose = if group.mapping.is_empty() { "" } else { group.mapping.as_str() };
        let field = if group.field.is_empty() { String::new() } else { format!(" ({})", group.field) };
        let separator = if whose.is_empty() { "" } else { ": " };
        let reason = if whose.is_empty() { words::capitalized(reason) } else { reason.to_owned() };
        format!("{whose}{separator}{reason}{field}")
    }

    /// Returns a member to look at, or to fix in the tester.
    fn first(&self) -> &str {
        self.view.events.first().map_or("", |event| &event.id)
    }

    fn is_reject(&self) -> bool {
        self.view.group.kind == "reject"
    }
}
