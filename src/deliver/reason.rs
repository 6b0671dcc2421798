//! Texts about a call for people: why it failed, and which event it is about. They never contain a personal value,
//! except that the whole reason, for the dead letter only, has the beginning of the destination's answer.

use std::borrow::Cow;

use http::Uri;
use http::header::LOCATION;
use serde::Deserialize;

use super::classify::is_web_page;
use super::connection::{Answer, CallError};

/// The most characters of a redirect's location.
const MAX_LOCATION: usize = 200;

/// Returns why a call failed, with the beginning of the destination's answer.
pub(super) fn whole(outcome: &Result<Answer, CallError>) -> String {
    match outcome {
        Ok(answer) if !answer.body.is_empty() => {
            format!("{}: {}", short(outcome), String::from_utf8_lossy(&answer.body))
        }
        _ => short(outcome),
    }
}

/// Returns why a call failed: the status and the location of a redirect, or the error.
pub fn short(outcome: &Result<Answer, CallError>) -> String {
    match outcome {
        Ok(answer) => {
            let status = answer.status;
            match location(answer) {
                Some(place) => format!("answered {status}, a redirect to {place}"),
                None if is_web_page(answer) => format!("answered {status} with a web page"),
                None => format!("answered {status}"),
            }
        }
        Err(error) => error.to_string(),
    }
}

/// Returns the location of a redirect without user name, password, query and fragment, which may contain secrets.
fn location(answer: &Answer) -> Option<String> {
    if !(300..400).contains(&answer.status) {
        return None;
    }
    let uri: Uri = answer.headers.get(LOCATION)?.to_str().ok()?.trim().parse().ok()?;
    let mut place = String::new();
    if let Some(authority) = uri.authority() {
        let scheme = uri.scheme_str().map(|scheme| format!("{scheme}:")).unwrap_or_default();
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        place = format!("{scheme}//{host}");
    }
    place.push_str(uri.path());
    Some(place.chars().take(MAX_LOCATION).collect())
}

/// The members in which senders name the event.
#[derive(Deserialize)]
struct Members<'e> {
    #[serde(borrow, default)]
    event: Option<Cow<'e, str>>,
    #[serde(borrow, default)]
    event_type: Option<Cow<'e, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'e, str>>,
}

/// Returns the event's name; empty if it has none.
pub(super) fn event_name(original: &[u8]) -> String {
    let members = serde_json::from_slice::<Members<'_>>(original);
    let name = members.ok().and_then(|members| members.event.or(members.event_type).or(members.kind));
    name.unwrap_or_default().into_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_redirect_is_named_without_its_secrets() {
        for (status, location, expected) in [
            (
                301,
                Some("https://in.accoil.com/v2/track"),
                "answered 301, a redirect to https://in.accoil.com/v2/track",
            ),
            (
                302,
                Some("https://u:p@login.example:8443/sso?token=secret"),
                "answered 302, a redirect to https://login.example:8443/sso",
            ),
            (307, Some("/maintenance?token=secret"), "answered 307, a redirect to /maintenance"),
            (308, Some("not a place"), "answered 308"),
            (308, None, "answered 308"),
            (404, Some("https://elsewhere.example"), "answered 404"),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(location) = location {
                headers.insert(LOCATION, location.parse().unwrap());
            }
            let answer = Answer { status, headers, body: Bytes::new() };
            assert_eq!(short(&Ok(answer)), expected);
        }
    }

    #[test]
    fn an_event_is_named_as_its_sender_does() {
        for (original, name) in [
            (r#"{"type":"track","event":"Signed\nUp","userId":"u"}"#, "Signed\nUp"),
            (r#"{"type":"identify","messageId":"m2"}"#, "identify"),
            (r#"{"event_type":"Clicked","insert_id":"i3"}"#, "Clicked"),
            ("not JSON", ""),
        ] {
            assert_eq!(event_name(original.as_bytes()), name);
        }
    }
}
