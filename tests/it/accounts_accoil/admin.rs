//! `GET /api/accounts` of a running relay: what it asks of Accoil, what it caches, and how it reports errors.

use accoil_relay::sandbox::Fault;
use http::Method;
use serde_json::{Value, json};

use super::{SECTION, answering};
use crate::http::{Answer, send};
use crate::relay::TestRelay;

async fn ask(relay: &TestRelay, query: &str) -> Answer {
    let url = format!("http://{}/api/accounts{query}", relay.relay.admin_address);
    send(Method::GET, &url, &[], "").await
}

#[tokio::test]
async fn the_admin_api_gives_an_account_and_asks_accoil_once() {
    let relay = TestRelay::start(SECTION).await;
    let query = "?workspace_id=13&match_type=domain&match_value=techcorp.com&expand=insights,traits";
    let first = ask(&relay, query).await;
    assert_eq!((first.status.as_u16(), first.header("age")), (200, "0"));
    assert_eq!(first.header("cache-control"), "private, max-age=900");
    assert_eq!(first.header("content-type"), "application/json");
    let account = first.json();
    assert_eq!((&account["age"], &account["metrics"]["raw_score"]), (&json!(0), &json!(2150)));
    // The same account, whatever the order of the parameters; without a workspace_id, that of the configuration.
    let again = ask(&relay, "?expand=traits,insights&match_value=techcorp.com&match_type=domain").await;
    let mut same = again.json();
    same["age"] = json!(0);
    assert_eq!(same, account);
    assert_eq!(relay.sandbox.accounts().reads(), 1);
    assert_eq!(ask(&relay, "?id=456").await.header("cache-control"), "private, max-age=600");
    assert_eq!(relay.sandbox.accounts().reads(), 2);
    relay.stop().await;
}

/// After a 429 that asks for a longer wait than a person accepts, no call is made before that time; cached data is
/// returned.
#[tokio::test]
async fn the_admin_api_waits_as_long_as_accoil_asks() {
    let relay = TestRelay::start(SECTION).await;
    assert_eq!(ask(&relay, "?id=456").await.status, 200);
    let fault = Fault { retry_after: Some("60".to_owned()), ..answering(429, "") };
    relay.sandbox.faults().add(fault).unwrap();
    for query in ["?id=457", "?id=457", "?id=458"] {
        let answer = ask(&relay, query).await;
        let body: Value = answer.json();
        assert_eq!((answer.status.as_u16(), &body["code"]), (503, &json!("accoil_rate_limited")), "{body}");
        assert!(body["error"].as_str().unwrap().contains("accepts no more requests at the moment"), "{body}");
        let after: u64 = answer.header("retry-after").parse().unwrap();
        assert!((1..=60).contains(&after), "{after}");
    }
    assert_eq!(relay.sandbox.accounts().reads(), 1, "the refused request does not count as a read");
    assert_eq!(ask(&relay, "?id=456").await.status, 200);
    relay.stop().await;
}

/// Each error with its code. None may be cached, and Accoil's 401 is not the caller's.
#[tokio::test]
async fn the_admin_api_reports_every_error() {
    let relay = TestRelay::start(SECTION).await;
    let refused =
        r#"{"error":{"message":"Invalid or expired token","status":"unauthorized","code":"unauthorized"}}"#;
    let odd = r#"{"error":{"message":"No such workspace","status":"bad_request","code":"bad_request"}}"#;
    let with = |status: u16, body: &str| Some(answering(status, body));
    for (query, fault, status, code, text) in [
        ("", None, 400, "missing_lookup_parameter", "give its id"),
        ("?id=&match_type=%20&expand=traits", None, 400, "missing_lookup_parameter", "give its id"),
        ("?match_typ=domain", None, 400, "invalid_parameter", "\"match_typ\", did you mean match_type?"),
        ("?id=1&id=2", None, 400, "invalid_parameter", "id is given twice"),
        ("?id=1&match_type=domain", None, 400, "invalid_parameter", "both id and match_type"),
        ("?match_type=domain", None, 400, "invalid_parameter", "without match_value"),
        ("?match_value=techcorp.com", None, 400, "invalid_parameter", "without match_type"),
        ("?id=1&expand=segment", None, 400, "invalid_parameter", "did you mean segments?"),
        ("?id=0", None, 404, "not_found", "no such account"),
        ("?id=456", with(400, odd), 400, "accoil_bad_request", "No such workspace"),
        ("?id=456", with(401, refused), 502, "accoil_unauthorized", "accounts.token"),
        ("?id=456", with(404, "<html>"), 502, "accoil_unexpected", "not with JSON"),
    ] {
        if let Some(fault) = fault {
            relay.sandbox.faults().add(fault).unwrap();
        }
        let answer = ask(&relay, query).await;
        let body: Value = answer.json();
        assert_eq!(answer.status.as_u16(), status, "{query}: {body}");
        assert_eq!(body["code"], code, "{query}: {body}");
        assert!(body["error"].as_str().unwrap().contains(text), "{query}: {body}");
        assert_eq!(answer.header("cache-control"), "no-store", "{query}");
        assert_eq!(answer.header("retry-after"), "", "{query}");
    }
    // Only a 404 is cached, no other failure.
    assert_eq!(ask(&relay, "?id=456").await.status, 200);
    let reads = relay.sandbox.accounts().reads();
    assert_eq!(ask(&relay, "?id=0").await.status, 404);
    assert_eq!(relay.sandbox.accounts().reads(), reads);
    relay.stop().await;

    let relay = TestRelay::usual().await;
    let answer = ask(&relay, "?id=456").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (404, &json!("not_configured")));
    let url = format!("http://{}/api/accounts?id=456", relay.relay.admin_address);
    let foreign = send(Method::GET, &url, &[("origin", "https://evil.example")], "").await;
    assert_eq!(foreign.status, 403, "behind the guard");
    relay.stop().await;
}
