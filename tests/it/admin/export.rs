//! `/api/export`: each event that matches, once, with what was received and sent; hidden values only for the admin token.

use std::io::Read as _;

use http::Method;
use serde_json::{Value, json};

use super::url;
use crate::http::{Answer, send};
use crate::relay::{TEST_TIMEOUT, TestRelay, USUAL};

const VALUE: &str = "hush-hush-secret";
const TOKENS: &str = "[admin]\ntoken = \"admin-token\"\nviewer_token = \"viewer-token\"\n";
const ADMIN: (&str, &str) = ("authorization", "Bearer admin-token");
const VIEWER: (&str, &str) = ("authorization", "Bearer viewer-token");

async fn ask(relay: &TestRelay, query: &str, headers: &[(&str, &str)]) -> Answer {
    send(Method::GET, &url(relay, &format!("/api/export?{query}")), headers, "").await
}

async fn lines(relay: &TestRelay, query: &str, headers: &[(&str, &str)]) -> Vec<Value> {
    let answer = ask(relay, query, headers).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/x-ndjson"));
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn ids(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn every_matching_event_is_exported_once() {
    let toml = format!("{TOKENS}{USUAL}[privacy]\nredact = [\"properties.secret\"]\n");
    let relay = TestRelay::start(&toml).await;
    let mut posted = Vec::new();
    for user in [Some("ada"), None, Some("bob")] {
        let event = json!({"type": "track", "event": "Report", "userId": user, "properties": {"secret": VALUE},
            "writeKey": "web-key"});
        // On several lines, as some senders write it.
        let answer = relay.post("/v1/track", &[], format!("{event:#}")).await;
        posted.insert(0, answer.header("relay-event").to_owned());
    }
    relay.calls(2).await;
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    while lines(&relay, "status=delivered", &[ADMIN]).await.len() < 2 {
        assert!(std::time::Instant::now() < deadline, "two events are delivered");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let all = lines(&relay, "", &[ADMIN]).await;
    assert_eq!(ids(&all), posted, "the newest first");
    let bob = &all[0];
    assert_eq!((&bob["original"]["userId"], &bob["status"]), (&json!("bob"), &json!("delivered")), "{bob:#}");
    assert_eq!(
        (&bob["sent"][0]["body"]["userId"], &bob["form"]),
        (&json!("bob"), &json!("segment track")),
        "{bob:#}"
    );
    assert_eq!(ids(&lines(&relay, "status=rejected", &[ADMIN]).await), [&*posted[1]]);

    // In parts.
    let part = lines(&relay, "most=2", &[ADMIN]).await;
    let next = part[2]["next"].as_str().unwrap();
    let rest = lines(&relay, &format!("most=2&before={next}"), &[ADMIN]).await;
    assert_eq!([ids(&part[..2]), ids(&rest)].concat(), posted);

    // Compressed.
    let packed = ask(&relay, "", &[ADMIN, ("accept-encoding", "gzip, br")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count(), 3);

    // What is hidden.
    assert!(!text.contains(VALUE), "{text}");
    assert!(ask(&relay, "redact=off", &[ADMIN]).await.text().contains(VALUE));
    let seen = lines(&relay, "", &[VIEWER]).await;
    assert_eq!(
        (&seen[0]["original"], &seen[0]["sent"][0]["body"]),
        (&Value::Null, &Value::Null),
        "{seen:#?}"
    );
    for (query, headers, status) in [
        ("redact=off", VIEWER, 403),
        ("redact=perhaps", ADMIN, 400),
        ("status=lost", ADMIN, 400),
        ("before=nowhere", ADMIN, 400),
    ] {
        assert_eq!(ask(&relay, query, &[headers]).await.status, status, "{query}");
    }
    relay.stop().await;
}
