//! For each fixture, `map` prints exactly the calls that `serve` makes, in both dialects.

use std::path::Path;

use accoil_relay::json::Value;
use chrono::{DateTime, TimeDelta, Utc};

use crate::commands::answers;
use crate::relay::{TestRelay, USUAL};

const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/events");

/// A call: its path, then its body's text.
type Call = (String, String);

/// Returns the name and text of each fixture on one line: a line break in JSON is only white space.
fn fixtures(folder: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = std::fs::read_dir(Path::new(EVENTS).join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let name = |file: &Path| file.file_stem().unwrap().to_string_lossy().into_owned();
    files.iter().map(|file| (name(file), std::fs::read_to_string(file).unwrap().replace('\n', " "))).collect()
}

/// Returns the user, for sorting: one user's calls have an order, calls of different users do not.
fn user(body: &Value<'_>) -> String {
    ["userId", "groupId"].iter().find_map(|id| body.get(id)).map(ToString::to_string).unwrap_or_default()
}

/// Returns the call with a fixed time of receipt, which replaces a missing timestamp.
fn call(path: &str, body: &Value<'_>) -> Call {
    let mut body = body.clone().into_owned();
    if let Value::Object(members) = &mut body
        && let Some(time) = members.get("timestamp").and_then(Value::as_str)
        && let Ok(time) = DateTime::parse_from_rfc3339(time)
        && Utc::now().signed_duration_since(time) < TimeDelta::hours(1)
    {
        members.insert("timestamp", Value::from("the time of receipt".to_owned()));
    }
    (path.to_owned(), body.to_string())
}

/// Returns what `map` prints for a fixture, sorted by user.
fn printed(line: &str) -> Vec<Call> {
    let line = Value::parse(line).unwrap();
    let mut requests: Vec<_> = line.get("requests").unwrap().as_array().unwrap().iter().collect();
    requests.sort_by_key(|request| user(request.get("body").unwrap()));
    let path = |request: &Value<'_>| request.get("path").unwrap().as_str().unwrap().to_owned();
    requests.into_iter().map(|request| call(&path(request), request.get("body").unwrap())).collect()
}

/// Posts a fixture to a new relay and returns what arrives at the sandbox.
async fn sent(config: &str, path: &str, key: &str, event: &str, count: usize) -> Vec<Call> {
    let relay = TestRelay::start(config).await;
    let answer = relay.post(path, &[("x-api-key", key)], event.to_owned()).await;
    assert!(answer.status == 200 || answer.status == 400, "{answer:?}");
    let mut calls = relay.calls(count as u64).await;
    calls.sort_by_key(|call| user(&call.body));
    relay.stop().await;
    calls.iter().map(|received| call(&received.path, &received.body)).collect()
}

async fn agree(kind: &str, folder: &str, path: &str, key: &str) {
    let fixtures = fixtures(folder);
    assert!(fixtures.len() > 10);
    let lines: Vec<&str> = fixtures.iter().map(|(_, event)| event.as_str()).collect();
    let lines = lines.join("\n");
    for api in ["v2", "segment"] {
        let config = USUAL.replace("[[destinations]]", &format!("[[destinations]]\napi = \"{api}\""));
        let answers = answers(&["map", "--source", kind, "--api", api], &lines);
        assert_eq!(answers.len(), fixtures.len());
        for ((name, event), line) in fixtures.iter().zip(&answers) {
            let printed = printed(line);
            let sent = sent(&config, path, key, event, printed.len()).await;
            assert_eq!(printed, sent, "{folder}/{name} by {api}");
        }
    }
}

#[tokio::test]
async fn map_prints_what_serve_sends_for_segment() {
    agree("segment", "segment-webhook", "/segment", "web-key").await;
}

#[tokio::test]
async fn map_prints_what_serve_sends_for_amplitude() {
    agree("amplitude", "amplitude-stream", "/amplitude", "product-key").await;
}

/// Dollars become cents wherever a request has them. Views have their group and the selected properties. A blank id
/// is not an id.
#[test]
fn amounts_groups_and_blank_ids() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("relay.toml");
    let text = "[[sources]]\nname = 'product'\nkind = 'amplitude'\nwrite_key = 'k'\nevent_properties = ['plan']\n\
                [[destinations]]\nname = 'accoil'\napi_key = 'k'\nmrr_unit = 'dollars'\n";
    std::fs::write(&config, text).unwrap();
    let view = r#"{"event_type":"[Amplitude] Page Viewed","user_id":"u1","time":1700000000000,
        "event_properties":{"[Amplitude] Page Title":"Home","plan":"pro","other":1},
        "groups":{"org":"g1"},"group_properties":{"org":{"g1":{"mrr":99.99}}}}"#;
    let run = |kind: &str, event: &str| {
        let arguments = ["map", "--source", kind, "--config", config.to_str().unwrap()];
        let line = answers(&arguments, &event.replace('\n', " ")).remove(0);
        serde_json::from_str::<serde_json::Value>(&line).unwrap()
    };
    let line = run("amplitude", view);
    let bodies: Vec<_> =
        line["requests"].as_array().unwrap().iter().map(|request| &request["body"]).collect();
    insta::assert_snapshot!(
        serde_json::to_string(&bodies).unwrap(),
        @r#"[{"groupId":"g1","timestamp":"2023-11-14T22:13:20.000Z","traits":{"group_type":"org","mrr":9999},"userId":"u1"},{"event":"Viewed Home Page","groupTraits":[{"groupId":"g1","traits":{"group_type":"org","mrr":9999}}],"properties":{"plan":"pro"},"timestamp":"2023-11-14T22:13:20.000Z","userId":"u1"}]"#
    );
    let blank =
        run("segment", r#"{"type":"track","event":"E","userId":" ","timestamp":"2026-01-02T03:04:05Z"}"#);
    insta::assert_snapshot!(
        blank["rejected"],
        @r#"[{"field":"userId","mapping":"Track Calls","reason":"is required and must be a string, but `$.userId` is missing, null, empty or blank in this event"}]"#
    );
}
