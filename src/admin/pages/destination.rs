//! `/destinations/NAME`: the state of a destination, and its waiting calls.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::shell::Shell;
use super::visitor::Form;
use super::{assets, done, page, words};
use crate::admin::Admin;
use crate::admin::api::destinations::{self, DestinationAction, DestinationView};
use crate::admin::api::waiting::{self, WaitingQuery, WaitingView};
use crate::admin::error::ApiError;
use crate::outbox::WaitingFilter;

#[derive(Template)]
#[template(path = "destination.html")]
struct DestinationPage {
    shell: Shell,
    view: DestinationView,
    waiting: WaitingView,
}

#[derive(Debug, Deserialize)]
pub(super) struct DestinationQuery {
    after: Option<String>,
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Query(DestinationQuery { after }): Query<DestinationQuery>,
    shell: Shell,
) -> Response {
    let all = match destinations::view(&admin).await {
        Ok(all) => all,
        Err(error) => return shell.error(error),
    };
    let Some(view) = all.destinations.into_iter().find(|one| one.name == name) else {
        return shell.error(ApiError::not_found("no destination of the configuration has this name"));
    };
    let after = after.and_then(|after| after.parse().ok());
    let query = WaitingQuery { destination: Some(name), after, most: Some(100), ..WaitingQuery::default() };
    match waiting::view(&admin, shell.access, query).await {
        Ok(waiting) => page(StatusCode::OK, &DestinationPage { shell, view, waiting }),
        Err(error) => shell.error(error),
    }
}

/// Handles the page's buttons.
pub(super) async fn change(State(admin): State<Admin>, Path(name): Path<String>, form: Form) -> Response {
    let back =
        format!("/destinations/{}", form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>());
    let result = match form.get("do") {
        "pause" => {
            change_state(
                &admin,
                &name,
                DestinationAction::Pause,
                "Paused: its calls wait until you resume it.",
            )
            .await
        }
        "resume" => {
            change_state(&admin, &name, DestinationAction::Resume, "Resumed: its calls go out again.").await
        }
        "probe" => change_state(&admin, &name, DestinationAction::Probe, "One call is tried now.").await,
        "retry" => retry(&admin, name, form.get("user")).await,
        _ => Err(ApiError::invalid("the form has no known button")),
    };
    done(&back, result)
}

async fn change_state(
    admin: &Admin,
    name: &str,
    action: DestinationAction,
    done: &str,
) -> Result<String, ApiError> {
    destinations::change(admin, name, action).await.map(|_| done.to_owned())
}

async fn retry(admin: &Admin, destination: String, user: &str) -> Result<String, ApiError> {
    let user = Some(user.to_owned()).filter(|user| !user.is_empty());
    let filter = WaitingFilter { destination: Some(destination), user, ..WaitingFilter::default() };
    let view = waiting::retry_view(admin, &filter).await?;
    Ok(format!("The waiting calls of {} users are tried now.", view.users))
}
