//! The two listeners, what they take, and the log: `[server]`, `[limits]`, `[admin]`, `[log]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use secrecy::SecretString;

use super::section::Section;
use super::value;

/// Levels of nesting at which the JSON reader itself stops (`json::Value::parse_within`).
const DEEPEST: u32 = 120;

/// Stands in for an address that could not be read.
const NO_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// `[server]`: the public listener.
#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    /// From a request's first byte to its answer.
    pub request_timeout: Duration,
    /// From the signal to stop until the process ends, whatever is still in flight.
    pub shutdown_timeout: Duration,
    /// Where senders reach the relay, for the settings document; `None`: as their requests name it.
    pub public_url: Option<String>,
    /// Open at once; further ones wait.
    pub max_connections: usize,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
}

/// `[limits]`: the most that is read, measured on decompressed bytes (issue 2, "Receive").
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of one event on the tracking API (`facts/segment.md` 1).
    pub tracking_event_bytes: usize,
    /// Bytes of one body on the tracking API.
    pub tracking_batch_bytes: usize,
    pub tracking_batch_events: usize,
    /// Bytes of one body on `POST /segment` and `POST /amplitude`.
    pub webhook_bytes: usize,
    pub webhook_events: usize,
    /// Bytes of one body on Amplitude's HTTP V2, identify and group identify (`facts/amplitude.md` 4).
    pub amplitude_bytes: usize,
    /// Bytes of one body on Amplitude's batch upload.
    pub amplitude_batch_bytes: usize,
    pub amplitude_events: usize,
    /// Levels of nesting.
    pub json_depth: usize,
    /// Bytes of all request bodies in memory at once; beyond it senders hear 503.
    pub buffered_bytes: usize,
}

/// `[admin]`: API and metrics, never on the public port.
#[derive(Debug, Clone)]
pub struct Admin {
    pub listen: SocketAddr,
    /// Always there when `listen` is not loopback.
    pub token: Option<SecretString>,
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
            listen: section.required("listen", value::address).unwrap_or(NO_ADDRESS),
            request_timeout: section.need("request_timeout", value::duration),
            shutdown_timeout: section.need("shutdown_timeout", value::duration_or_none),
            public_url: section.get("public_url", value::base_url),
            max_connections: section.need("max_connections", value::whole(1..=1_000_000)),
            keep_alive: section.need("keep_alive", value::duration),
        }
    }
}

impl Limits {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            tracking_event_bytes: section.need("tracking_event_bytes", value::bytes),
            tracking_batch_bytes: section.need("tracking_batch_bytes", value::bytes),
            tracking_batch_events: section.need("tracking_batch_events", value::whole(1..=1_000_000)),
            webhook_bytes: section.need("webhook_bytes", value::bytes),
            webhook_events: section.need("webhook_events", value::whole(1..=1_000_000)),
            amplitude_bytes: section.need("amplitude_bytes", value::bytes),
            amplitude_batch_bytes: section.need("amplitude_batch_bytes", value::bytes),
            amplitude_events: section.need("amplitude_events", value::whole(1..=1_000_000)),
            json_depth: section.need("json_depth", value::whole(1..=DEEPEST)),
            buffered_bytes: section.need("buffered_bytes", value::bytes),
        }
    }
}

impl Admin {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            listen: section.required("listen", value::address).unwrap_or(NO_ADDRESS),
            token: section.secret("token", "token_file", value::token),
        }
    }
}

impl Log {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            format: section.need("format", value::choice(&LOG_FORMATS)),
            level: section.required("level", value::choice(&LEVELS)).unwrap_or(tracing::Level::INFO),
        }
    }
}
