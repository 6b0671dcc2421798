//! Log lines about the whole process, and every metric. Logs go to stderr and never contain a body, a key or a
//! personal value.
//!
//! Fields are dotted: `source.name`, `destination.name`, `mapping.name`, `mapping.fault`, `reason.code`,
//! `http.route`, `http.status`, `error.message`, `task.name`, `chunk.id`, `event.id`, `event.name`, `call.attempt`,
//! `call.duration_ms`, `sync.direction`.

pub mod metrics;
mod process;
mod timings;

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::config::{self, Log, LogFormat};
use crate::event::SourceKind;
use crate::fault::Fault;

pub use process::{Process, unix_seconds};
pub use timings::Timings;

/// Starts logging; a second call changes nothing.
pub fn init(log: &Log) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(log.level)
        .with_ansi(is_colored(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR")))
        .with_writer(std::io::stderr)
        .with_target(false);
    let _ = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}

/// Colours on a terminal, unless `NO_COLOR` is set to anything (no-color.org).
fn is_colored(is_terminal: bool, no_color: Option<OsString>) -> bool {
    is_terminal && no_color.is_none_or(|value| value.is_empty())
}

/// The relay accepts events.
pub fn started(address: SocketAddr, admin: SocketAddr, outbox: &str) {
    tracing::info!(
        server.listen = %address,
        admin.listen = %admin,
        outbox.url = outbox,
        "listening; a 200 means that the events are stored in the outbox"
    );
}

/// At the start: a source, and the addresses to paste into its senders.
pub fn source(name: &str, kind: SourceKind, address: SocketAddr) {
    let ip = address.ip();
    // A listener on every interface has no single address to paste.
    let host = if ip.is_unspecified() { "localhost".to_owned() } else { SocketAddr::new(ip, 0).to_string() };
    let host = host.strip_suffix(":0").unwrap_or(&host);
    let base = format!("http://{host}:{}", address.port());
    let sdk = if kind == SourceKind::Amplitude { "/2/httpapi" } else { "" };
    tracing::info!(
        source.name = name,
        source.kind = kind.name(),
        source.webhook = %format!("{base}/{}", kind.name()),
        source.sdk = %format!("{base}{sdk}"),
        "source: paste these addresses into its webhook or its SDK"
    );
}

/// At the start: a destination and its mappings.
pub fn destination(section: &config::Destination, mappings: usize) {
    let listed: Vec<&str> = section.mappings.iter().map(|one| one.text.as_str()).collect();
    tracing::info!(
        destination.name = section.name,
        destination.url = section.base_url,
        destination.api = section.api.name(),
        mapping.count = mappings,
        mapping.files = listed.join(", "),
        "destination"
    );
}

/// The default admin port is in use, most likely by another relay.
pub fn admin_port_in_use(usual: SocketAddr, taken: SocketAddr) {
    tracing::warn!(
        admin.listen = %taken,
        "{usual} is in use, so the admin listener has another address this time; set admin.listen to choose one"
    );
}

/// `--recover-outbox` found nothing to do.
pub fn nothing_to_recover() {
    tracing::info!("the outbox is sound; there was nothing to recover");
}

/// The damaged outbox was moved aside. `rows` of each table were copied, and `unreadable` places could not be read.
pub fn recovered(aside: &Path, rows: &[(&'static str, u64)], unreadable: u64) {
    for (table, rows) in rows {
        tracing::warn!(outbox.table = table, outbox.rows = rows, "recovered from the damaged outbox");
    }
    tracing::warn!(
        outbox.aside = %aside.display(),
        outbox.unreadable = unreadable,
        "the damaged outbox was moved aside and its readable part was copied into a new one"
    );
}

/// What was committed and is missing from the damaged outbox and from its log.
pub fn lost(commits: u64, has_lost_rejects: bool, lost: &str) {
    tracing::error!(
        outbox.lost_commits = commits,
        outbox.lost_rejects = has_lost_rejects,
        "lost: at least {lost}. They were committed, but neither the file nor its log contains them now"
    );
}

/// Calls wait for a destination that is not configured.
pub fn orphaned_calls(destination: &str, requests: u64) {
    tracing::warn!(
        destination.name = destination,
        outbox.requests = requests,
        "calls wait for a destination that is not configured; `accoil-relay waiting list --destination {destination}` shows them, \
         `waiting move` moves them to another one"
    );
}

/// Mappings that load but may contain a mistake.
pub fn mapping_warnings(warnings: &[Fault]) {
    for warning in warnings {
        tracing::warn!(mapping.fault = %warning, "a mapping may contain a mistake");
    }
}

/// The mapping files were reloaded and are in force.
pub fn mappings_reloaded(mappings: usize, warnings: &[Fault]) {
    mapping_warnings(warnings);
    tracing::info!(mapping.count = mappings, "the mapping files were reloaded and are in force");
}

/// The mapping files were reloaded, but have faults.
pub fn mappings_not_reloaded(faults: &[Fault]) {
    for fault in faults {
        tracing::error!(mapping.fault = %fault, "a mapping file cannot be used");
    }
    tracing::error!("the mapping files were reloaded but have faults; the previous mappings stay in force");
}

/// `waiting` is the number of calls in the outbox; `None` if counting them took too long.
pub fn stopped(in_time: bool, waiting: Option<u64>) {
    let waiting = match waiting {
        Some(0) => "no call waits".to_owned(),
        Some(1) => "1 call waits in the outbox for the next start".to_owned(),
        Some(calls) => format!("{calls} calls wait in the outbox for the next start"),
        None => "more calls than could be counted wait in the outbox for the next start".to_owned(),
    };
    if in_time {
        tracing::info!("stopped: {waiting}");
    } else {
        tracing::warn!(
            "stopped at the deadline with calls in flight, which are repeated after the next start: {waiting}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_color_is_honoured() {
        for (is_terminal, no_color, expected) in
            [(true, None, true), (true, Some(""), true), (true, Some("1"), false), (false, None, false)]
        {
            assert_eq!(is_colored(is_terminal, no_color.map(OsString::from)), expected, "{no_color:?}");
        }
    }
}
