//! The requests that the sandbox received, as `/received` and tests see them.

use std::sync::Arc;

use ::http::StatusCode;
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};

use super::contract::{self, Dialect};
use super::ledger::Entry;
use super::{Sandbox, http};
use crate::json::Value;

/// One request as it is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Received {
    /// Its place in the order of arrival, from 1. Accepted and refused requests share one numbering.
    pub sequence: u64,
    #[serde(serialize_with = "rfc3339")]
    pub at: DateTime<Utc>,
    pub method: String,
    pub path: String,
    /// The header as it was sent.
    pub authorization: Option<String>,
    /// The key, decoded from the form of the dialect: plain (v2), base64 of `key:` (segment), in the body (v1).
    pub api_key: Option<String>,
    /// `v1`, `v2` or `segment`.
    pub dialect: &'static str,
    /// The status of the answer; `None` if the connection was closed instead.
    pub status: Option<u16>,
    /// The body as JSON, or as text if it is not JSON; null if it was over the limit.
    pub body: Value<'static>,
    /// How the request differs from the documents. Accoil would not report these either.
    pub problems: Vec<String>,
}

impl Received {
    /// Parses a stored request.
    pub(super) fn of(entry: &Entry) -> Self {
        let call = &entry.call;
        let dialect = Dialect::of(&call.path);
        let (body, unreadable) = match &call.body {
            Some(body) => parse(body),
            None => (Value::Null, Some("the body was over the limit and is not kept".to_owned())),
        };
        let authorization = call.authorization.as_deref();
        let problems = match unreadable {
            Some(problem) => vec![problem],
            None => contract::problems(dialect, &call.path, authorization, &body),
        };
        Self {
            sequence: entry.sequence,
            at: entry.at,
            method: call.method.to_string(),
            path: call.path.clone(),
            authorization: call.authorization.clone(),
            api_key: dialect.api_key(authorization, &body),
            dialect: dialect.name(),
            status: call.status.map(|status| status.as_u16()),
            body,
            problems,
        }
    }
}

fn rfc3339<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Parses a body as JSON. If that fails, returns it as text, with the problem.
pub(super) fn parse(body: &[u8]) -> (Value<'static>, Option<String>) {
    let Ok(text) = std::str::from_utf8(body) else {
        let text = String::from_utf8_lossy(body).into_owned();
        return (Value::from(text), Some("the body is not UTF-8".to_owned()));
    };
    match Value::parse(text) {
        Ok(value) => (value.into_owned(), None),
        Err(error) => (Value::from(text.to_owned()), Some(format!("the body is not JSON: {error}"))),
    }
}

/// The requests that `GET /received` shows: those that match every given filter.
#[derive(Debug, Default)]
struct Filter {
    user: Option<String>,
    path: Option<String>,
    after: Option<u64>,
}

impl Filter {
    fn parse(query: &str) -> Result<Self, String> {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "user" => filter.user = Some(value.into_owned()),
                "path" => filter.path = Some(value.into_owned()),
                "after" => match value.parse() {
                    Ok(sequence) => filter.after = Some(sequence),
                    Err(_) => return Err("after is not a sequence number: use a whole number".to_owned()),
                },
                _ => return Err("unknown filter: use user, path or after".to_owned()),
            }
        }
        Ok(filter)
    }

    fn show(&self, entry: &Entry) -> Option<Received> {
        let in_range = self.after.is_none_or(|after| entry.sequence > after);
        if !in_range || self.path.as_ref().is_some_and(|path| *path != entry.call.path) {
            return None;
        }
        let shown = Received::of(entry);
        let wanted = self.user.is_none() || contract::user(&shown.body) == self.user.as_deref();
        wanted.then_some(shown)
    }
}

/// A list that is parsed and written one request at a time: parsed all at once, it would need many times its size.
struct Shown<'a> {
    entries: &'a [Arc<Entry>],
    filter: &'a Filter,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.entries.iter().filter_map(|entry| self.filter.show(entry)))
    }
}

/// The answer of `GET /received`.
#[derive(Serialize)]
struct Listing<'a> {
    received: Shown<'a>,
    refused: Shown<'a>,
    /// The number of accepted requests, shown or not.
    total: u64,
}

pub(super) fn routes() -> Router<Sandbox> {
    Router::new().route("/received", get(show).delete(clear))
}

async fn show(State(sandbox): State<Sandbox>, RawQuery(query): RawQuery) -> Response {
    let filter = match Filter::parse(query.as_deref().unwrap_or_default()) {
        Ok(filter) => filter,
        Err(reason) => return http::message(StatusCode::BAD_REQUEST, &reason),
    };
    let total = sandbox.total();
    let kept = sandbox.0.ledger.snapshot();
    let listing = Listing {
        received: Shown { entries: &kept.received, filter: &filter },
        refused: Shown { entries: &kept.refused, filter: &filter },
        total,
    };
    http::json(StatusCode::OK, &listing)
}

async fn clear(State(sandbox): State<Sandbox>) -> Response {
    sandbox.0.ledger.clear();
    show(State(sandbox), RawQuery(None)).await
}
