//! Accoil's documented request format as tables, and a check that lists how a request differs from it.
//!
//! Accoil answers before it checks keys and payloads, and it does not report what it drops. The sandbox does the
//! same: it shows these problems at `/received`, and they never change an answer.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::DateTime;

use crate::json::{Object, Value};

/// The Accoil write API that a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The older API: the key and snake-case names are in the body (`docs/accoil-api.md#the-v1-api`).
    V1,
    /// The documented API (`docs/accoil-api.md#the-v2-api`).
    V2,
    /// What Segment's destination calls (`docs/accoil-api.md#the-segment-endpoint`).
    Segment,
}

impl Dialect {
    pub(super) fn of(path: &str) -> Self {
        match path {
            "/segment" => Self::Segment,
            path if path.starts_with("/v1/") => Self::V1,
            _ => Self::V2,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::Segment => "segment",
        }
    }

    /// Returns the key of a request, which each dialect carries in its own form.
    pub(super) fn api_key(self, authorization: Option<&str>, body: &Value<'_>) -> Option<String> {
        match self {
            Self::V1 => body.get("api_key")?.as_str().map(str::to_owned),
            Self::V2 => basic(authorization).map(str::to_owned),
            Self::Segment => basic(authorization).and_then(encoded_key),
        }
    }
}

/// Returns what follows `Basic ` in the header.
fn basic(authorization: Option<&str>) -> Option<&str> {
    authorization?.strip_prefix("Basic ").map(str::trim)
}

/// Decodes the base64 of `key:`, which is the user name without a password.
fn encoded_key(credentials: &str) -> Option<String> {
    let text = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    text.strip_suffix(':').map(str::to_owned)
}

/// Returns the id of the user that a request is about.
pub(super) fn user<'v>(body: &'v Value<'_>) -> Option<&'v str> {
    body.get("userId").or_else(|| body.get("user_id"))?.as_str()
}

/// The documented type of a field.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Map,
    List,
    /// An ISO 8601 string.
    Time,
    /// Unix time, an integer.
    Milliseconds,
}

use Kind::{List, Map, Milliseconds, Text, Time};

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Text => "a string",
            Map => "an object",
            List => "an array",
            Time => "an ISO 8601 time",
            Milliseconds => "a whole number of milliseconds",
        }
    }

    fn fits(self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Text, Value::String(text)) => !text.is_empty(),
            (Time, Value::String(text)) => DateTime::parse_from_rfc3339(text).is_ok(),
            (Milliseconds, Value::Number(number)) => !number.is_f64(),
            (Map, Value::Object(_)) | (List, Value::Array(_)) => true,
            _ => false,
        }
    }
}

type Fields = &'static [(&'static str, Kind)];

/// The documented fields of one kind of call.
struct Form {
    required: Fields,
    optional: Fields,
    /// Whether a field that is not in the table is a problem.
    closed: bool,
}

/// Returns the table for a path, from `docs/accoil-api.md#the-v2-api` and `docs/accoil-api.md#the-v1-api`. Neither
/// documents `groupTraits` on a track: Accoil's Amplitude destination is documented to send it
/// (`docs/accoil-api.md#what-the-amplitude-destination-sends`).
fn form(path: &str) -> Form {
    let (required, optional): (Fields, Fields) = match path {
        "/v2/identify" => (&[("userId", Text)], &[("groupId", Text), ("traits", Map), ("timestamp", Time)]),
        "/v2/group" => (&[("groupId", Text)], &[("userId", Text), ("traits", Map), ("timestamp", Time)]),
        "/v2/track" => (&[("userId", Text), ("event", Text)], &[("timestamp", Time), ("groupTraits", List)]),
        "/v1/users" => (
            &[("api_key", Text), ("timestamp", Milliseconds), ("user_id", Text)],
            &[("group_id", Text), ("traits", Map)],
        ),
        "/v1/groups" => (
            &[("api_key", Text), ("timestamp", Milliseconds), ("group_id", Text)],
            &[("user_id", Text), ("traits", Map)],
        ),
        "/v1/events" => {
            (&[("api_key", Text), ("timestamp", Milliseconds), ("user_id", Text), ("event", Text)], &[])
        }
        _ => (&[], &[]),
    };
    Form { required, optional, closed: true }
}

/// Returns the fields that the integrations require (`docs/accoil-api.md#the-segment-endpoint`). Other fields are no
/// problem, because *Post to Accoil* sends the whole event.
fn segment_form(kind: &str) -> Option<Form> {
    let (required, optional): (Fields, Fields) = match kind {
        "identify" => (&[("timestamp", Time), ("userId", Text)], &[("traits", Map)]),
        "group" => (
            &[("timestamp", Time), ("groupId", Text)],
            &[("userId", Text), ("anonymousId", Text), ("traits", Map)],
        ),
        "track" => (&[("timestamp", Time), ("userId", Text), ("event", Text)], &[("anonymousId", Text)]),
        "page" | "screen" => (&[("timestamp", Time)], &[("name", Text), ("userId", Text)]),
        _ => return None,
    };
    Some(Form { required, optional, closed: false })
}

/// Lists how a request differs from the documents. A problem names fields and types, never a value.
pub(super) fn problems(
    dialect: Dialect,
    path: &str,
    authorization: Option<&str>,
    body: &Value<'_>,
) -> Vec<String> {
    let mut problems: Vec<String> = header_problem(dialect, authorization).into_iter().collect();
    let Some(object) = body.as_object() else {
        problems.push(format!("the body is documented as an object, found {}", body.kind()));
        return problems;
    };
    if dialect != Dialect::Segment {
        form(path).compare(object, &mut problems);
    } else if let Some(form) = body.get("type").and_then(Value::as_str).and_then(segment_form) {
        form.compare(object, &mut problems);
    } else if !object.is_empty() {
        // An empty object is the connection test of Segment's destination.
        problems.push("type: identify, group, track, page or screen is expected".to_owned());
    }
    problems
}

/// The two APIs take the key in different forms, which are easily confused (`docs/accoil-api.md#keys-and-hosts`).
fn header_problem(dialect: Dialect, authorization: Option<&str>) -> Option<String> {
    let encoded = basic(authorization).and_then(encoded_key).is_some();
    match dialect {
        Dialect::V2 if encoded => {
            Some("Authorization: base64 of the key, where the key itself is documented")
        }
        Dialect::Segment if !encoded => Some("Authorization: not base64 of the key and a colon"),
        _ => None,
    }
    .map(str::to_owned)
}

impl Form {
    fn compare(&self, body: &Object<'_>, problems: &mut Vec<String>) {
        for (name, kind) in self.fields() {
            match body.get(name) {
                Some(value) if kind.fits(value) => {}
                Some(value) => {
                    problems.push(format!("{name}: documented as {}, found {}", kind.name(), value.kind()));
                }
                None if self.required.iter().any(|(required, _)| required == name) => {
                    problems.push(format!("{name} missing"));
                }
                None => {}
            }
        }
        if self.closed {
            let undocumented = body.iter().filter(|(name, _)| !self.fields().any(|(known, _)| known == name));
            problems.extend(undocumented.map(|(name, _)| format!("{name}: not documented here")));
        }
    }

    fn fields(&self) -> impl Iterator<Item = &'static (&'static str, Kind)> {
        self.required.iter().chain(self.optional)
    }
}
