//! Who may use the API: whoever has the token; without one, which the configuration allows on loopback only, programs
//! of this machine, but not a web page that its browser shows.
//!
//! The token is compared in constant time and never repeated.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use super::{Admin, refusal};
use crate::receive::{self, is_loopback};

/// Refuses what breaks the rules of HTTP/1.1.
pub(super) async fn well_formed(request: Request, next: Next) -> Response {
    match receive::malformed(request.headers(), request.version()) {
        Some(error) => refusal(StatusCode::BAD_REQUEST, "malformed", error),
        None => next.run(request).await,
    }
}

pub(super) async fn let_pass(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match &admin.0.token {
        Some(token) if !has_token(request.headers(), token) => {
            let error = "the admin token is missing or wrong; send it as Authorization: Bearer TOKEN";
            let mut response = refusal(StatusCode::UNAUTHORIZED, "unauthorized", error);
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        None if !is_of_this_machine(request.headers()) => {
            let error = "without an admin token only programs of this machine may ask, by its address or as localhost, \
                         and no page of another site; set admin.token to allow more";
            refusal(StatusCode::FORBIDDEN, "forbidden", error)
        }
        _ => next.run(request).await,
    }
}

fn has_token(headers: &HeaderMap, token: &SecretString) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.trim().split_once(' '));
    given.is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case("bearer")
            && bool::from(given.trim().as_bytes().ct_eq(token.expose_secret().as_bytes()))
    })
}

/// A page of another site names itself in `Origin`; one whose name was made to point here, in `Host`.
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
    fn a_token_lets_pass_and_nothing_like_it() {
        let token = SecretString::from("secret");
        for (value, expected) in [
            ("Bearer secret", true),
            ("bearer  secret ", true),
            ("Basic secret", false),
            ("Bearer secre", false),
            ("Bearer secret2", false),
            ("Bearer", false),
            ("secret", false),
        ] {
            assert_eq!(has_token(&headers(&[("authorization", value)]), &token), expected, "{value}");
        }
        assert!(!has_token(&HeaderMap::new(), &token));
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
