//! `GET /metrics`: what came of each source's events, each destination's state and counts, the last runs of the syncs,
//! in Prometheus' text format.
//!
//! Read from what is kept anyway: an event pays next to nothing for it. Counts are since the start.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::Admin;
use crate::accounts::sync::Summary;
use crate::deliver::{State as Health, Status};
use crate::receive::Sources;

/// A metric: its name, its type, what it says, and a destination's value.
type Metric = (&'static str, &'static str, &'static str, fn(&Status) -> u64);

const METRICS: [Metric; 6] = [
    ("delivered_total", "counter", "Calls that Accoil took.", |status| status.delivered),
    ("retried_total", "counter", "Attempts that failed and are made again.", |status| status.retried),
    ("dead_letters_total", "counter", "Calls that became dead letters.", |status| status.dead),
    ("in_flight", "gauge", "Calls waiting for their answer.", |status| status.in_flight as u64),
    ("loaded", "gauge", "Calls in memory, those in flight included; more may wait on disk.", |status| {
        status.loaded as u64
    }),
    ("waiting_users", "gauge", "Users whose calls wait for a retry.", |status| status.waiting_users as u64),
];

pub(super) async fn show(State(admin): State<Admin>) -> Response {
    let mut all = of_sources(&admin.0.receiver.sources());
    all.push_str(&of_destinations(&admin.0.receiver.destinations()));
    all.push_str(&of_syncs(&admin.0.syncs.last().await));
    let mut response = Response::new(Body::from(all));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// What came of each source's events. Names are letters, digits, `-` and `_`: they need no escape.
fn of_sources(sources: &Sources) -> String {
    let metric = "accoil_relay_source_events_total";
    let mut text =
        format!("# HELP {metric} Events received, by what came of them.\n# TYPE {metric} counter\n");
    for source in sources.iter() {
        let counts = &source.counts;
        for (outcome, count) in [
            ("accepted", &counts.accepted),
            ("duplicate", &counts.duplicates),
            ("skipped", &counts.skipped),
            ("rejected", &counts.rejected),
        ] {
            let (name, count) = (&source.name, count.load(Ordering::Relaxed));
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{metric}{{source=\"{name}\",outcome=\"{outcome}\"}} {count}");
        }
    }
    text
}

fn of_destinations(destinations: &[Status]) -> String {
    let mut text = String::new();
    for (name, kind, help, value) in METRICS {
        let metric = format!("accoil_relay_destination_{name}");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} {kind}");
        for status in destinations {
            let _ = writeln!(text, "{metric}{{destination=\"{}\"}} {}", status.name, value(status));
        }
    }
    let metric = "accoil_relay_destination_state";
    let _ = writeln!(text, "# HELP {metric} 1 for the state it is in.\n# TYPE {metric} gauge");
    for status in destinations {
        for state in Health::ALL {
            let (name, value) = (state.name(), u8::from(status.state == state));
            let _ = writeln!(text, "{metric}{{destination=\"{}\",state=\"{name}\"}} {value}", status.name);
        }
    }
    text
}

/// The last run of each sync; nothing before its first.
fn of_syncs(last: &[Arc<Summary>]) -> String {
    let mut text = String::new();
    let metric = "accoil_relay_sync_accounts";
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "# HELP {metric} Accounts of the last run, by what came of them.\n# TYPE {metric} gauge"
    );
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
            let _ = writeln!(text, "{metric}{{direction=\"{direction}\",outcome=\"{outcome}\"}} {count}");
        }
    }
    for (name, help, value) in [
        (
            "ended_timestamp_seconds",
            "When the last run ended.",
            (|run| run.at.timestamp()) as fn(&Summary) -> i64,
        ),
        ("success", "1 if the last run saw to every account.", |run| i64::from(run.is_success())),
    ] {
        let metric = format!("accoil_relay_sync_{name}");
        let _ = writeln!(text, "# HELP {metric} {help}\n# TYPE {metric} gauge");
        for run in last {
            let _ = writeln!(text, "{metric}{{direction=\"{}\"}} {}", run.direction.name(), value(run));
        }
    }
    text
}
