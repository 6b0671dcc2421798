//! Checks whether a request comes from a program on this machine, or from a web page of another site in a browser on
//! it.
//!
//! Such a page names itself in `Origin`. A page whose host name was made to point to this machine names that host in
//! `Host`.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, Uri};

/// Returns whether the host is this machine, and the page, if there is one, was loaded from this machine.
pub(super) fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    is_loopback(text(HOST).unwrap_or_default())
        && text(ORIGIN).is_none_or(|origin| {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            host.is_some_and(is_loopback)
        })
}

/// Returns true for `localhost` or a loopback address, with or without a port.
pub(crate) fn is_loopback(host: &str) -> bool {
    let Ok(uri) = host.parse::<Uri>() else { return false };
    let name = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn pages_of_other_sites_are_distinguished_from_programs_of_this_machine() {
        for (host, origin, expected) in [
            ("127.0.0.1:8080", None, true),
            ("localhost", None, true),
            ("[::1]:8080", None, true),
            ("localhost:8080", Some("http://localhost:3000"), true),
            ("localhost:8080", Some("https://evil.example"), false),
            ("localhost:8080", Some("http://localhost.evil.example"), false),
            ("localhost:8080", Some("null"), false),
            ("rebound.example:8080", None, false),
            ("rebound.example:8080", Some("http://rebound.example:8080"), false),
            ("10.0.0.1:8080", None, false),
            ("", None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(ORIGIN, HeaderValue::from_static(origin));
            }
            assert_eq!(is_of_this_machine(&headers), expected, "{host} {origin:?}");
        }
    }
}
