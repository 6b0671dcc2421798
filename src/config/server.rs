//! The two listeners, the limits of requests, and the log: `[server]`, `[limits]`, `[admin]`, `[log]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::SecretString;

use super::section::Section;
use super::value;

/// The nesting at which the JSON reader itself stops (`json::Value::parse_within`).
const MAX_JSON_DEPTH: u32 = 120;

/// The placeholder for an unreadable address.
const NO_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// `[server]`: the public listener.
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// Time limit from a request's first byte to its answer.
    pub request_timeout: Duration,
    /// The longest time from the stop signal to the end of the process, even if calls are in flight.
    pub shutdown_timeout: Duration,
    /// The address of the relay in the settings document. `None`: the host of the request.
    pub public_url: Option<String>,
    /// The most open connections. Further ones wait.
    pub max_connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
}

/// `[limits]`: the most that is read, measured on decompressed bytes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one event on the tracking API (`docs/segment.md#limits-of-the-tracking-api`).
    pub tracking_event_bytes: usize,
    /// Bytes of one body on the tracking API.
    pub tracking_batch_bytes: usize,
    pub tracking_batch_events: usize,
    /// Bytes of one body on `POST /segment` and `POST /amplitude`.
    pub webhook_bytes: usize,
    pub webhook_events: usize,
    /// Bytes of one body on Amplitude's HTTP V2, identify and group identify
    /// (`docs/amplitude.md#ingestion-paths-bodies-limits`).
    pub amplitude_bytes: usize,
    /// Bytes of one body on Amplitude's batch upload.
    pub amplitude_batch_bytes: usize,
    pub amplitude_events: usize,
    /// Levels of nesting.
    pub json_depth: usize,
    /// Bytes of all request bodies in memory together. Beyond it the relay answers 503.
    pub buffered_bytes: usize,
}

/// `[admin]`: the admin API and metrics, never on the public port.
#[derive(Debug, Clone)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Always set if `listen` is not loopback.
    pub token: Option<SecretString>,
    /// Only reads.
    pub viewer_token: Option<SecretString>,
    /// Whether the viewer token sees what events hold.
    pub viewer_sees_payloads: bool,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct Log {
    pub format: LogFormat,
    pub level: tracing::Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

pub(super) const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

pub(super) const LEVELS: [(&str, tracing::Level); 5] = [
    ("error", tracing::Level::ERROR),
    ("warn", tracing::Level::WARN),
    ("info", tracing::Level::INFO),
    ("debug", tracing::Level::DEBUG),
    ("trace", tracing::Level::TRACE),
];

impl Server {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            listen: section.get_required("listen", value::address).unwrap_or(NO_ADDRESS),
            request_timeout: section.require("request_timeout", value::duration),
            shutdown_timeout: section.require("shutdown_timeout", value::duration_or_zero),
            public_url: section.get("public_url", value::base_url),
            max_connections: section.require("max_connections", value::integer(1..=1_000_000)),
            keep_alive: section.require("keep_alive", value::duration),
        }
    }
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            tracking_event_bytes: section.require("tracking_event_bytes", value::bytes),
            tracking_batch_bytes: section.require("tracking_batch_bytes", value::bytes),
            tracking_batch_events: section.require("tracking_batch_events", value::integer(1..=1_000_000)),
            webhook_bytes: section.require("webhook_bytes", value::bytes),
            webhook_events: section.require("webhook_events", value::integer(1..=1_000_000)),
            amplitude_bytes: section.require("amplitude_bytes", value::bytes),
            amplitude_batch_bytes: section.require("amplitude_batch_bytes", value::bytes),
            amplitude_events: section.require("amplitude_events", value::integer(1..=1_000_000)),
            json_depth: section.require("json_depth", value::integer(1..=MAX_JSON_DEPTH)),
            buffered_bytes: section.require("buffered_bytes", value::bytes),
        }
    }
}

impl Admin {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            listen: section.get_required("listen", value::address).unwrap_or(NO_ADDRESS),
            token: section.secret("token", "token_file", value::token),
            viewer_token: section.secret("viewer_token", "viewer_token_file", value::token),
            viewer_sees_payloads: section.require("viewer_sees_payloads", value::switch),
        }
    }
}

impl Log {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            format: section.require("format", value::choice(&LOG_FORMATS)),
            level: section.get_required("level", value::choice(&LEVELS)).unwrap_or(tracing::Level::INFO),
        }
    }
}
