//! A value that `[privacy] redact` names is in no answer of the API and on no page, wherever the event is stored.

use accoil_relay::sandbox::Fault;
use http::Method;
use serde_json::json;

use super::{get, until, url};
use crate::http::send;
use crate::relay::{TestRelay, USUAL};

const VALUE: &str = "hush-hush-1842";

#[tokio::test]
async fn a_hidden_value_is_shown_nowhere() {
    let toml = format!("{USUAL}[privacy]\nredact = [\"properties.secret\", \"traits.email\"]\n");
    let relay = TestRelay::start(&toml).await;
    // The reason of a dead letter is also the key of its group, so the answer here does not contain the value.
    for (user, status, answer) in
        [("dead", 422, "no".to_owned()), ("waiting", 503, format!("no {VALUE} here"))]
    {
        let fault = Fault {
            status: Some(status),
            user: Some(user.to_owned()),
            times: 1_000_000,
            body: Some(answer),
            ..Fault::default()
        };
        relay.sandbox.faults().add(fault).unwrap();
    }
    let mut ids = Vec::new();
    for user in [None, Some("ada"), Some("dead"), Some("waiting")] {
        let event = json!({"type": "identify", "userId": user, "traits": {"email": VALUE, "plan": "pro"},
            "properties": {"secret": VALUE}, "writeKey": "web-key"});
        let answer = relay.post("/v1/identify", &[], event.to_string()).await;
        ids.push(answer.header("relay-event").to_owned());
    }
    for (id, status) in ids.iter().zip(["rejected", "delivered", "dead", "waiting"]) {
        until(&relay, &format!("/api/events/{id}"), |event| event["status"] == status).await;
    }
    let mut paths = vec![
        "/api/waiting?payload=true".to_owned(),
        "/api/events".to_owned(),
        "/api/events?status=waiting".to_owned(),
        "/api/events?status=rejected,dead".to_owned(),
        "/api/failures".to_owned(),
        "/api/overview".to_owned(),
        "/failures".to_owned(),
        "/events".to_owned(),
        "/destinations/accoil".to_owned(),
    ];
    for id in &ids {
        paths.extend(["", "/explain", "/original", "/support"].map(|part| format!("/api/events/{id}{part}")));
        paths.extend([format!("/events/{id}"), format!("/tester?event={id}")]);
    }
    let shown = |path: &str, text: &str| assert!(!text.contains(VALUE), "{path}: {text}");
    for path in &paths {
        let answer = get(&relay, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        shown(path, answer.text());
    }
    for kind in ["reject", "dead-letter"] {
        let order = json!({"select": {"kind": kind}, "dry_run": true}).to_string();
        let answer = send(Method::POST, &url(&relay, "/api/replays"), &[], order).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        shown("/api/replays", answer.text());
    }
    relay.stop().await;
}
