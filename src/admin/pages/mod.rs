//! The dashboard: pages for people over the same views as the API, one file for each page, templates in `templates/`.
//!
//! Every page can be read and every action done without scripts. The content security policy of each page allows nothing from
//! other hosts, no inline script or style, and no way to turn text into markup.

mod accounts;
mod assets;
#[expect(clippy::cast_precision_loss, reason = "positions in a picture")]
mod chart;
mod destination;
mod door;
mod event;
mod events;
mod explained;
mod failures;
pub(super) mod login;
mod mappings;
mod markup;
mod overview;
mod reference;
mod replay;
pub(super) mod session;
mod settings;
mod setup;
mod shell;
mod tester;
pub(super) mod visitor;
mod words;

use askama::Template;
use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use http::header::CONTENT_SECURITY_POLICY;
use http::{HeaderName, HeaderValue, StatusCode};

use super::Admin;
use super::error::ApiError;
use login::with_cookie;
use shell::{Message, Shell};
use visitor::let_visit;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    // With "no-referrer" the origin of our own forms would be "null", too.
    (HeaderName::from_static("referrer-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// Every page. The API's routes are not among them.
pub(super) fn router(admin: &Admin) -> Router<Admin> {
    let visited = Router::new()
        .route("/destinations/{name}", get(destination::show).post(destination::change))
        .route("/", get(overview::show))
        .route("/find", get(events::find))
        .route("/events", get(events::show).post(replay::act))
        .route("/events/{id}", get(event::show).post(event::change))
        .route("/e/{id}", get(events::short))
        .route("/failures", get(failures::show))
        .route("/failures/replays", get(failures::jobs))
        .route("/failures/replays/{id}", get(failures::job).post(failures::change_job))
        .route("/failures/{key}", get(failures::group).post(failures::act))
        .route("/tester", get(tester::show).post(tester::run))
        .route("/failures/door", get(door::show))
        .route("/accounts", get(accounts::show))
        .route("/syncs", get(accounts::syncs))
        .route("/syncs/{direction}", get(accounts::kept_run).post(accounts::run))
        .route("/api", get(reference::show))
        .route("/mappings", get(mappings::show).post(mappings::reload))
        .route("/setup", get(setup::show))
        .route("/settings", get(settings::show).post(settings::choose))
        .route("/theme", post(settings::choose_theme))
        .layer(middleware::from_fn_with_state(admin.clone(), let_visit));
    Router::new()
        .route("/login", get(login::show).post(login::log_in))
        .route("/logout", get(login::log_out))
        .merge(visited)
        .layer(middleware::from_fn(with_policy))
        .route("/assets/{checksum}/{name}", get(assets::serve))
}

async fn with_policy(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Returns a page as an answer.
fn page(status: StatusCode, template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "a page of the dashboard could not be made");
            ApiError::failed().into_response()
        }
    }
}

/// Leads back to the page of the form, which shows a line about what was done.
fn done(to: &str, result: Result<String, ApiError>) -> Response {
    let (tone, text) = match result {
        Ok(text) => ("ok", text),
        Err(error) => ("fail", error.error),
    };
    with_cookie(Redirect::to(to).into_response(), &Message::cookie(tone, &text))
}

/// A page that explains why there is nothing to show.
#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    shell: Shell,
    error: ApiError,
}

impl Shell {
    /// Returns the page for an error of a view.
    fn error(self, error: ApiError) -> Response {
        page(error.status, &ErrorPage { shell: self, error })
    }
}
