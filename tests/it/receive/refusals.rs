//! Each refusal, skip and change is counted, logged (within a limit), and named in the answer.

use accoil_relay::sandbox::Options;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{AMPLITUDE, SEGMENT, TRACK, shown};
use crate::http::send;
use crate::relay::{Process, TestRelay, USUAL};
use crate::sandbox::RunningSandbox;

/// Returns the samples of `/metrics` whose line contains this text.
async fn samples(admin: &str, part: &str) -> Vec<String> {
    let answer = send(Method::GET, &format!("http://{admin}/metrics"), &[], "").await;
    let lines = answer.text().lines().filter(|line| !line.starts_with('#') && line.contains(part));
    lines.map(|line| line.trim_start_matches("accoil_relay_").to_owned()).collect()
}

fn lines_about(log: &str, code: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["reason.code"] == code).collect()
}

/// One post gives one log line and one count. Ten thousand posts give a few log lines.
#[tokio::test]
async fn a_wrong_key_is_counted_each_time_and_logged_once_a_minute() {
    let (directory, sandbox) =
        (tempfile::tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let relay = Process::start(directory.path(), USUAL, &sandbox.url).await;
    let admin = relay.admin_url("").trim_start_matches("http://").to_owned();
    let answer = relay.post("/v1/track", &[("x-api-key", "wrong-key-value")], TRACK).await;
    assert_eq!(answer.status, 401);
    let count =
        r#"refused_requests_total{source="unknown",route="/v1/track",status="401",reason="door.key"}"#;
    assert_eq!(samples(&admin, "refused_requests").await, [format!("{count} 1")]);
    let log = relay.log();
    let lines = lines_about(&log, "door.key");
    assert_eq!(lines.len(), 1, "{log}");
    assert_eq!(
        (&lines[0]["level"], &lines[0]["http.route"], &lines[0]["source.name"]),
        (&"WARN".into(), &"/v1/track".into(), &"unknown".into())
    );
    assert!(!log.contains("wrong-key-value"));

    let stream = TcpStream::connect(relay.address()).await.unwrap();
    let (mut answers, mut requests) = stream.into_split();
    let post = "POST /v1/track HTTP/1.1\r\nHost: h\r\nX-Api-Key: wrong\r\nContent-Length: 2\r\n\r\n{}";
    let writing = async move {
        for _ in 0..99 {
            requests.write_all(post.repeat(101).as_bytes()).await.unwrap();
        }
        let last = post.replace("Host: h", "Host: h\r\nConnection: close");
        requests.write_all(last.as_bytes()).await.unwrap();
        requests
    };
    let mut all = String::new();
    let (_, read) = tokio::join!(writing, answers.read_to_string(&mut all));
    read.unwrap();
    assert_eq!(all.matches("HTTP/1.1 401").count(), 10_000);
    assert_eq!(samples(&admin, "refused_requests").await, [format!("{count} 10001")]);
    assert!(lines_about(&relay.log(), "door.key").len() < 4);
    relay.terminate();
    let log = relay.ended_with_log().await;
    let held: u64 =
        lines_about(&log, "door.key").iter().filter_map(|line| line["log.held_back"].as_u64()).sum();
    let lines = lines_about(&log, "door.key");
    let logged = lines.iter().filter(|line| line["http.route"].is_string()).count() as u64;
    assert_eq!(held + logged, 10_001, "what was held back is logged in the end: {lines:?}");
}

/// By source if the key was right, by route, by status, by reason.
#[tokio::test]
async fn each_kind_of_refusal_is_counted_by_its_reason() {
    let relay = TestRelay::start(
        &USUAL.replace("write_key = \"web-key\"", "write_key = \"web-key\"\nshared_secret = \"s\""),
    )
    .await;
    let large = " ".repeat(5 << 20);
    for (method, path, headers, body) in [
        (Method::POST, "/segment", &[SEGMENT][..], TRACK),
        (Method::POST, "/segment", &[SEGMENT], &large),
        (Method::POST, "/segment", &[SEGMENT, ("content-encoding", "br")], TRACK),
        (Method::POST, "/segment", &[SEGMENT, ("content-encoding", "gzip")], TRACK),
        (Method::POST, "/2/httpapi", &[AMPLITUDE], "{"),
        (Method::POST, "/identify", &[AMPLITUDE], "api_key=product-key"),
        (Method::POST, "/nowhere/at/all", &[], "{}"),
        (Method::GET, "/v1/batch", &[], ""),
        (Method::GET, "/v1/projects/wrong/settings", &[], ""),
    ] {
        assert!(
            !send(method, &relay.url(path), headers, body.to_owned()).await.status.is_success(),
            "{path}"
        );
    }
    // Requests whose head no route sees, because hyper answers them.
    for head in
        ["POST /segment\r\n\r\n".to_owned(), format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000))]
    {
        super::raw(&relay, head).await;
    }
    let admin = relay.relay.admin_address.to_string();
    insta::assert_snapshot!(samples(&admin, "refused_requests").await.join("\n"), @r#"
    refused_requests_total{source="unknown",route="/v1/batch",status="405",reason="door.method"} 1
    refused_requests_total{source="unknown",route="/v1/projects/{write_key}/settings",status="404",reason="door.key"} 1
    refused_requests_total{source="unknown",route="other",status="400",reason="door.request"} 1
    refused_requests_total{source="unknown",route="other",status="404",reason="door.route"} 1
    refused_requests_total{source="unknown",route="other",status="431",reason="door.request"} 1
    refused_requests_total{source="product",route="/2/httpapi",status="400",reason="unreadable"} 1
    refused_requests_total{source="product",route="/identify",status="400",reason="door.field"} 1
    refused_requests_total{source="web",route="/segment",status="400",reason="door.compressed"} 1
    refused_requests_total{source="web",route="/segment",status="401",reason="door.signature"} 1
    refused_requests_total{source="web",route="/segment",status="413",reason="door.large"} 1
    refused_requests_total{source="web",route="/segment",status="415",reason="door.encoding"} 1
    "#);
    insta::assert_snapshot!(samples(&admin, "source_event_reasons").await.join("\n"), @r#"source_event_reasons_total{source="product",outcome="rejected",reason="unreadable"} 1"#);
    insta::assert_snapshot!(samples(&admin, "source_events").await.join("\n"), @r#"
    source_events_total{source="web",outcome="accepted"} 0
    source_events_total{source="web",outcome="duplicate"} 0
    source_events_total{source="web",outcome="skipped"} 0
    source_events_total{source="web",outcome="rejected"} 0
    source_events_total{source="product",outcome="accepted"} 0
    source_events_total{source="product",outcome="duplicate"} 0
    source_events_total{source="product",outcome="skipped"} 0
    source_events_total{source="product",outcome="rejected"} 1
    "#);
    relay.stop().await;
}

/// Skips, warnings and rejects are counted by source and reason, and named in the answer.
#[tokio::test]
async fn each_skip_warning_and_reject_is_named_in_the_answer_and_counted() {
    let relay = TestRelay::usual().await;
    let batch = format!(
        r#"{{"batch":[{TRACK},{{"type":"alias","userId":"u1"}},{{"type":"page","userId":"u1"}},{{"type":"track","event":"E"}},
        {{"type":"identify","userId":"u1","traits":{{"email":"no address"}},"timestamp":"2026-01-02T03:04:05Z"}}]}}"#
    );
    insta::assert_snapshot!(shown(&relay.post("/v1/batch", &[SEGMENT], batch).await), @r#"200 {"accepted":2,"duplicates":0,"reasons":[{"code":"reject.missing","field":"userId","index":3,"mapping":"Track Calls","reason":"is required and must be a string, but `$.userId` is missing, null, empty or blank in this event"}],"rejected":1,"skipped":2,"skips":[{"code":"skip.alias","index":1,"reason":"Accoil has no alias call"},{"code":"skip.page","index":2,"reason":"the page or screen has no name, category or title"}],"success":true,"warnings":[{"index":4,"mapping":"Identify Calls","warning":"email was left out: it must be an email address, but is a string of another form"}]}"#);
    let events = r#"[{"event_type":"Seen"},{"event_type":"Seen","user_id":"u1","time":1767323045000}]"#;
    insta::assert_snapshot!(shown(&relay.post("/amplitude", &[AMPLITUDE], events).await), @r#"200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":2,"payload_size_bytes":81,"rejected":0,"server_upload_time":"TIME","skipped":1,"skips":[{"code":"skip.no_user","index":0,"reason":"no user id"}]}"#);
    let admin = relay.relay.admin_address.to_string();
    insta::assert_snapshot!(samples(&admin, "source_event").await.join("\n"), @r#"
    source_events_total{source="web",outcome="accepted"} 2
    source_events_total{source="web",outcome="duplicate"} 0
    source_events_total{source="web",outcome="skipped"} 2
    source_events_total{source="web",outcome="rejected"} 1
    source_events_total{source="product",outcome="accepted"} 1
    source_events_total{source="product",outcome="duplicate"} 0
    source_events_total{source="product",outcome="skipped"} 1
    source_events_total{source="product",outcome="rejected"} 0
    source_event_reasons_total{source="web",outcome="skipped",reason="skip.alias"} 1
    source_event_reasons_total{source="web",outcome="skipped",reason="skip.page"} 1
    source_event_reasons_total{source="web",outcome="warning",reason="warn.left_out"} 1
    source_event_reasons_total{source="web",outcome="rejected",reason="reject.missing"} 1
    source_event_reasons_total{source="product",outcome="skipped",reason="skip.no_user"} 1
    "#);
    insta::assert_snapshot!(samples(&admin, "mapping_").await.into_iter().filter(|line| !line.ends_with(" 0")).collect::<Vec<_>>().join("\n"), @r#"
    mapping_calls_total{destination="accoil",mapping="Identify Calls"} 1
    mapping_calls_total{destination="accoil",mapping="Track Calls"} 1
    mapping_calls_total{destination="accoil",mapping="Amplitude Track Calls"} 1
    mapping_rejected_total{destination="accoil",mapping="Track Calls"} 1
    "#);
    relay.calls(3).await;
    relay.stop().await;
}

/// The public listener only says whether the relay is ready; the admin listener shows the state of each destination.
#[tokio::test]
async fn public_readiness_has_no_detail() {
    let relay = TestRelay::usual().await;
    let public = send(Method::GET, &relay.url("/readyz"), &[], "").await;
    assert_eq!((public.status.as_u16(), public.text()), (200, r#"{"status":"ready"}"#));
    let admin = send(Method::GET, &format!("http://{}/readyz", relay.relay.admin_address), &[], "").await;
    assert_eq!(admin.json()["destinations"][0]["name"], "accoil");
    relay.stop().await;
}

/// `debug` has a line for each request, `trace` a line for each event with its calls. Neither contains a value of an event.
#[tokio::test]
async fn the_finer_log_levels_follow_a_request() {
    let (directory, sandbox) =
        (tempfile::tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    for (level, finest) in [("debug", false), ("trace", true)] {
        let relay =
            Process::start(directory.path(), &format!("{USUAL}[log]\nlevel = \"{level}\"\n"), &sandbox.url)
                .await;
        let body = format!(
            r#"{{"batch":[{TRACK},{{"type":"alias","userId":"u1"}},{{"type":"track","event":"Secret Name"}}]}}"#
        );
        assert_eq!(relay.post("/v1/batch", &[SEGMENT], body).await.status, 200);
        relay.terminate();
        let log = relay.ended_with_log().await;
        let messages: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let has = |message: &str| messages.iter().any(|line| line["message"] == message);
        assert!(has("answered a request") && has("stored a request's events"), "{log}");
        for message in ["a mapping made a call", "skipped an event", "rejected an event"] {
            assert_eq!(has(message), finest, "{level}: {message}: {log}");
        }
        assert!(!log.contains("Secret Name") && !log.contains("web-key"), "{log}");
    }
}
