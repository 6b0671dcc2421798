//! `/settings`: the configuration in force, and the visitor's own choices, which are stored in cookies.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;

use super::login::{own_address, with_cookie};
use super::shell::{KEYS, Shell, THEME, TIMES};
use super::visitor::Form;
use super::{assets, done, page, words};
use crate::admin::Admin;
use crate::admin::api::config::{self, ConfigView};
use crate::admin::error::ApiError;

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    shell: Shell,
    view: ConfigView,
}

pub(super) async fn show(State(admin): State<Admin>, shell: Shell) -> Response {
    page(StatusCode::OK, &SettingsPage { shell, view: config::view(&admin) })
}

/// Stores the choices for a year.
pub(super) async fn choose(request: Request) -> Result<Response, ApiError> {
    let form = Form::of_reader(request).await?;
    let mut response = done("/settings", Ok("Saved for this browser.".to_owned()));
    for (name, known) in [(THEME, ["light", "dark"]), (TIMES, ["local", "utc"]), (KEYS, ["on", "off"])] {
        response = with_cookie(response, &choice(name, form.get(name), known));
    }
    Ok(response)
}

/// The button in the top bar: leads back to the page that it is on.
pub(super) async fn choose_theme(request: Request) -> Result<Response, ApiError> {
    let form = Form::of_reader(request).await?;
    let back = Redirect::to(own_address(form.get("to"))).into_response();
    Ok(with_cookie(back, &choice(THEME, form.get(THEME), ["light", "dark"])))
}

/// An unknown value removes the cookie, so that the default applies.
fn choice(name: &str, value: &str, known: [&str; 2]) -> String {
    let (value, age) = if known.contains(&value) { (value, 31_536_000) } else { ("", 0) };
    format!("{name}={value}; Path=/; Max-Age={age}; SameSite=Lax")
}
