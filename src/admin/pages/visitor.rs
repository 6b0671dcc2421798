//! Who visits a page: by a session's cookie, by a token, or, on loopback without a token, anybody on this machine.
//!
//! It runs before every page. A change needs full access, a form made for this session, and a request from the same site.

use std::time::Instant;

use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use http::header::{COOKIE, HOST, ORIGIN, REFRESH};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};

use super::session::{self, Visitor};
use crate::admin::Admin;
use crate::admin::error::ApiError;
use crate::admin::guard::{self, Access};

/// The most bytes of a form: the tester's event and draft are in one.
const MAX_FORM: usize = 5 << 20;
const MAX_FIELDS: usize = 200;

/// The value of a cookie.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let cookies = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Returns the session of a request's cookie.
pub(in crate::admin) fn of_session(admin: &Admin, headers: &HeaderMap) -> Option<Visitor> {
    let name = cookie(headers, session::COOKIE)?;
    admin.sessions().visitor(name, Instant::now())
}

pub(super) async fn let_visit(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let visitor = match guard::access(&admin.config().admin, headers) {
        Ok(access) => admin.sessions().without_session(access),
        Err(error) if error.status == StatusCode::UNAUTHORIZED => match of_session(&admin, headers) {
            Some(visitor) => visitor,
            None => return log_in(&request),
        },
        Err(error) => return error.into_response(),
    };
    request.extensions_mut().insert(visitor);
    next.run(request).await
}

/// Sends a visitor without a session to the log-in page.
fn log_in(request: &Request) -> Response {
    if request.method() != Method::GET {
        return ApiError::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "log in first, then send the form again",
        )
        .into_response();
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if site == Some("cross-site") {
        // A browser does not send a strict cookie when a link of another site leads here. So the page loads itself once more.
        let mut response =
            (StatusCode::OK, axum::response::Html("<!doctype html><title>accoil-relay</title>"))
                .into_response();
        response.headers_mut().insert(REFRESH, HeaderValue::from_static("0"));
        return response;
    }
    let to: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
    Redirect::to(&format!("/login?to={to}")).into_response()
}

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::failed)
    }
}

/// The fields of a form that may change something.
#[derive(Debug)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Returns a field's value; empty if the form does not have it.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A form that only changes what this browser shows.
    pub(super) async fn of_reader(request: Request) -> Result<Self, ApiError> {
        if !is_of_same_site(request.headers()) {
            return Err(cross_site());
        }
        Self::read(request).await
    }

    /// Reads a body without checking the sender, for the log-in itself.
    pub(super) async fn read(request: Request) -> Result<Self, ApiError> {
        let body = Limited::new(request.into_body(), MAX_FORM).collect().await;
        let body =
            body.map_err(|_| ApiError::invalid("the form did not arrive whole, or is larger than 5 MB"))?;
        let fields = form_urlencoded::parse(&body.to_bytes()).into_owned().take(MAX_FIELDS).collect();
        Ok(Self(fields))
    }
}

impl FromRequest<Admin> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Admin) -> Result<Self, ApiError> {
        let forbidden = |code, error: &str| ApiError::new(StatusCode::FORBIDDEN, code, error);
        let visitor = request.extensions().get::<Visitor>().cloned().ok_or_else(ApiError::failed)?;
        if !is_of_same_site(request.headers()) {
            return Err(cross_site());
        }
        let form = Self::read(request).await?;
        if !visitor.is_form_of_session(form.get("form_token")) {
            let error =
                "this form was made before the last log-in or restart; load its page again, then send it";
            return Err(forbidden("stale_form", error));
        }
        if visitor.access != Access::Full {
            return Err(forbidden(
                "viewer",
                "the viewer token only reads; log in with the admin token to change something",
            ));
        }
        Ok(form)
    }
}

fn cross_site() -> ApiError {
    let error = "this form was sent by a page of another site; nothing was changed";
    ApiError::new(StatusCode::FORBIDDEN, "cross_site", error)
}

/// Browsers name the site of a form in one of two headers.
pub(super) fn is_of_same_site(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = text(HOST.as_str()).unwrap_or_default();
    text(ORIGIN.as_str())
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(_, origin)| !host.is_empty() && origin == host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_forms_of_this_site_change_something() {
        for (pairs, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site"), ("host", "a"), ("origin", "http://a")], false),
            (&[("host", "relay:8081"), ("origin", "https://relay:8081")], true),
            (&[("host", "relay:8081"), ("origin", "https://evil")], false),
            (&[("host", "relay:8081"), ("origin", "null")], false),
            (&[("host", "relay:8081")], false),
        ] {
            assert_eq!(is_of_same_site(&headers(pairs)), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers = headers(&[("cookie", "theme=dark; accoil_relay=abc"), ("cookie", "times=utc")]);
        assert_eq!(cookie(&headers, "accoil_relay"), Some("abc"));
        assert_eq!((cookie(&headers, "times"), cookie(&headers, "keys")), (Some("utc"), None));
    }
}
