//! The sandbox's `GET /v1/accounts`: each documented parameter and each documented body.

use http::Method;
use serde_json::{Value, json};

use super::{READ_TOKEN, served};
use crate::http::send;

/// Accoil's documented example, byte for byte, with the order of members.
#[tokio::test]
async fn accoil_answers_the_example_of_its_documents() {
    let sandbox = served().await;
    let answer = sandbox.accoil("?workspace_id=13&id=456").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let expected = concat!(
        r#"{"id":"456","name":"TechCorp Solutions","domain":"techcorp.com","tracking_id":"ext-12345","metrics":{"#,
        r#""engagement_score":75.5,"raw_score":2150,"owner_name":"Sarah Johnson","first_seen":"2023-01-15","#,
        r#""last_seen":"2025-09-21","active_users":12,"activation_rate":0.85,"overall_scored_events":4520,"#,
        r#""recently_scored_events":380,"scoring_profile_events":95,"total_people_count":18,"#,
        r#""total_active_people_count":12},"_expansions":{"available":["traits","segments","insights"],"#,
        r#""documentation":"Use expand=option1,option2 to include additional data","unknown_parameters":[],"#,
        r#""error":null},"_links":{"self":{"href":"/v1/accounts?id=456&workspace_id=13"}}}"#,
    );
    assert_eq!(answer.text(), expected);
}

/// `id`, and every kind of `match_type` that Accoil documents, with `match_value`; exact matches only.
#[tokio::test]
async fn accoil_finds_by_id_and_by_any_trait() {
    let sandbox = served().await;
    for (query, expected) in [
        ("id=457", "Northwind Freight"),
        ("match_type=domain&match_value=techcorp.com", "TechCorp Solutions"),
        ("match_type=name&match_value=M%C3%BCller+Pr%C3%A4zision+GmbH", "Müller Präzision GmbH"),
        ("match_type=intercom_id&match_value=intercom-7003", "Bluebird Analytics"),
        ("match_type=salesforce_id&match_value=0015g00000AcC04", "Harbor & Pine Law"),
        ("match_type=tracking_id&match_value=ext-12345", "TechCorp Solutions"),
        ("match_type=industry&match_value=Health", "Lumen Health"),
        ("match_type=employees&match_value=198", "TechCorp Solutions"),
        ("match_type=domain&match_value=TechCorp.com", ""),
        ("match_type=domain&match_value=techcorp", ""),
        ("match_type=tracking_id&match_value=ext-12356", ""),
        ("id=1", ""),
    ] {
        let answer = sandbox.accoil(&format!("?workspace_id=13&{query}")).await;
        if expected.is_empty() {
            assert_eq!(answer.status, 404, "{query}");
            continue;
        }
        let account = answer.json();
        assert_eq!(account["name"], expected, "{query}");
        let href = account["_links"]["self"]["href"].as_str().unwrap();
        let url = format!("{}{href}", sandbox.url);
        let again = send(Method::GET, &url, &[("authorization", READ_TOKEN)], "").await;
        assert_eq!(again.json(), account, "{href}");
    }
}

/// `expand` with one word, with several, and with unknown ones.
#[tokio::test]
async fn accoil_returns_the_expansions_asked_for() {
    let sandbox = served().await;
    for (expand, present, unknown) in [
        ("", vec![], json!([])),
        ("traits", vec!["traits"], json!([])),
        ("segments", vec!["segments"], json!([])),
        ("insights", vec!["insights"], json!([])),
        ("insights,traits", vec!["insights", "traits"], json!([])),
        ("traits,people,segments,,x", vec!["segments", "traits"], json!(["people", "", "x"])),
    ] {
        let account = sandbox.accoil(&format!("?workspace_id=13&id=456&expand={expand}")).await.json();
        let shown: Vec<&str> = account.as_object().unwrap().keys().map(String::as_str).collect();
        let shown: Vec<&str> =
            shown.into_iter().filter(|name| ["insights", "segments", "traits"].contains(name)).collect();
        assert_eq!(shown, present, "{expand}");
        assert_eq!(account["_expansions"]["unknown_parameters"], unknown, "{expand}");
    }
    let account = sandbox.accoil("?workspace_id=13&id=456&expand=traits,segments,insights").await.json();
    assert!(
        account["traits"].is_object() && account["insights"].as_str().unwrap().contains("Recommendation")
    );
    assert_eq!(account["segments"][0], json!({"id": "21", "name": "Power accounts"}));
}

/// 400, 401 and 404 with the documented bodies, byte for byte.
#[tokio::test]
async fn accoil_refuses_as_documented() {
    let sandbox = served().await;
    let missing = concat!(
        r#"{"error":{"message":"At least one lookup parameter is required","status":"bad_request","#,
        r#""code":"missing_lookup_parameter","details":{"available_parameters":["#,
        r#""id","match_type/match_value pairs"]}}}"#,
    );
    let unauthorized = concat!(
        r#"{"error":{"message":"Invalid or expired token","status":"unauthorized","#,
        r#""code":"unauthorized"}}"#,
    );
    let not_found = r#"{"error":{"message":"Resource not found","status":"not_found","code":"not_found"}}"#;
    for (authorization, query, status, body) in [
        (Some(READ_TOKEN), "?workspace_id=13", 400, missing),
        (Some(READ_TOKEN), "?workspace_id=13&match_type=domain", 400, missing),
        (Some(READ_TOKEN), "?workspace_id=13&match_value=techcorp.com&id=", 400, missing),
        (Some(READ_TOKEN), "?workspace_id=13&id=999", 404, not_found),
        (None, "?workspace_id=13&id=456", 401, unauthorized),
        (Some("Bearer sk_live_x"), "?workspace_id=13&id=456", 401, unauthorized),
        (Some("Bearer accoil_"), "?workspace_id=13&id=456", 401, unauthorized),
        (Some("Basic accoil_token"), "?workspace_id=13", 401, unauthorized),
    ] {
        let headers: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
        let url = format!("{}/v1/accounts{query}", sandbox.url);
        let answer = send(Method::GET, &url, &headers, "").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, body), "{authorization:?} {query}");
    }
    assert_eq!(sandbox.accoil("?id=456").await.status, 400, "workspace_id is required");
    assert_eq!(sandbox.sandbox.accounts().reads(), 9);
}

/// A group call in each dialect changes the account's traits and nothing else.
#[tokio::test]
async fn a_group_call_changes_accoils_account() {
    let sandbox = served().await;
    let before = sandbox.accoil("?workspace_id=13&id=456").await.json();
    for (path, body) in [
        ("/v2/group", json!({"groupId": "ext-12345", "traits": {"name": "TechCorp", "plan": "a"}})),
        ("/v1/groups", json!({"group_id": "ext-12345", "traits": {"plan": "b", "mrr": 1}})),
        ("/segment", json!({"type": "group", "groupId": "ext-12345", "traits": {"a.b": null}})),
        ("/segment", json!({"type": "track", "event": "group", "groupId": "ext-12345", "traits": {"x": 1}})),
        ("/v2/identify", json!({"userId": "u", "groupId": "ext-12345", "traits": {"x": 1}})),
        ("/v2/group", json!({"groupId": "nobody", "traits": {"x": 1}})),
        ("/v2/group", json!({"groupId": "ext-12345", "traits": ["x"]})),
    ] {
        let url = format!("{}{path}", sandbox.url);
        let answer = send(Method::POST, &url, &[("authorization", "Basic key")], body.to_string()).await;
        assert_eq!(answer.status, 202, "{body}");
    }
    let after = sandbox.accoil("?workspace_id=13&id=456&expand=traits").await.json();
    assert_eq!((&after["name"], &after["metrics"]), (&json!("TechCorp"), &before["metrics"]));
    let traits = &after["traits"];
    assert_eq!(
        (&traits["plan"], &traits["mrr"], &traits["name"]),
        (&json!("b"), &json!(1), &json!("TechCorp"))
    );
    assert_eq!((traits.get("a.b"), traits.get("x")), (Some(&Value::Null), None));
}
