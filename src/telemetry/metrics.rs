//! Every metric with its name, type, labels and meaning, and a page of their values in Prometheus' text format.
//!
//! Tests compare this table with `docs/metrics.md` and with the rules in `deploy/prometheus/alerts.yaml`. The admin
//! listener fills the page from counters that the stages keep anyway.

use std::fmt;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::timings::{Snapshot, Timings};

/// The prefix of every name.
pub const PREFIX: &str = "accoil_relay_";

/// The definition of a metric, and the labels of its samples.
#[derive(Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(pub const $constant: &Metric =
            &Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        /// Every metric.
        pub const ALL: &[&Metric] = &[$($constant),*];
    };
}

metrics! {
    BUILD: Gauge, "build_info", ["version"], "1, with the version that runs.";
    CPU: Counter, "process_cpu_seconds_total", [], "Processor time that the relay used.";
    MEMORY: Gauge, "process_resident_memory_bytes", [], "Memory that the relay holds.";
    FILES: Gauge, "process_open_fds", [], "File descriptors that are open.";
    MAX_FILES: Gauge, "process_max_fds", [], "File descriptors that may be open.";
    STARTED: Gauge, "process_start_time_seconds", [], "When the relay started, in Unix time.";
    READY: Gauge, "ready", [], "1 while events are accepted, else 0.";

    REQUESTS: Counter, "requests_total", ["route", "status"], "Requests to the public listener, by the status of their answer.";
    REFUSED: Counter, "refused_requests_total", ["source", "route", "status", "reason"], "Requests that were refused; source is unknown where no key was found to be right.";
    ANSWER_TIME: Histogram, "request_duration_seconds", ["route"], "From the head of a request to its answer.";
    EVENTS: Counter, "source_events_total", ["source", "outcome"], "Events received, by outcome: accepted, duplicate, skipped or rejected.";
    EVENT_REASONS: Counter, "source_event_reasons_total", ["source", "outcome", "reason"], "Why events were skipped, rejected or delivered with a warning.";
    BODIES: Counter, "source_received_bytes_total", ["source"], "Bytes of request bodies, after decompression.";
    MAPPED: Counter, "mapping_calls_total", ["destination", "mapping"], "Calls that a mapping made of events.";
    MAPPING_REJECTS: Counter, "mapping_rejected_total", ["destination", "mapping"], "Events that a mapping rejected.";

    WAITING: Gauge, "outbox_waiting_bytes", [], "Bytes on disk that wait to be delivered.";
    MAX_WAITING: Gauge, "outbox_max_bytes", [], "Bytes that may wait; beyond them senders are answered 503.";
    WAITING_CALLS: Gauge, "outbox_waiting_calls", [], "Calls on disk that wait to be delivered.";
    OLDEST: Gauge, "outbox_oldest_waiting_seconds", [], "Age of the oldest call that waits; 0 when none does.";
    DISK: Gauge, "outbox_disk_free_bytes", [], "Bytes that are free on the disk of the outbox.";
    LEAST_DISK: Gauge, "outbox_min_free_disk_bytes", [], "Bytes that must stay free; below them senders are answered 503.";
    KEPT: Gauge, "outbox_kept", ["kind"], "Dead letters and rejects that are kept.";
    KEPT_BYTES: Gauge, "outbox_kept_bytes", ["kind"], "Bytes of the dead letters and rejects that are kept.";
    DAMAGED: Counter, "outbox_damaged_rows_total", ["row"], "Stored rows found damaged on the disk since the start: chunk, call, dead letter, reject or progress. They are kept and not sent.";
    COMMIT_TIME: Histogram, "outbox_commit_duration_seconds", [], "One commit to disk, fsync included.";

    DELIVERED: Counter, "destination_delivered_total", ["destination"], "Calls that Accoil took.";
    HELD: Counter, "destination_held_total", ["destination"], "Calls that were not sent, because Accoil got the same content before.";
    RETRIED: Counter, "destination_retried_total", ["destination"], "Attempts that failed and are made again.";
    DEAD: Counter, "destination_dead_letters_total", ["destination"], "Calls that became dead letters.";
    FAILURES: Counter, "destination_failures_total", ["destination", "status", "reason"], "Attempts that failed, by status (none: no answer) and reason.";
    CALL_TIME: Histogram, "destination_call_duration_seconds", ["destination"], "From the start of a call to the end of its answer.";
    DELIVERY_TIME: Histogram, "destination_delivery_duration_seconds", ["destination"], "From the receipt of an event to the answer to its call.";
    IN_FLIGHT: Gauge, "destination_in_flight", ["destination"], "Calls that wait for their answer.";
    LOADED: Gauge, "destination_loaded", ["destination"], "Calls in memory, those in flight included; more may wait on disk.";
    WAITING_USERS: Gauge, "destination_waiting_users", ["destination"], "Users whose calls wait for a retry.";
    FAILING_USERS: Gauge, "destination_failing_users", ["destination"], "Users whose call has failed for a minute or more.";
    STATE: Gauge, "destination_state", ["destination", "state"], "1 for the state that the destination is in.";

    SYNC_ACCOUNTS: Gauge, "sync_accounts", ["direction", "outcome"], "Accounts of a sync's last run, by outcome.";
    SYNC_ENDED: Gauge, "sync_ended_timestamp_seconds", ["direction"], "When a sync's last run ended, in Unix time.";
    SYNC_SUCCESS: Gauge, "sync_success", ["direction"], "1 if a sync's last run handled every account.";
}

/// A value of a metric.
#[derive(Debug, Clone)]
enum Value {
    Whole(u64),
    Real(f64),
    Times(Snapshot),
}

type Labels = Vec<(&'static str, String)>;

/// The samples of one metric.
#[derive(Debug)]
struct Samples(Kind, Vec<(Labels, Value)>);

/// The values of all metrics at one moment.
#[derive(Debug, Default)]
pub struct Page(Vec<(&'static str, Labels, Value)>);

impl Page {
    pub fn whole(&mut self, metric: &'static Metric, labels: &[&str], value: u64) {
        self.add(metric, labels, Value::Whole(value));
    }

    pub fn real(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.add(metric, labels, Value::Real(value));
    }

    pub fn times(&mut self, metric: &'static Metric, labels: &[&str], value: &Timings) {
        self.add(metric, labels, Value::Times(value.snapshot()));
    }

    fn add(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "{}", metric.name);
        let labels = metric.labels.iter().copied().zip(labels.iter().map(|label| (*label).to_owned()));
        self.0.push((metric.name, labels.collect(), value));
    }

    /// Writes Prometheus' text format.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix(PREFIX.trim_end_matches('_'));
        let mut values = self.0;
        for metric in ALL {
            let (own, rest) = values.into_iter().partition(|(name, ..)| *name == metric.name);
            values = rest;
            let own: Vec<_> = own;
            let samples = own.into_iter().map(|(_, labels, value)| (labels, value)).collect();
            // The registry adds what is removed here: "_total", and a full stop.
            let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
            registry.register(name, metric.help.trim_end_matches('.'), Samples(metric.kind, samples));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl EncodeMetric for Samples {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, value) in &self.1 {
            if labels.is_empty() {
                value.encode(self.0, &mut encoder)?;
            } else {
                value.encode(self.0, &mut encoder.encode_family(labels)?)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        match self.0 {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        }
    }
}

impl Value {
    fn encode(&self, kind: Kind, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        const NONE: Option<&Exemplar<NoLabelSet, f64>> = None;
        match (kind, self) {
            (Kind::Counter, Self::Whole(value)) => encoder.encode_counter(value, NONE),
            (Kind::Counter, Self::Real(value)) => encoder.encode_counter(value, NONE),
            (_, Self::Whole(value)) => encoder.encode_gauge(value),
            (_, Self::Real(value)) => encoder.encode_gauge(value),
            (_, Self::Times(Snapshot { seconds, count, buckets })) => {
                encoder.encode_histogram::<NoLabelSet>(*seconds, *count, buckets, None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write as _;

    use super::*;

    const ROOT: &str = env!("CARGO_MANIFEST_DIR");

    #[test]
    fn a_page_is_prometheus_text() {
        let mut page = Page::default();
        page.whole(REQUESTS, &["/segment", "200"], 3);
        page.real(OLDEST, &[], 1.5);
        page.whole(KEPT, &["a\"b"], 1);
        let timings = Timings::default();
        timings.add(std::time::Duration::from_millis(3));
        page.times(CALL_TIME, &["accoil"], &timings);
        let text = page.text().unwrap();
        for expected in [
            "# TYPE accoil_relay_requests counter\naccoil_relay_requests_total{route=\"/segment\",status=\"200\"} 3\n",
            "# HELP accoil_relay_outbox_oldest_waiting_seconds Age of the oldest call that waits; 0 when none does.\n",
            "\naccoil_relay_outbox_oldest_waiting_seconds 1.5\n",
            "\naccoil_relay_outbox_kept{kind=\"a\\\"b\"} 1\n",
            "\naccoil_relay_destination_call_duration_seconds_count{destination=\"accoil\"} 1\n",
            "_bucket{le=\"0.002\",destination=\"accoil\"} 0\n",
            "_bucket{le=\"0.005\",destination=\"accoil\"} 1\n",
            "_bucket{le=\"+Inf\",destination=\"accoil\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected} in {text}");
        }
    }

    /// Compares the table with `docs/metrics.md`.
    #[test]
    fn the_document_lists_every_metric() {
        let mut expected = "# Metrics\n\n\
            `GET /metrics` on the admin listener has them in Prometheus' text format. Counters start at 0 with the relay. The rules in \
            [`deploy/prometheus/alerts.yaml`](../deploy/prometheus/alerts.yaml) watch the most telling ones. The codes in the label \
            `reason` are explained in [reasons.md](reasons.md).\n\n\
            | metric | type | labels | what it is |\n|---|---|---|---|\n"
            .to_owned();
        for metric in ALL {
            let Metric { name, kind, labels, help } = metric;
            let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
            writeln!(expected, "| `{PREFIX}{name}` | {} | {labels} | {help} |", kind.name()).unwrap();
        }
        let path = format!("{ROOT}/docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(found == expected, "run UPDATE_DOCS=1 cargo test --lib metrics");
    }

    /// Returns the names of all samples, each with its metric's labels.
    fn samples() -> BTreeMap<String, &'static [&'static str]> {
        let mut samples = BTreeMap::new();
        for metric in ALL {
            let suffixes: &[&str] =
                if metric.kind == Kind::Histogram { &["_bucket", "_sum", "_count"] } else { &[""] };
            samples.extend(
                suffixes.iter().map(|suffix| (format!("{PREFIX}{}{suffix}", metric.name), metric.labels)),
            );
        }
        samples
    }

    /// Returns the metrics that a query names.
    fn named(query: &str) -> BTreeSet<&str> {
        let is_part = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
        query.split(|sign| !is_part(sign)).filter(|word| word.starts_with(PREFIX)).collect()
    }

    #[test]
    fn the_alerts_name_metrics_that_exist() {
        let rules = std::fs::read_to_string(format!("{ROOT}/deploy/prometheus/alerts.yaml")).unwrap();
        let (known, named) = (samples(), named(&rules));
        assert!(named.len() > 10, "{named:?}");
        for name in named {
            assert!(known.contains_key(name), "{name} is not a metric");
        }
        let alerts = rules.matches("- alert: ").count();
        for part in ["expr: ", "summary: ", "description: ", "severity: "] {
            assert_eq!(rules.matches(part).count(), alerts, "every rule has {part}");
        }
    }

    /// Each query of the Grafana dashboard names one metric that exists, and only labels that this metric has.
    #[test]
    fn the_dashboard_queries_metrics_and_labels_that_exist() {
        let text = std::fs::read_to_string(format!("{ROOT}/deploy/grafana/accoil-relay.json")).unwrap();
        let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
        let queries: Vec<&str> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
        assert!(queries.len() > 20);
        let known = samples();
        for query in queries {
            let named = named(query);
            let [name] = named.iter().copied().collect::<Vec<_>>()[..] else { panic!("{query}: {named:?}") };
            let labels = known.get(name).unwrap_or_else(|| panic!("{query}: {name} is not a metric"));
            assert!(
                !matches!(name.rsplit('_').next(), Some("total" | "bucket")) || query.contains("rate("),
                "{query}"
            );
            let (_, selector) = query.split_once('{').unwrap();
            let selector = selector.split('}').next().unwrap();
            let selected = selector.split(", ").map(|one| one.split(['=', '!']).next().unwrap());
            let grouped = query.split_once(" by (").map_or("", |(_, rest)| rest.split(')').next().unwrap());
            for label in selected.chain(grouped.split(", ").filter(|label| !label.is_empty())) {
                let is_known = labels.contains(&label) || ["instance", "le"].contains(&label);
                assert!(is_known, "{query}: {name} has no label {label}");
            }
            assert_eq!(query.matches('(').count(), query.matches(')').count(), "{query}");
        }
    }
}
