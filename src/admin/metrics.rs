//! `GET /metrics`: the counters that the stages keep, in Prometheus' text format. `docs/metrics.md` lists them.
//!
//! The values are read when the page is requested: counting an event costs only an atomic addition.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};

use super::Admin;
use super::error::ApiError;
use super::request::{NoParameters, Parameters};
use crate::accounts::sync::Summary;
use crate::deliver::{Failures, State as Health, Status};
use crate::facts::Counts;
use crate::outbox::{Outbox, Stored, Usage};
use crate::pipeline::Sources;
use crate::receive::{Receiver, Traffic};
use crate::telemetry::metrics::{self, Page};
use crate::telemetry::{Process, unix_seconds};

/// Every counter, in `OpenMetrics` format
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn show(
    State(admin): State<Admin>,
    Parameters(NoParameters {}): Parameters<NoParameters>,
) -> Response {
    let Ok(text) = text(&admin).await else {
        let error = "the metrics could not be written; report it";
        return ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", error).into_response();
    };
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn text(admin: &Admin) -> Result<String, fmt::Error> {
    let receiver = admin.receiver();
    let mut page = Page::default();
    process(&mut page, receiver, admin.started());
    traffic(&mut page, receiver.traffic());
    sources(&mut page, &receiver.sources(), receiver.facts().counts());
    outbox(&mut page, receiver.outbox()).await;
    destinations(&mut page, &receiver.destinations());
    syncs(&mut page, &admin.syncs().last().await);
    page.text()
}

fn process(page: &mut Page, receiver: &Receiver, started: std::time::SystemTime) {
    page.whole(metrics::BUILD, &[env!("CARGO_PKG_VERSION")], 1);
    page.whole(metrics::READY, &[], u64::from(receiver.ready().is_ok()));
    page.real(metrics::STARTED, &[], unix_seconds(started));
    if let Some(Process { cpu, memory, files, most_files }) = Process::read() {
        page.real(metrics::CPU, &[], cpu.as_secs_f64());
        page.whole(metrics::MEMORY, &[], memory);
        page.whole(metrics::FILES, &[], files);
        page.whole(metrics::MAX_FILES, &[], most_files);
    }
}

fn traffic(page: &mut Page, traffic: &Traffic) {
    for (route, status, count) in traffic.requests() {
        page.whole(metrics::REQUESTS, &[route, status], count);
    }
    for (route, took) in traffic.timings() {
        page.times(metrics::ANSWER_TIME, &[route], took);
    }
    traffic.refused(|source, route, status, reason, count| {
        page.whole(metrics::REFUSED, &[source, route, status, reason.code()], count);
    });
}

fn sources(page: &mut Page, sources: &Sources, counts: &Counts) {
    for source in sources.iter() {
        let (name, counts) = (&*source.name, &source.counts);
        for (outcome, count) in [
            ("accepted", &counts.accepted),
            ("duplicate", &counts.duplicates),
            ("skipped", &counts.skipped),
            ("rejected", &counts.rejected),
        ] {
            page.whole(metrics::EVENTS, &[name, outcome], count.load(Ordering::Relaxed));
        }
        for (reason, count) in counts.reasons.iter() {
            let outcome = match reason {
                crate::reasons::Reason::Duplicate => "duplicate",
                // An unreadable body is kept as a reject.
                reason if reason.kind() == crate::reasons::Kind::Door => "rejected",
                reason => reason.kind().name(),
            };
            page.whole(metrics::EVENT_REASONS, &[name, outcome, reason.code()], count);
        }
        page.whole(metrics::BODIES, &[name], counts.bytes.load(Ordering::Relaxed));
    }
    for destination in sources.destinations() {
        for mapping in &destination.mappings {
            let labels = [&*destination.name, &*mapping.name];
            let (calls, rejected) = counts.mapping(&destination.name, &mapping.name);
            page.whole(metrics::MAPPED, &labels, calls);
            page.whole(metrics::MAPPING_REJECTS, &labels, rejected);
        }
    }
}

/// Adds the outbox's values; those that cannot be read are left out.
async fn outbox(page: &mut Page, outbox: &Outbox) {
    let Usage { waiting, dead_letters, rejects } = outbox.usage();
    page.whole(metrics::WAITING_CALLS, &[], waiting.rows);
    page.whole(metrics::WAITING, &[], waiting.bytes);
    for (kind, kept) in [("dead letter", dead_letters), ("reject", rejects)] {
        page.whole(metrics::KEPT, &[kind], kept.rows);
        page.whole(metrics::KEPT_BYTES, &[kind], kept.bytes);
    }
    let (most_waiting, least_disk) = outbox.limits();
    page.whole(metrics::MAX_WAITING, &[], most_waiting);
    page.whole(metrics::LEAST_DISK, &[], least_disk);
    let handle = outbox.clone();
    // A disk may block the thread.
    if let Ok(Some(free)) = tokio::task::spawn_blocking(move || handle.free_disk()).await {
        page.whole(metrics::DISK, &[], free);
    }
    if let Ok(oldest) = outbox.oldest_waiting().await {
        let age = oldest.and_then(|oldest| (Utc::now() - oldest).to_std().ok()).unwrap_or_default();
        page.real(metrics::OLDEST, &[], age.as_secs_f64());
    }
    for stored in Stored::ALL {
        page.whole(metrics::DAMAGED, &[stored.name()], outbox.damaged(stored));
    }
    page.times(metrics::COMMIT_TIME, &[], outbox.commit_timings());
}

fn destinations(page: &mut Page, destinations: &[Status]) {
    for status in destinations {
        let name = &*status.name;
        for (metric, value) in [
            (metrics::DELIVERED, status.delivered),
            (metrics::HELD, status.held),
            (metrics::RETRIED, status.retried),
            (metrics::DEAD, status.dead),
            (metrics::IN_FLIGHT, status.in_flight as u64),
            (metrics::LOADED, status.loaded as u64),
            (metrics::WAITING_USERS, status.waiting_users as u64),
            (metrics::FAILING_USERS, status.failing_users as u64),
        ] {
            page.whole(metric, &[name], value);
        }
        for Failures { status, reason, count } in status.counters.failures() {
            let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            page.whole(metrics::FAILURES, &[name, &status, reason.code()], count);
        }
        page.times(metrics::CALL_TIME, &[name], &status.counters.call_time);
        page.times(metrics::DELIVERY_TIME, &[name], &status.counters.event_to_delivered);
        for state in Health::ALL {
            page.whole(metrics::STATE, &[name, state.name()], u64::from(status.state == state));
        }
    }
}

/// Adds the last run of each sync; nothing before its first.
fn syncs(page: &mut Page, last: &[Arc<Summary>]) {
    for run in last {
        let direction = run.direction.name();
        for (outcome, count) in [
            ("written", run.written),
            ("unchanged", run.unchanged),
            ("resumed", run.resumed),
            ("waiting", run.waiting),
            ("unknown", run.unknown.len()),
            ("skipped", run.skipped.len()),
            ("failed", run.failed.len()),
        ] {
            page.whole(metrics::SYNC_ACCOUNTS, &[direction, outcome], count as u64);
        }
        page.whole(metrics::SYNC_ENDED, &[direction], run.at.timestamp().try_into().unwrap_or(0));
        page.whole(metrics::SYNC_SUCCESS, &[direction], u64::from(run.is_success()));
    }
}
