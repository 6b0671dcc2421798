//! Finds the write key of a request, wherever its sender puts it (`docs/segment.md#write-keys`;
//! `docs/http-api.md#the-write-key`).

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Returns the possible keys in the headers: Basic user name or Bearer token, and `x-api-key`.
///
/// With OAuth, Segment's SDKs send a Bearer token that is not the key and put the key into the body, and a gateway
/// may need a token of its own. So each candidate is tried.
pub(super) fn header_keys(headers: &HeaderMap) -> impl Iterator<Item = Cow<'_, str>> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let plain = text(&X_API_KEY).map(str::trim).filter(|key| !key.is_empty()).map(Cow::Borrowed);
    text(&AUTHORIZATION).and_then(authorization_key).into_iter().chain(plain)
}

fn authorization_key(value: &str) -> Option<Cow<'_, str>> {
    let (scheme, credentials) = value.trim().split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return (!credentials.is_empty()).then_some(Cow::Borrowed(credentials));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(credentials).or_else(|_| STANDARD_NO_PAD.decode(credentials)).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    // Old clients leave out the colon.
    let user = text.split_once(':').map_or(text.as_str(), |(user, _)| user);
    (!user.is_empty()).then(|| Cow::Owned(user.to_owned()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_way_to_send_a_key_is_understood() {
        for (name, value, expected) in [
            ("authorization", "Basic a2V5Og==", Some("key")),
            ("authorization", "basic a2V5", Some("key")),
            ("authorization", "Basic a2V5OnNlY3JldA", Some("key")),
            ("authorization", "Bearer  key ", Some("key")),
            ("authorization", "Bearer", None),
            ("authorization", "Digest key", None),
            ("authorization", "Basic ???", None),
            ("authorization", "Basic Og==", None),
            ("x-api-key", "key", Some("key")),
            ("x-api-key", " ", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(header_keys(&headers).next().as_deref(), expected, "{name}: {value}");
        }
    }
    /// A gateway's own token does not hide the key.
    #[test]
    fn each_header_is_a_candidate() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::from_static("Bearer token"));
        headers.insert("x-api-key", HeaderValue::from_static("key"));
        assert_eq!(header_keys(&headers).collect::<Vec<_>>(), ["token", "key"]);
    }
}
