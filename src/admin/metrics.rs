//! `GET /metrics`: each destination's state and counts, in Prometheus' text format.
//!
//! Read from what the dispatchers show anyway: an event pays nothing for it. Counts are since the start.

use std::fmt::Write as _;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::Admin;
use crate::deliver::{State as Health, Status};

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
    let mut response = Response::new(Body::from(text(&admin.0.receiver.destinations())));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Names of destinations are letters, digits, `-` and `_`: they need no escape.
fn text(destinations: &[Status]) -> String {
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
