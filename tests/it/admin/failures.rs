//! Failures in groups, replayed as jobs: counted, tried in a dry run, and gone from their group after they are sent.

use http::Method;
use serde_json::{Value, json};

use super::{get, post, until, url};
use crate::http::send;
use crate::relay::TestRelay;

/// A track whose user id is read from this place.
pub(super) fn mapping(path: &str) -> String {
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
async fn a_group_is_found_tried_dry_and_replayed_through_fixed_mappings() {
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

    let request = |more: Value| {
        let mut request = json!({"select": one["select"]});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request.to_string()
    };
    let refused = post(&relay, "/api/replays", &request(json!({}))).await;
    assert!(refused.status == 400 && refused.text().contains("expect and up_to are required"), "{refused:?}");
    let dry = post(&relay, "/api/replays", &request(json!({"dry_run": true}))).await;
    assert_eq!(
        (dry.status.as_u16(), &dry.json()["refused"], &dry.json()["expect"]),
        (200, &json!(3), &json!(3))
    );

    std::fs::write(&file, mapping("$.properties.user_id")).unwrap();
    assert_eq!(post(&relay, "/api/reload", "").await.status, 200);
    let dry = post(&relay, "/api/replays", &request(json!({"dry_run": true}))).await.json();
    assert_eq!((&dry["different"], &dry["refused"]), (&json!(3), &json!(0)), "{dry}");
    let changed = post(&relay, "/api/replays", &request(json!({"expect": 2, "up_to": dry["up_to"]}))).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["count"]), (409, &json!(3)), "{changed:?}");
    let job = post(&relay, "/api/replays", &request(json!({"expect": 3, "up_to": dry["up_to"]}))).await;
    assert_eq!(job.status, 202, "{job:?}");
    let path = format!("/api/replays/{}", job.json()["id"]);
    let done = until(&relay, &path, |job| job["state"] == "done").await;
    assert_eq!((&done["done"], &done["failed"]), (&json!(3), &json!(0)));
    relay.calls(3).await;
    assert_eq!(get(&relay, "/api/failures").await.json()["groups"], json!([]));
    assert_eq!(get(&relay, &format!("/api/failures/{key}")).await.status, 404);
    assert_eq!(get(&relay, "/api/replays").await.json()["jobs"][0]["state"], "done");
    for (path, status) in [("/api/replays/99", 404), ("/api/replays/x", 404)] {
        assert_eq!(get(&relay, path).await.status, status, "{path}");
    }
    let late = send(Method::POST, &url(&relay, &format!("{path}/pause")), &[], "").await;
    assert_eq!((late.status.as_u16(), late.json()["code"].as_str()), (409, Some("job_state")), "{late:?}");
    relay.stop().await;
}

#[tokio::test]
async fn a_filter_that_matches_nothing_is_an_empty_job_and_a_purge_takes_what_was_counted() {
    let relay = TestRelay::usual().await;
    relay.post("/v1/track", &[], track(0)).await;
    let none = json!({"select": {"kind": "reject", "filter": {"user": "nobody"}}, "dry_run": true});
    let dry = post(&relay, "/api/replays", &none.to_string()).await.json();
    assert_eq!((&dry["expect"], &dry["same"], &dry["examples"]), (&json!(0), &json!(0), &json!([])));
    let all = json!({"select": {"kind": "reject"}, "dry_run": true});
    let counted = post(&relay, "/api/purges", &all.to_string()).await.json();
    assert_eq!(counted["expect"], 1);
    let purge = json!({"select": {"kind": "reject"}, "expect": 1, "up_to": counted["up_to"]});
    let job = post(&relay, "/api/purges", &purge.to_string()).await;
    assert_eq!(job.status, 202, "{job:?}");
    until(&relay, "/api/failures", |failures| failures["rejects"]["count"] == 0).await;
    let wrong = post(&relay, "/api/replays", r#"{"select": {"kind": "rejects"}, "dry_run": true}"#).await;
    assert_eq!(wrong.status, 400, "{wrong:?}");
    relay.stop().await;
}
