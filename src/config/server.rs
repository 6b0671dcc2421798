//! The two listeners, the limits of requests, and the log.

use std::net::SocketAddr;
use std::time::Duration;

use secrecy::SecretString;
use tracing::Level;

use super::table::section;
use super::value::{self, Word};

/// The nesting at which the JSON reader itself stops (`json::Value::parse_within`).
const MAX_JSON_DEPTH: u32 = 120;

section! {
    /// The public listener, to which senders post.
    Always [server] pub struct Server {
        /// IP address and port. `"0.0.0.0:8080"` listens on every interface; each source then needs a `write_key`.
        listen: SocketAddr = default("127.0.0.1:8080"), value::address;
        /// How long a request may take, from its first byte to its answer.
        request_timeout: Duration = default("30s"), value::duration;
        /// How long the relay may take to stop after the signal, even if calls are in flight. `"0s"`: it stops at once.
        shutdown_timeout: Duration = default("25s"), value::duration_or_zero;
        /// The address by which browsers and apps reach the relay; SDKs load it as their `apiHost`.
        public_url: Option<String> = optional(
            "https://relay.example.com", "from the request: `X-Forwarded-Host` and `X-Forwarded-Proto`, or else `Host`"
        ), value::base_url;
        /// Connections that are open at once; further ones wait. Fewer if the system's limit of open files is lower.
        max_connections: usize = default(4096), value::integer(1..=1_000_000);
        /// How long an idle connection is kept, and the most time for the head of a request. Longer than a load balancer in
        /// front keeps its side (60 s with most): otherwise it sends a request on a connection that the relay just closes.
        keep_alive: Duration = default("75s"), value::duration;
    }
}

section! {
    /// The most that is read of a request, after decompression. The answer to more is a clear 4xx.
    Always [limits] pub struct Limits {
        /// Segment's tracking API: bytes of one event.
        tracking_event_bytes: usize = default(32768), value::bytes;
        /// Segment's tracking API: bytes of one body.
        tracking_batch_bytes: usize = default(1048576), value::bytes;
        /// Segment's tracking API: events in one body.
        tracking_batch_events: usize = default(2500), value::integer(1..=1_000_000);
        /// `POST /segment` and `POST /amplitude`: bytes of one body.
        webhook_bytes: usize = default(4194304), value::bytes;
        /// `POST /segment` and `POST /amplitude`: events in one body.
        webhook_events: usize = default(4000), value::integer(1..=1_000_000);
        /// Amplitude's SDKs: bytes of one body, except on `/batch`.
        amplitude_bytes: usize = default(1048576), value::bytes;
        /// Amplitude's SDKs: bytes of one body on `/batch`.
        amplitude_batch_bytes: usize = default(20971520), value::bytes;
        /// Amplitude's SDKs: events in one body.
        amplitude_events: usize = default(2000), value::integer(1..=1_000_000);
        /// Levels of objects and arrays in each other; 120 at most.
        json_depth: usize = default(64), value::integer(1..=MAX_JSON_DEPTH);
        /// Bytes of all request bodies in memory together; beyond it senders get 503 and send again.
        buffered_bytes: usize = default(268435456), value::bytes;
    }
}

section! {
    /// The admin listener: the dashboard, the API and `/metrics`. Never on the public port.
    Always [admin] pub struct Admin {
        /// IP address and port.
        listen: SocketAddr = default("127.0.0.1:8081"), value::address;
        /// The bearer token. Required unless the admin listener is on loopback.
        token: Option<SecretString> = secret("${RELAY_ADMIN_TOKEN}"), value::token;
        /// A second token, which only reads.
        viewer_token: Option<SecretString> = secret("${RELAY_VIEWER_TOKEN}"), value::token;
        /// Whether the viewer token sees the contents of events.
        viewer_sees_payloads: bool = default(false), value::switch;
    }
}

section! {
    /// The relay's own log, on standard error.
    Always [log] pub struct Log {
        /// `"text"` for people, `"json"` for collectors.
        format: LogFormat = default("text"), value::choice;
        /// `"error"`, `"warn"`, `"info"`, `"debug"` or `"trace"`.
        level: Level = default("info"), value::choice;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Word for LogFormat {
    const WORDS: &'static [(&'static str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl Word for Level {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("error", Self::ERROR),
        ("warn", Self::WARN),
        ("info", Self::INFO),
        ("debug", Self::DEBUG),
        ("trace", Self::TRACE),
    ];
}
