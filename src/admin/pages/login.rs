//! `/login` and `/logout`: a token becomes a session.

use std::time::Instant;

use askama::Template;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::header::{RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use super::session::COOKIE;
use super::shell::THEME;
use super::visitor::{Form, cookie, is_of_same_site};
use super::{assets, page};
use crate::admin::Admin;
use crate::admin::error::ApiError;
use crate::admin::guard::Access;
use crate::receive::is_by_https;

#[derive(Template)]
#[template(path = "login.html")]
struct LogInPage {
    theme: Option<&'static str>,
    css: &'static str,
    favicon: &'static str,
    to: String,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LogInQuery {
    #[serde(default)]
    to: String,
}

pub(super) async fn show(headers: HeaderMap, Query(LogInQuery { to }): Query<LogInQuery>) -> Response {
    log_in_page(&headers, &to, None)
}

/// The fields that the log-in page sends.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form")]
struct LogInForm {
    /// `admin.token`, or `admin.viewer_token`.
    token: String,
    /// The page to go on to.
    to: Option<String>,
}

/// Start a session of the dashboard
///
/// With the cookie of the answer, GET requests of the API are allowed, too.
#[utoipa::path(post, path = "/login",
    request_body(content = LogInForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 303, description = "A session has begun"), (status = 401, description = "Not the token"),
        (status = 403, description = "A form of another site"), (status = 429, description = "Too many wrong tokens")))]
pub(in crate::admin) async fn log_in(
    State(admin): State<Admin>,
    request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers().clone();
    if !is_of_same_site(&headers) {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "log in on the page of the relay itself",
        ));
    }
    let (sessions, now) = (admin.sessions(), Instant::now());
    let form = Form::read(request).await?;
    let to = own_address(form.get("to"));
    if let Some(pause) = sessions.log_in_pause(now) {
        let seconds = pause.as_secs().max(1);
        let mut response =
            log_in_page(&headers, to, Some(format!("Too many wrong tokens. Try again in {seconds} s.")));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        return Ok(response);
    }
    let Some(access) = access(&admin, form.get("token")) else {
        sessions.note_failed_log_in(now);
        let mut response = log_in_page(&headers, to, Some("That is not the token.".to_owned()));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(response);
    };
    let name = sessions.begin(access, now);
    let secure = if is_by_https(&headers) { "; Secure" } else { "" };
    Ok(with_cookie(
        Redirect::to(to).into_response(),
        &format!("{COOKIE}={name}; Path=/; HttpOnly; SameSite=Strict{secure}"),
    ))
}

/// End the session
///
/// A link is enough, because nothing is lost by it.
#[utoipa::path(get, path = "/logout", responses((status = 303, description = "Leads to the log-in page")))]
pub(in crate::admin) async fn log_out(State(admin): State<Admin>, headers: HeaderMap) -> Response {
    if let Some(name) = cookie(&headers, COOKIE) {
        admin.sessions().end(name);
    }
    with_cookie(
        Redirect::to("/login").into_response(),
        &format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"),
    )
}

pub(super) fn with_cookie(mut response: Response, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

fn log_in_page(headers: &HeaderMap, to: &str, error: Option<String>) -> Response {
    let theme =
        cookie(headers, THEME).and_then(|value| ["light", "dark"].into_iter().find(|one| *one == value));
    let (css, favicon) = (assets::address("app.css"), assets::address("favicon.svg"));
    page(StatusCode::OK, &LogInPage { theme, css, favicon, to: own_address(to).to_owned(), error })
}

fn access(admin: &Admin, given: &str) -> Option<Access> {
    let config = &admin.config().admin;
    let is = |token: &Option<SecretString>| {
        token
            .as_ref()
            .is_some_and(|token| bool::from(token.expose_secret().as_bytes().ct_eq(given.as_bytes())))
    };
    match () {
        () if is(&config.token) => Some(Access::Full),
        () if is(&config.viewer_token) => Some(Access::Viewer { sees_payloads: config.viewer_sees_payloads }),
        () => None,
    }
}

/// Returns a path of this listener; anything else would lead a person who logged in to another site.
pub(super) fn own_address(to: &str) -> &str {
    let is_own = to.starts_with('/')
        && !to.starts_with("//")
        && !to.contains('\\')
        && to.bytes().all(|byte| byte.is_ascii_graphic());
    if is_own { to } else { "/" }
}

#[cfg(test)]
mod tests {
    #[test]
    fn log_in_leads_to_this_listener_only() {
        for (to, expected) in [
            ("/events?user=a%20b", "/events?user=a%20b"),
            ("//evil.example/", "/"),
            ("/\\evil.example", "/"),
            ("https://evil.example", "/"),
            ("/a\r\nset-cookie: x", "/"),
            ("", "/"),
        ] {
            assert_eq!(super::own_address(to), expected, "{to}");
        }
    }
}
