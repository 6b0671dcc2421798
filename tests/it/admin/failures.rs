//! Failures in groups that have the same reason.

use serde_json::json;

use super::get;
use crate::relay::TestRelay;

/// A track whose user id is read from this place.
fn mapping(path: &str) -> String {
    format!(
        "[[mappings]]\nname = 'Tracks'\ntrigger = 'type = \"track\"'\naction = 'track'\n[mappings.fields]\n\
         event = {{ '@path' = '$.event' }}\nuserId = {{ '@path' = '{path}' }}\ntimestamp = {{ '@path' = '$.timestamp' }}\n"
    )
}

fn track(number: usize) -> String {
    let name = if number == 0 { "First" } else { "Later" };
    json!({"type": "track", "event": name, "anonymousId": "a", "properties": {"user_id": format!("u-{number}")},
        "timestamp": "2026-01-02T03:04:05Z", "messageId": format!("m-{number}"), "writeKey": "web-key"})
    .to_string()
}

#[tokio::test]
async fn failures_with_one_reason_are_one_group() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracks.toml");
    std::fs::write(&file, mapping("$.userId")).unwrap();
    let relay = TestRelay::start(&format!(
        "[[sources]]\nname = 'web'\nkind = 'segment'\nwrite_key = 'web-key'\n\
         [[destinations]]\nname = 'accoil'\napi_key = 'key'\nbase_url = '${{SANDBOX}}'\nmappings = ['{}']\n",
        file.display()
    ))
    .await;
    for number in 0..3 {
        assert_eq!(relay.post("/v1/track", &[], track(number)).await.json()["rejected"], 1);
    }
    let failures = get(&relay, "/api/failures").await.json();
    assert_eq!((&failures["rejects"]["count"], failures["groups"].as_array().unwrap().len()), (&json!(3), 1));
    let group = &failures["groups"][0];
    assert_eq!(
        (&group["count"], &group["kind"], &group["sources"]),
        (&json!(3), &json!("reject"), &json!(["web"]))
    );
    assert!(group["title"].as_str().unwrap().starts_with("Tracks: userId "), "{group}");
    assert!(group["reason"]["to_do"].is_string(), "{group}");
    let key = group["key"].as_str().unwrap();
    let one = get(&relay, &format!("/api/failures/{key}")).await.json();
    assert_eq!(one["by_name"], json!([{"name": "Later", "count": 2}, {"name": "First", "count": 1}]));
    assert_eq!((one["events"].as_array().unwrap().len(), &one["events"][0]["name"]), (3, &json!("Later")));

    assert_eq!(get(&relay, "/api/failures/0000000000000000").await.status, 404);
    relay.stop().await;
}
