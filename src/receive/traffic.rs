//! The traffic of the public listener: counts each request by route and status, and each refusal by source and reason
//! too.
//!
//! A refusal is logged at most once a minute for each source and reason, with the number of refusals that were not
//! logged. All labels come from the configuration and from fixed lists, so that no sender can make the memory grow.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use chrono::Utc;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Version};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::answer::{Audience, RequestRefusal};
use super::listen::Routes;
use super::sender::Sender;
use super::{Receiver, panicked};
use crate::event::SourceKind;
use crate::facts::{Facts, RefusedRequest};
use crate::reasons::Reason;
use crate::telemetry::Timings;

/// The log has one line for each source and reason in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Used if no source is known because no key was right.
const UNKNOWN: &str = "unknown";

/// The routes by which requests are counted; the last one is for any other path.
const ROUTES: [&str; 18] = [
    "/segment",
    "/v1/identify",
    "/v1/track",
    "/v1/page",
    "/v1/screen",
    "/v1/group",
    "/v1/alias",
    "/v1/batch",
    "/v1/import",
    "/v1/projects/{write_key}/settings",
    "/amplitude",
    "/2/httpapi",
    "/batch",
    "/identify",
    "/groupidentify",
    "/healthz",
    "/readyz",
    "other",
];
/// The statuses of answers; the last one is for any other.
const STATUSES: [&str; 14] =
    ["200", "400", "401", "403", "404", "405", "408", "413", "415", "429", "431", "500", "503", "other"];

/// Marks the answer to a request that was refused.
#[derive(Debug, Clone)]
pub(super) struct RefusalMark {
    pub(super) reason: Reason,
    /// `None` if no source is known.
    pub(super) source: Option<Arc<str>>,
    pub(super) sender: Sender,
}

/// The counts since the start.
#[derive(Debug, Default)]
pub struct Traffic {
    routes: [Counts; ROUTES.len()],
    refused: Mutex<BTreeMap<RefusalKey, u64>>,
    log: Log,
}

/// The counts of one route.
#[derive(Debug, Default)]
struct Counts {
    took: Timings,
    statuses: [AtomicU64; STATUSES.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RefusalKey {
    source: Option<Arc<str>>,
    route: usize,
    status: usize,
    reason: Reason,
}

/// Answers a request and counts it.
pub(super) async fn observe(receiver: &Receiver, routes: impl Routes, request: Request<Body>) -> Response {
    let began = Instant::now();
    let route = route(request.uri().path());
    let refused = if request.extensions().get::<NoPlace>().is_some() {
        Some(RequestRefusal::NoPlace)
    } else {
        malformed(request.headers(), request.version()).map(RequestRefusal::Malformed)
    };
    let response = match refused {
        None => match AssertUnwindSafe(routes.oneshot(request)).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => panicked(),
        },
        Some(refused) => {
            let sender = Sender::of_head(request.headers(), request.extensions());
            let mut response = refused.answer(Audience::SegmentWebhook, None, sender);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    };
    let took = began.elapsed();
    receiver.traffic().count(route, took, &response, receiver.facts());
    tracing::debug!(
        http.route = ROUTES.get(route),
        http.status = response.status().as_u16(),
        http.took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "answered a request"
    );
    response
}

/// Returns what a request violates of the rules by which servers agree where a request begins and ends, and which
/// host it is for.
pub(crate) fn malformed(headers: &HeaderMap, version: Version) -> Option<&'static str> {
    match headers.get_all(HOST).iter().count() {
        0 if version >= Version::HTTP_11 => return Some("the Host header is missing; send it"),
        0 | 1 => {}
        _ => return Some("the Host header is repeated; send it once"),
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => None,
        (Some(coding), None) if coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => None,
        _ => Some(
            "Transfer-Encoding must be chunked and nothing else; to compress a body, send Content-Encoding",
        ),
    }
}

/// Marks a request on a connection that had no place.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoPlace;

impl Traffic {
    fn count(&self, route: usize, took: Duration, response: &Response, facts: &Facts) {
        let status = status(response.status().as_u16());
        if let Some(counts) = self.routes.get(route) {
            counts.took.add(took);
            if let Some(count) = counts.statuses.get(status) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Some(refusal) = response.extensions().get::<RefusalMark>() {
            self.refused_request(refusal, route, response.status().as_u16(), facts);
        }
    }

    /// Only this function logs, counts and records a refused request.
    fn refused_request(&self, refusal: &RefusalMark, route: usize, code: u16, facts: &Facts) {
        let RefusalMark { reason, source, sender } = refusal;
        self.log.refused(source.as_ref(), *reason, route, code);
        let key = RefusalKey { source: source.clone(), route, status: status(code), reason: *reason };
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        facts.refused_request(&RefusedRequest {
            kind: kind(route),
            source: source.clone(),
            route: ROUTES.get(route).copied().unwrap_or_default(),
            reason: *reason,
            status: code,
            key: sender.key.clone(),
            at: Utc::now(),
            address: sender.address,
            agent: sender.agent.as_ref().and_then(|agent| agent.to_str().ok()),
            bytes: sender.bytes,
            body: sender.body.as_ref(),
        });
    }

    /// Counts a request whose head could not be read: hyper answers it itself, with this status.
    pub fn count_unreadable_head(&self, code: u16, facts: &Facts) {
        let other = ROUTES.len() - 1;
        if let Some(count) = self.routes.get(other).and_then(|counts| counts.statuses.get(status(code))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let refusal = RefusalMark { reason: Reason::DoorRequest, source: None, sender: Sender::default() };
        self.refused_request(&refusal, other, code, facts);
    }

    /// Returns route, status and count of all requests.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        ROUTES.iter().zip(&self.routes).flat_map(|(route, counts)| {
            let statuses = STATUSES.iter().zip(&counts.statuses);
            statuses
                .map(|(status, count)| (*route, *status, count.load(Ordering::Relaxed)))
                .filter(|(.., count)| *count > 0)
        })
    }

    /// Returns each route with its times to the answer.
    pub fn timings(&self) -> impl Iterator<Item = (&'static str, &Timings)> {
        let all = ROUTES.iter().zip(&self.routes).map(|(route, counts)| (*route, &counts.took));
        all.filter(|(_, took)| took.count() > 0)
    }

    /// Calls `each` with source, route, status, reason and count of all refusals.
    pub fn refused(&self, mut each: impl FnMut(&str, &str, &str, Reason, u64)) {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (key, count) in &refused {
            let name = key.source.as_deref().unwrap_or(UNKNOWN);
            let route = ROUTES.get(key.route).copied().unwrap_or_default();
            let status = STATUSES.get(key.status).copied().unwrap_or_default();
            each(name, route, status, key.reason, *count);
        }
    }

    /// Logs the refusals that were held back, once their minute is over, until it is stopped.
    pub async fn log_held_back(&self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOG_EVERY)).await.is_some() {
            self.log.flush();
        }
        self.log.flush();
    }
}

/// When each source and reason was last logged.
#[derive(Debug, Default)]
struct Log(Mutex<Lines>);

/// By source, if it is known, and reason.
type Lines = BTreeMap<(Option<Arc<str>>, Reason), Line>;

#[derive(Debug)]
struct Line {
    logged_at: Instant,
    held_back: u64,
}

impl Log {
    fn refused(&self, source: Option<&Arc<str>>, reason: Reason, route: usize, status: u16) {
        let now = Instant::now();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held_back = match lines.get_mut(&(source.cloned(), reason)) {
            Some(line) if now.duration_since(line.logged_at) < LOG_EVERY => {
                line.held_back += 1;
                return;
            }
            Some(line) => {
                line.logged_at = now;
                std::mem::take(&mut line.held_back)
            }
            None => {
                lines.insert((source.cloned(), reason), Line { logged_at: now, held_back: 0 });
                0
            }
        };
        drop(lines);
        tracing::warn!(
            source.name = source.map_or(UNKNOWN, |name| name),
            http.route = ROUTES.get(route),
            http.status = status,
            reason.code = reason.code(),
            log.held_back = held_back,
            "refused a request: {}. {}",
            reason.title(),
            reason.to_do()
        );
    }

    fn flush(&self) {
        let now = Instant::now();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for ((source, reason), line) in lines.iter_mut().filter(|(_, line)| line.held_back > 0) {
            tracing::warn!(
                source.name = source.as_deref().unwrap_or(UNKNOWN),
                reason.code = reason.code(),
                log.held_back = line.held_back,
                "refused more requests: {}",
                reason.title()
            );
            *line = Line { logged_at: now, held_back: 0 };
        }
    }
}

fn route(path: &str) -> usize {
    let other = ROUTES.len() - 1;
    let path = path.strip_suffix('/').unwrap_or(path);
    let name = match path {
        "/v1/i" => "/v1/identify",
        "/v1/t" => "/v1/track",
        "/v1/p" => "/v1/page",
        "/v1/s" => "/v1/screen",
        "/v1/g" => "/v1/group",
        "/v1/a" => "/v1/alias",
        "/v1/b" => "/v1/batch",
        path if path.starts_with("/v1/projects/") && path.ends_with("/settings") => {
            "/v1/projects/{write_key}/settings"
        }
        path => path,
    };
    ROUTES.iter().position(|route| *route == name).unwrap_or(other)
}

/// Returns the kind of senders that a route is for.
fn kind(route: usize) -> Option<SourceKind> {
    match *ROUTES.get(route)? {
        "/amplitude" | "/2/httpapi" | "/batch" | "/identify" | "/groupidentify" => {
            Some(SourceKind::Amplitude)
        }
        route if route == "/segment" || route.starts_with("/v1/") => Some(SourceKind::Segment),
        _ => None,
    }
}

fn status(status: u16) -> usize {
    let known = |name: &&str| name.parse() == Ok(status);
    STATUSES.iter().position(known).unwrap_or(STATUSES.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_counted_under_its_route() {
        for (path, expected) in [
            ("/segment", "/segment"),
            ("/segment/", "/segment"),
            ("/v1/b", "/v1/batch"),
            ("/v1/projects/a-key/settings", "/v1/projects/{write_key}/settings"),
            ("/", "other"),
            ("/v1/trak", "other"),
            ("/other", "other"),
            ("/groupidentify", "/groupidentify"),
        ] {
            assert_eq!(ROUTES[route(path)], expected, "{path}");
        }
        assert_eq!((STATUSES[status(200)], STATUSES[status(418)]), ("200", "other"));
    }
}
