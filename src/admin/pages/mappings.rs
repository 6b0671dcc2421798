//! `/mappings`: the mappings in force or of a kept version, and a button that reloads their files.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;

use super::shell::Shell;
use super::tester::effect_of;
use super::visitor::Form;
use super::{assets, done, page, words};
use crate::admin::Admin;
use crate::admin::api::effect::EffectView;
use crate::admin::api::mappings::{
    self, FaultView, MappingsQuery, MappingsVersionView, MappingsView, ReloadQuery,
};
use crate::admin::error::ApiError;
use crate::admin::request::Parameters;

#[derive(Template)]
#[template(path = "mappings.html")]
struct MappingsPage {
    shell: Shell,
    view: MappingsView,
    /// The kept versions, the newest first; empty if the history is off or cannot be read.
    versions: Vec<MappingsVersionView>,
    /// The result, if the files were just reloaded or checked.
    result: Option<ReloadResult>,
}

struct ReloadResult {
    text: String,
    tone: &'static str,
    faults: Vec<FaultView>,
    /// What the files would change for the kept rejects and the newest events; `None` if they have faults.
    effect: Option<(EffectView, Option<EffectView>)>,
}

pub(super) async fn show(State(admin): State<Admin>, RawQuery(raw): RawQuery, shell: Shell) -> Response {
    let query = match Parameters::<MappingsQuery>::read(&raw.unwrap_or_default()) {
        Ok(query) => query,
        Err(error) => return shell.error(error),
    };
    show_version(&admin, &query, StatusCode::OK, shell, None).await
}

async fn show_version(
    admin: &Admin,
    query: &MappingsQuery,
    status: StatusCode,
    shell: Shell,
    result: Option<ReloadResult>,
) -> Response {
    let view = match mappings::view(admin, query).await {
        Ok(view) => view,
        Err(error) => return shell.error(error),
    };
    let versions = mappings::versions_view(admin).await.map(|view| view.versions).unwrap_or_default();
    page(status, &MappingsPage { shell: shell.at("/mappings"), view, versions, result })
}

/// Reloads the files, or only checks them.
pub(super) async fn reload(State(admin): State<Admin>, shell: Shell, form: Form) -> Response {
    let dry_run = form.get("do") == "check";
    let result = mappings::reload_view(admin.clone(), &ReloadQuery { dry_run }).await;
    let mut effect = None;
    let (text, tone, faults) = match result {
        Ok(view) if !dry_run => {
            let text = format!("Reloaded: {} mappings, {} warnings.", view.mappings, view.warnings.len());
            return done("/mappings", Ok(text));
        }
        Ok(view) => {
            effect = effect_of(&admin, None).await.ok();
            let (mappings, warnings) = (view.mappings, view.warnings.len());
            let text = format!(
                "The files have no faults: {mappings} mappings, {warnings} warnings. Nothing was changed yet."
            );
            (text, "ok", view.warnings)
        }
        Err(error) => {
            let faults = faults(&error);
            (error.error, "fail", faults)
        }
    };
    let status = if tone == "ok" { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let result = Some(ReloadResult { text, tone, faults, effect });
    show_version(&admin, &MappingsQuery::default(), status, shell, result).await
}

fn faults(error: &ApiError) -> Vec<FaultView> {
    error
        .more
        .get("faults")
        .cloned()
        .and_then(|faults| serde_json::from_value(faults).ok())
        .unwrap_or_default()
}
