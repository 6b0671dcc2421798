//! Words about a call for people: why it failed, and which event it is about. Never a personal value, except that the whole
//! reason keeps what the destination wrote, for the dead letter alone.

use std::borrow::Cow;

use http::Uri;
use http::header::LOCATION;
use serde::Deserialize;

use super::classify::is_web_page;
use super::connection::{Answer, CallError};

/// Characters of where a redirect points.
const MOST_LOCATION: usize = 200;

/// Why a call failed, with the beginning of what the destination wrote.
pub(super) fn whole(outcome: &Result<Answer, CallError>) -> String {
    match outcome {
        Ok(answer) if !answer.body.is_empty() => {
            format!("{}: {}", short(outcome), String::from_utf8_lossy(&answer.body))
        }
        _ => short(outcome),
    }
}

/// Why a call failed: the status and where a redirect points, or the error.
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

/// Where a redirect points, without user name, password, query and fragment: they may hold secrets.
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
    Some(place.chars().take(MOST_LOCATION).collect())
}

/// The members by which senders name what happened.
#[derive(Deserialize)]
struct Members<'e> {
    #[serde(borrow, default)]
    event: Option<Cow<'e, str>>,
    #[serde(borrow, default)]
    event_type: Option<Cow<'e, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Cow<'e, str>>,
}

/// What the event is called; empty if it does not say.
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
