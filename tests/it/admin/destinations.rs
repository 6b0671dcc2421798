//! A destination is paused, resumed and probed; its key is confirmed by a user that Accoil has.

use accoil_relay::sandbox::Fault;
use serde_json::{Value, json};

use super::{get, post, until};
use crate::relay::{TEST_TIMEOUT, TestRelay, USUAL};

fn track(user: &str) -> String {
    json!({"type": "track", "userId": user, "event": "E", "writeKey": "web-key"}).to_string()
}

async fn destination(relay: &TestRelay) -> Value {
    get(relay, "/api/destinations").await.json()["destinations"][0].clone()
}

async fn steer(relay: &TestRelay, what: &str) -> Value {
    let answer = post(relay, &format!("/api/destinations/accoil/{what}"), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_pause_holds_calls_back_also_after_a_restart() {
    let relay = TestRelay::usual().await;
    assert_eq!(steer(&relay, "pause").await["state"], "paused");
    assert_eq!(relay.post("/v1/track", &[], track("ada")).await.status, 200);
    until(&relay, "/api/destinations", |answer| answer["destinations"][0]["loaded"] == 1).await;
    let relay = relay.restart().await;
    let paused = destination(&relay).await;
    assert_eq!((&paused["state"], &paused["wait"]["code"]), (&json!("paused"), &json!("wait.paused")));
    assert!(paused["paused_since"].is_string(), "{paused}");
    until(&relay, "/api/destinations", |answer| answer["destinations"][0]["loaded"] == 1).await;
    assert_eq!(relay.sandbox.total(), 0, "nothing was sent");
    assert_eq!(post(&relay, "/api/destinations/accoil/probe", "").await.status, 409);
    assert_eq!(steer(&relay, "resume").await["state"], "ok");
    relay.calls(1).await;
    let relay = relay.restart().await;
    assert!(destination(&relay).await["paused_since"].is_null());
    relay.stop().await;
}

#[tokio::test]
async fn a_probe_does_not_wait_for_the_time_that_was_asked_for() {
    let relay = TestRelay::usual().await;
    let fault =
        Fault { status: Some(429), retry_after: Some("3000".to_owned()), times: 1, ..Fault::default() };
    relay.sandbox.faults().add(fault).unwrap();
    relay.post("/v1/track", &[], track("ada")).await;
    let state =
        until(&relay, "/api/destinations", |answer| answer["destinations"][0]["state"] == "paused").await;
    let one = &state["destinations"][0];
    assert_eq!(one["wait"]["code"], "wait.429", "{one}");
    assert!(one["next_probe_at"].is_string(), "{one}");
    steer(&relay, "probe").await;
    relay.calls(1).await;
    until(&relay, "/api/destinations", |answer| answer["destinations"][0]["state"] == "ok").await;
    relay.stop().await;
}

#[tokio::test]
async fn a_key_is_confirmed_by_a_user_that_accoil_has() {
    let accounts =
        format!("{USUAL}[accounts]\ntoken = 'accoil_test'\nworkspace_id = '1'\nbase_url = '${{SANDBOX}}'\n");
    let relay = TestRelay::start(&accounts).await;
    let one = destination(&relay).await;
    assert_eq!((&one["key_confirmed_at"], &one["can_confirm_key"]), (&Value::Null, &json!(true)));
    let find = async |id: &str| get(&relay, &format!("/api/users?match_value={id}")).await.json();
    assert_eq!(find("ada").await["is_known"], false);
    assert!(destination(&relay).await["key_confirmed_at"].is_null());
    relay.post("/v1/track", &[], track("ada")).await;
    assert!(relay.sandbox.wait_for(1, TEST_TIMEOUT).await);
    until(&relay, "/api/destinations", |answer| answer["destinations"][0]["delivered"] == 1).await;
    let found =
        until(&relay, "/api/users?match_value=ada", |answer| answer["destinations"] == json!(["accoil"]))
            .await;
    assert_eq!((&found["is_known"], &found["user"]["tracking_id"]), (&json!(true), &json!("ada")));
    assert!(destination(&relay).await["key_confirmed_at"].is_string());
    let relay = relay.restart().await;
    assert!(destination(&relay).await["key_confirmed_at"].is_string(), "kept");
    relay.stop().await;
}

#[tokio::test]
async fn an_impossible_request_is_explained() {
    let relay = TestRelay::usual().await;
    let answer = post(&relay, "/api/destinations/acoil/pause", "").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("did you mean accoil?"), "{}", answer.text());
    let answer = get(&relay, "/api/users?match_value=ada").await;
    assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (404, Some("not_configured")));
    relay.stop().await;
}
