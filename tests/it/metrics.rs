//! `/metrics` of a whole relay has every metric of the table, in a format that Prometheus reads.

use std::collections::BTreeSet;

use accoil_relay::telemetry::metrics::{ALL, Kind, PREFIX};
use http::Method;

use crate::http::send;
use crate::relay::TestRelay;

#[tokio::test]
async fn every_metric_has_its_description_and_each_sample_belongs_to_one() {
    let relay = TestRelay::usual().await;
    let track = r#"{"type":"track","userId":"u1","event":"E"}"#;
    assert_eq!(relay.post("/v1/track", &[("x-api-key", "web-key")], track).await.status, 200);
    relay.calls(1).await;
    let url = format!("http://{}/metrics", relay.relay.admin_address);
    let answer = send(Method::GET, &url, &[], "").await;
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let mut sampled = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let name = name.split('{').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let own = name.strip_prefix(PREFIX).unwrap();
        let metric = ALL.iter().find(|metric| match metric.kind {
            Kind::Histogram => {
                ["_bucket", "_sum", "_count"].iter().any(|end| own.strip_suffix(end) == Some(metric.name))
            }
            _ => own == metric.name,
        });
        let metric = metric.unwrap_or_else(|| panic!("{line} is in no table"));
        for label in metric.labels {
            assert!(line.contains(&format!("{label}=\"")), "{line}");
        }
        sampled.insert(metric.name);
    }
    for metric in ALL {
        let name = metric.name.trim_end_matches("_total");
        assert!(text.contains(&format!("# TYPE {PREFIX}{name} {}\n", metric.kind.name())), "{name}");
    }
    let silent: Vec<_> =
        ALL.iter().map(|metric| metric.name).filter(|name| !sampled.contains(name)).collect();
    insta::assert_debug_snapshot!(silent, @r#"
    [
        "refused_requests_total",
        "source_event_reasons_total",
        "destination_failures_total",
        "sync_accounts",
        "sync_ended_timestamp_seconds",
        "sync_success",
    ]
    "#);
    relay.stop().await;
}
