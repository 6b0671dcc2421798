//! `/accounts`: an account with Accoil's scores. `/syncs`: the kept runs of the syncs and the next ones, a dry run, and a real run.
//! `/syncs/RUN`: one run.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use super::markup::Markup;
use super::shell::Shell;
use super::visitor::Form;
use super::{assets, done, page, words};
use crate::accounts::sync::{Direction, Problem, Report, Summary};
use crate::admin::Admin;
use crate::admin::api::accounts::{self, AccountQuery};
use crate::admin::api::syncs::{self, NextRunView, SyncRunView, SyncsView};
use crate::admin::error::ApiError;
use crate::admin::request::Parameters;

/// Changes of a dry run that a page shows.
const MAX_CHANGES: usize = 500;
/// Runs of each direction that the page of the syncs shows.
const MAX_RUNS: usize = 10;

#[derive(Template)]
#[template(path = "accounts.html")]
struct AccountsPage {
    shell: Shell,
    is_configured: bool,
    match_type: String,
    match_value: String,
    /// `None` before a search.
    result: Option<Result<Account, ApiError>>,
}

/// The account as a table, and as JSON.
struct Account {
    name: String,
    /// The members of the answer that are texts, numbers or booleans.
    facts: Vec<(String, String)>,
    whole: Markup,
    age: String,
    fresh_for: String,
}

pub(super) async fn show(State(admin): State<Admin>, RawQuery(raw): RawQuery, shell: Shell) -> Response {
    let raw = raw.unwrap_or_default();
    let value = |name: &str| {
        let mut pairs = form_urlencoded::parse(raw.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let result = if raw.is_empty() {
        None
    } else {
        Some(match Parameters::<AccountQuery>::read(&raw) {
            Ok(query) => accounts::find(&admin, query).await.map(|cached| Account::new(&cached)),
            Err(error) => Err(error),
        })
    };
    let accounts = AccountsPage {
        shell: shell.at("/accounts"),
        is_configured: admin.accounts().is_some(),
        match_type: Some(value("match_type"))
            .filter(|kind| !kind.is_empty())
            .unwrap_or_else(|| "tracking_id".to_owned()),
        match_value: value("match_value"),
        result,
    };
    page(StatusCode::OK, &accounts)
}

impl Account {
    fn new(cached: &crate::accounts::accoil::CachedAccount) -> Self {
        let value: Value = serde_json::from_str(&cached.found.body).unwrap_or_default();
        let members = value.as_object().into_iter().flatten();
        let facts = members.filter_map(|(key, value)| match value {
            Value::String(text) => Some((key.replace('_', " "), text.clone())),
            Value::Number(_) | Value::Bool(_) => Some((key.replace('_', " "), value.to_string())),
            _ => None,
        });
        Self {
            name: value["name"].as_str().unwrap_or("Account").to_owned(),
            facts: facts.collect(),
            whole: Markup::json(&value),
            age: words::span(cached.age),
            fresh_for: words::span(cached.fresh_for),
        }
    }
}

#[derive(Template)]
#[template(path = "syncs.html")]
struct SyncsPage {
    shell: Shell,
    view: SyncsView,
    tried: Option<DryRun>,
}

#[derive(Template)]
#[template(path = "sync_run.html")]
struct SyncRunPage {
    shell: Shell,
    run: SyncRunView,
    /// What happened to which accounts, and why.
    lists: Vec<(&'static str, Vec<Problem>)>,
}

/// The changes that a run would make.
struct DryRun {
    direction: &'static str,
    changes: Vec<Markup>,
    /// The number of changes that are not shown.
    more: usize,
    summary: Option<Summary>,
}

pub(super) async fn syncs(State(admin): State<Admin>, shell: Shell) -> Response {
    syncs_page(&admin, shell, None).await
}

async fn syncs_page(admin: &Admin, shell: Shell, tried: Option<DryRun>) -> Response {
    match syncs::view(admin).await {
        Ok(view) => page(StatusCode::OK, &SyncsPage { shell: shell.at("/accounts"), view, tried }),
        Err(error) => shell.error(error),
    }
}

impl SyncsPage {
    /// Returns the newest runs of a direction.
    fn runs(&self, direction: &str) -> Vec<&SyncRunView> {
        self.view.runs.iter().filter(|run| run.direction == direction).take(MAX_RUNS).collect()
    }

    fn next(&self, direction: &str) -> Option<&NextRunView> {
        self.view.next.iter().find(|next| next.direction == direction)
    }
}

/// Shows one run.
pub(super) async fn kept_run(State(admin): State<Admin>, Path(id): Path<String>, shell: Shell) -> Response {
    let (run, summary) = match syncs::run_view(&admin, &id).await {
        Ok(found) => found,
        Err(error) => return shell.error(error),
    };
    let mut lists = Vec::new();
    if let Some(Summary { failed, warnings, skipped, unknown, .. }) = summary {
        let unknown = unknown.into_iter().map(|named| Problem { named, reason: String::new() }).collect();
        lists = vec![
            ("Failed", failed),
            ("Warnings", warnings),
            ("Skipped", skipped),
            ("Unknown at Accoil", unknown),
        ];
        lists.retain(|(_, problems)| !problems.is_empty());
    }
    page(StatusCode::OK, &SyncRunPage { shell: shell.at("/accounts"), run, lists })
}

/// Starts a dry run or a real run. A real run continues if the page is closed.
pub(super) async fn run(
    State(admin): State<Admin>,
    Path(direction): Path<String>,
    shell: Shell,
    form: Form,
) -> Response {
    let Some(direction) = Direction::of_name(&direction) else {
        return shell.error(ApiError::not_found(
            "there is no such sync; the syncs are vitally-to-accoil and accoil-to-vitally",
        ));
    };
    let is_dry = form.get("do") != "run";
    let mut reports = match admin.syncs().start(direction, is_dry) {
        Ok(reports) => reports,
        Err(error) => return done("/syncs", Err(error.into())),
    };
    if !is_dry {
        return done(
            "/syncs",
            Ok(format!("The sync {} runs. Load this page again to see how it ended.", direction.name())),
        );
    }
    let mut tried = DryRun { direction: direction.name(), changes: Vec::new(), more: 0, summary: None };
    while let Some(report) = reports.recv().await {
        match report {
            Report::Change(_) if tried.changes.len() >= MAX_CHANGES => tried.more += 1,
            Report::Change(change) => {
                tried.changes.push(Markup::json(&serde_json::to_value(&change).unwrap_or_default()));
            }
            Report::Summary(summary) => tried.summary = Some(summary),
            Report::Reading { .. } | Report::Progress { .. } => {}
        }
    }
    syncs_page(&admin, shell, Some(tried)).await
}
