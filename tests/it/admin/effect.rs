//! What a draft of mappings would change for kept events: rejects that it fixes, events that it breaks.

use serde_json::{Value, json};

use super::failures::mapping;
use super::{get, post, until};
use crate::relay::TestRelay;

/// A track with its user id at the top, in the properties, or nowhere.
fn track(number: usize, place: &str) -> String {
    let mut track = json!({"type": "track", "event": "Opened", "anonymousId": "a", "messageId": format!("m-{number}"),
        "timestamp": "2026-01-02T03:04:05Z", "writeKey": "web-key", "properties": {"email": "ann@example.com"}});
    match place {
        "top" => track["userId"] = json!(format!("user-{number}")),
        "properties" => track["properties"]["user_id"] = json!(format!("user-{number}")),
        _ => {}
    }
    track.to_string()
}

fn counts(effect: &Value) -> [u64; 7] {
    ["looked_at", "same", "different", "refused", "fixed", "newly_refused", "gone"]
        .map(|name| effect[name].as_u64().unwrap_or_else(|| panic!("{name}: {effect:#}")))
}

#[tokio::test]
async fn a_draft_is_tried_on_kept_rejects_and_events() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tracks.toml");
    std::fs::write(&file, mapping("$.userId")).unwrap();
    let relay = TestRelay::start(&format!(
        "[[sources]]\nname = 'web'\nkind = 'segment'\nwrite_key = 'web-key'\n\
         [[destinations]]\nname = 'accoil'\napi_key = 'key'\nbase_url = '${{SANDBOX}}'\nmappings = ['{}']\n\
         [privacy]\nredact = ['properties.email', 'properties.user_id']\n",
        file.display()
    ))
    .await;
    for (number, place) in ["top", "properties", "nowhere", "properties"].into_iter().enumerate() {
        relay.post("/v1/track", &[], track(number, place)).await;
    }
    relay.calls(1).await;
    until(&relay, "/api/events?status=rejected,delivered", |list| {
        list["events"].as_array().is_some_and(|events| events.len() == 4)
    })
    .await;
    let effect = async |draft: Option<&str>, select: Value| {
        let mut request = json!({"select": select});
        if let Some(path) = draft {
            request["draft"] = json!({"destination": "accoil", "document": mapping(path)});
        }
        let answer = post(&relay, "/api/test/effect", &request.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let rejects = json!({"kind": "reject", "filter": {"code": "reject.missing", "source": "web"}});
    let fixed = effect(Some("$.properties.user_id"), rejects.clone()).await;
    assert_eq!(counts(&fixed), [3, 0, 2, 1, 2, 0, 0], "{fixed:#}");
    let example = fixed["examples"].as_array().unwrap().iter().find(|one| one["change"] == "fixed").unwrap();
    assert_eq!(example["before"]["rejected"][0]["code"], "reject.missing", "{example:#}");
    assert_eq!(example["after"]["requests"][0]["mapping"], "Tracks", "{example:#}");
    assert!(!fixed.to_string().contains("user-1"), "what is redacted is hidden: {fixed:#}");

    // All kept events: the one that was delivered would be refused.
    let all = effect(Some("$.properties.user_id"), json!({"kind": "event"})).await;
    assert_eq!(counts(&all), [4, 0, 2, 2, 2, 1, 0], "{all:#}");
    let one = json!({"kind": "event", "filter": {"user": "user-0"}});
    assert_eq!(counts(&effect(Some("$.properties.user_id"), one.clone()).await), [1, 0, 0, 1, 0, 1, 0]);
    assert_eq!(counts(&effect(Some("$.userId"), one).await), [1, 1, 0, 0, 0, 0, 0]);

    // Without a draft: the files as they are now, which nobody has loaded.
    assert_eq!(counts(&effect(None, rejects.clone()).await), [3, 0, 0, 3, 0, 0, 0]);
    std::fs::write(&file, mapping("$.messageId")).unwrap();
    assert_eq!(counts(&effect(None, rejects).await), [3, 0, 3, 0, 3, 0, 0]);
    assert_eq!(counts(&effect(None, json!({"kind": "reject", "filter": {"source": "other"}})).await), [0; 7]);
    assert_eq!(get(&relay, "/api/failures").await.json()["rejects"]["count"], 3, "nothing changed");

    for (request, status, part) in [
        (json!({"draft": {"destination": "accoil", "document": "[[mappings]"}}), 400, "faults"),
        (json!({"draft": {"destination": "other", "document": ""}}), 404, "accoil"),
        (json!({"select": {"kind": "events"}}), 400, "reject"),
        (json!({"select": {"kind": "event", "filter": {"ids": [1]}}}), 400, "select rejects"),
        (json!({"select": {"filter": {"usr": "x"}}}), 400, "usr"),
    ] {
        let answer = post(&relay, "/api/test/effect", &request.to_string()).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
        assert!(answer.text().contains(part), "{request}: {answer:?}");
    }
    relay.stop().await;
}
