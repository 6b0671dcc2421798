//! Answers one request for an account: checks the token, finds the account, and adds the expansions asked for.

use std::sync::atomic::Ordering;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, StatusCode};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use super::Accounts;
use crate::sandbox::store::{Account, InOrder, Store};
use crate::sandbox::{Sandbox, http};

/// The expansions that `_expansions` lists as available, in the documented order.
const EXPANSIONS: [&str; 3] = ["traits", "segments", "insights"];

/// The order of `metrics` in Accoil's documentation.
const METRICS: [&str; 12] = [
    "engagement_score",
    "raw_score",
    "owner_name",
    "first_seen",
    "last_seen",
    "active_users",
    "activation_rate",
    "overall_scored_events",
    "recently_scored_events",
    "scoring_profile_events",
    "total_people_count",
    "total_active_people_count",
];

pub(super) async fn answer(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    sandbox.accounts().answer(&headers, &Query::parse(query.as_deref().unwrap_or_default()))
}

impl Accounts {
    fn answer(&self, headers: &HeaderMap, query: &Query) -> Response {
        self.reads.fetch_add(1, Ordering::Relaxed);
        if !is_authorized(headers) {
            return error(
                StatusCode::UNAUTHORIZED,
                "Invalid or expired token",
                "unauthorized",
                "unauthorized",
                None,
            );
        }
        let Some(lookup) = query.lookup() else {
            let details = json!({ "available_parameters": ["id", "match_type/match_value pairs"] });
            let message = "At least one lookup parameter is required";
            let code = "missing_lookup_parameter";
            return error(StatusCode::BAD_REQUEST, message, "bad_request", code, Some(&details));
        };
        let Some(workspace) = &query.workspace else {
            return error(
                StatusCode::BAD_REQUEST,
                "workspace_id is required",
                "bad_request",
                "bad_request",
                None,
            );
        };
        match lookup.find(&self.store()) {
            Some(account) => {
                http::json(StatusCode::OK, &AccountAnswer { account, workspace, expand: &query.expand })
            }
            None => error(StatusCode::NOT_FOUND, "Resource not found", "not_found", "not_found", None),
        }
    }
}

/// Checks for a token of the read API; the ingress key is not one (`docs/accoil-api.md#reading-accounts`).
pub(super) fn is_authorized(headers: &HeaderMap) -> bool {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(|header| header.strip_prefix("Bearer accoil_")).is_some_and(|rest| !rest.is_empty())
}

/// The query parameters. An empty one counts as missing.
#[derive(Debug, Default)]
struct Query {
    workspace: Option<String>,
    id: Option<String>,
    match_type: Option<String>,
    match_value: Option<String>,
    expand: Vec<String>,
}

/// How to find the account.
enum Lookup<'a> {
    Id(&'a str),
    Match { kind: &'a str, value: &'a str },
}

impl Query {
    fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            let value = value.into_owned();
            match &*name {
                "workspace_id" => parsed.workspace = Some(value),
                "id" => parsed.id = Some(value),
                "match_type" => parsed.match_type = Some(value),
                "match_value" => parsed.match_value = Some(value),
                "expand" => parsed.expand = value.split(',').map(|word| word.trim().to_owned()).collect(),
                _ => {}
            }
        }
        parsed
    }

    fn lookup(&self) -> Option<Lookup<'_>> {
        match (&self.id, &self.match_type, &self.match_value) {
            (Some(id), ..) => Some(Lookup::Id(id)),
            (None, Some(kind), Some(value)) => Some(Lookup::Match { kind, value }),
            _ => None,
        }
    }
}

impl Lookup<'_> {
    fn find<'s>(&self, store: &'s Store) -> Option<&'s Account> {
        match self {
            Self::Id(id) => store.get(id),
            Self::Match { kind: "tracking_id", value } => store.get(store.id_of(value)?),
            Self::Match { kind, value } => store.iter().find(|account| is_match(account, kind, value)),
        }
    }
}

/// Compares the account's own member, or its trait, with the whole value.
fn is_match(account: &Account, kind: &str, value: &str) -> bool {
    let found = match kind {
        "name" | "domain" => account.get(kind),
        _ => account.get("traits").and_then(|traits| traits.get(kind)),
    };
    match found {
        Some(Value::String(text)) => text == value,
        Some(Value::Number(number)) => number.to_string() == value,
        Some(Value::Bool(is_so)) => is_so.to_string() == value,
        _ => false,
    }
}

/// The answer with an account, its members in the documented order.
struct AccountAnswer<'a> {
    account: &'a Account,
    workspace: &'a str,
    expand: &'a [String],
}

impl Serialize for AccountAnswer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for name in ["id", "name", "domain", "tracking_id"] {
            map.serialize_entry(name, &self.account.get(name))?;
        }
        match self.account.get("metrics") {
            Some(Value::Object(members)) => {
                map.serialize_entry("metrics", &InOrder { members, order: &METRICS })?;
            }
            other => map.serialize_entry("metrics", &other)?,
        }
        for name in EXPANSIONS.into_iter().filter(|name| self.expand.iter().any(|word| word == name)) {
            map.serialize_entry(name, &self.account.get(name))?;
        }
        map.serialize_entry("_expansions", &Expansions::of(self.expand))?;
        map.serialize_entry("_links", &json!({ "self": { "href": self.href() } }))?;
        map.end()
    }
}

impl AccountAnswer<'_> {
    fn href(&self) -> String {
        let id = self.account.get("id").and_then(Value::as_str).unwrap_or_default();
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("id", id)
            .append_pair("workspace_id", self.workspace)
            .finish();
        format!("/v1/accounts?{query}")
    }
}

#[derive(serde::Serialize)]
struct Expansions<'a> {
    available: [&'static str; 3],
    documentation: &'static str,
    unknown_parameters: Vec<&'a str>,
    error: Option<&'a str>,
}

impl<'a> Expansions<'a> {
    fn of(expand: &'a [String]) -> Self {
        let words = expand.iter().map(String::as_str);
        Self {
            available: EXPANSIONS,
            documentation: "Use expand=option1,option2 to include additional data",
            unknown_parameters: words.filter(|word| !EXPANSIONS.contains(word)).collect(),
            error: None,
        }
    }
}

/// Returns an error in the documented form and order.
pub(super) fn error(
    code: StatusCode,
    message: &str,
    status: &str,
    name: &str,
    details: Option<&Value>,
) -> Response {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        error: Inner<'a>,
    }
    #[derive(serde::Serialize)]
    struct Inner<'a> {
        message: &'a str,
        status: &'a str,
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        details: Option<&'a Value>,
    }
    http::json(code, &Body { error: Inner { message, status, code: name, details } })
}
