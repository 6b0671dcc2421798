//! Decides who may use the API: everyone who has a token. Without a token, which the configuration allows on loopback
//! only, programs on this machine may use it, but not a web page in its browser. The viewer token can only read, and
//! sees no payload unless the configuration allows it.
//!
//! Tokens are compared in constant time and never repeated.

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::Admin;
use super::error::ApiError;
use super::pages::visitor::of_session;
use crate::config;
use crate::receive::{self, is_loopback};

/// What a request may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// May see and change everything.
    Full,
    /// May see, and change nothing.
    Viewer { sees_payloads: bool },
}

impl Access {
    /// Returns whether it may see the content of events.
    pub const fn sees_payloads(self) -> bool {
        matches!(self, Self::Full | Self::Viewer { sees_payloads: true })
    }

    /// Refuses a request for the content of events by a viewer who may not see it.
    pub fn require_payloads(self) -> Result<(), ApiError> {
        if self.sees_payloads() {
            return Ok(());
        }
        let error = "the viewer token cannot see the content of events; use the admin token, or set admin.viewer_sees_payloads";
        Err(ApiError::new(StatusCode::FORBIDDEN, "viewer", error))
    }
}

/// The access that [`let_pass`] determined.
impl<S: Sync> FromRequestParts<S> for Access {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().copied().ok_or_else(ApiError::failed)
    }
}

/// Refuses requests that break the rules of HTTP/1.1.
pub(super) async fn well_formed(request: Request, next: Next) -> Response {
    match receive::malformed(request.headers(), request.version()) {
        Some(error) => ApiError::new(StatusCode::BAD_REQUEST, "malformed", error).into_response(),
        None => next.run(request).await,
    }
}

pub(super) async fn let_pass(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let visitor = of_session(&admin, request.headers()).filter(|_| reads);
    let access = match access(&admin.config().admin, request.headers()) {
        Ok(access) => access,
        // A session of the dashboard reads; its changes are forms of the pages, which have a token against forgery.
        Err(error)
            if error.status == StatusCode::UNAUTHORIZED
                && let Some(visitor) = visitor =>
        {
            visitor.access
        }
        Err(error) => {
            let is_unauthorized = error.status == StatusCode::UNAUTHORIZED;
            let mut response = error.into_response();
            if is_unauthorized {
                response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            return response;
        }
    };
    if !reads && access != Access::Full {
        let error = "the viewer token can only read; use the admin token to change something";
        return ApiError::new(StatusCode::FORBIDDEN, "viewer", error).into_response();
    }
    request.extensions_mut().insert(access);
    next.run(request).await
}

/// Returns what a request with these headers may do.
pub(super) fn access(config: &config::Admin, headers: &HeaderMap) -> Result<Access, ApiError> {
    let given = bearer(headers);
    let is = |token: &Option<SecretString>| match (token, given) {
        (Some(token), Some(given)) => bool::from(given.as_bytes().ct_eq(token.expose_secret().as_bytes())),
        _ => false,
    };
    if is(&config.token) {
        return Ok(Access::Full);
    }
    if is(&config.viewer_token) {
        return Ok(Access::Viewer { sees_payloads: config.viewer_sees_payloads });
    }
    if config.token.is_some() {
        let error = "the admin token is missing or wrong; send it as Authorization: Bearer TOKEN";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", error));
    }
    if is_of_this_machine(headers) {
        return Ok(Access::Full);
    }
    let error = "without an admin token only programs on this machine may use this API, by its address or as localhost, and no page of another site; set admin.token to allow more";
    Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", error))
}

/// Returns the token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A page of another site names itself in `Origin`. A page whose host name was made to point here names that host in
/// `Host`.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).unwrap_or_default();
    is_loopback(host) && text(ORIGIN).is_none_or(|origin| origin == format!("http://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_the_right_token_is_accepted() {
        let secret = |text: &str| Some(SecretString::from(text));
        let config = config::Admin {
            listen: ([127, 0, 0, 1], 0).into(),
            token: secret("secret"),
            viewer_token: secret("viewer"),
            viewer_sees_payloads: false,
        };
        for (value, expected) in [
            ("Bearer secret", Some(Access::Full)),
            ("bearer  secret ", Some(Access::Full)),
            ("Bearer viewer", Some(Access::Viewer { sees_payloads: false })),
            ("Basic secret", None),
            ("Bearer secre", None),
            ("Bearer secret2", None),
            ("Bearer", None),
            ("secret", None),
        ] {
            assert_eq!(access(&config, &headers(&[("authorization", value)])).ok(), expected, "{value}");
        }
        let of_this_machine = headers(&[("host", "localhost")]);
        assert!(access(&config, &of_this_machine).is_err());
    }

    #[test]
    fn without_a_token_pages_of_other_sites_are_kept_out() {
        for (pairs, expected) in [
            (&[("host", "127.0.0.1:8081")][..], true),
            (&[("host", "localhost")], true),
            (&[("host", "[::1]:8081")], true),
            (&[("host", "localhost:8081"), ("origin", "http://localhost:8081")], true),
            (&[("host", "localhost:8081"), ("origin", "https://evil.example")], false),
            (&[("host", "localhost:8081"), ("origin", "null")], false),
            (&[("host", "rebound.example:8081")], false),
            (&[("host", "10.0.0.1:8081")], false),
            (&[], false),
        ] {
            assert_eq!(is_of_this_machine(&headers(pairs)), expected, "{pairs:?}");
        }
    }
}
