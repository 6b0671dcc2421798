//! Faults that a test orders from the sandbox: in what order they apply, what each does, which are refused.

use std::time::Duration;

use accoil_relay::sandbox::Fault;
use http::Method;
use serde_json::json;

use super::{TRACK, served};
use crate::http::try_send;

#[tokio::test]
async fn faults_apply_in_order_and_count_down() {
    let sandbox = served().await;
    let rules = [
        json!({"status": 503, "times": 2, "path": "/v2/track", "user": "a", "retry_after": "2"}),
        json!({"status": 429, "body": "slow down"}),
    ];
    for rule in &rules {
        let answer = sandbox.call(Method::POST, "/faults", &[], &rule.to_string()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let listed = sandbox.get("/faults").await;
    assert_eq!((&listed["faults"][0]["times"], &listed["faults"][1]["times"]), (&json!(2), &json!(1)));

    let unavailable = sandbox.post("/v2/track", "Basic key", r#"{"userId":"a","event":"E"}"#).await;
    assert_eq!((unavailable.status.as_u16(), unavailable.header("retry-after")), (503, "2"));
    let limited = sandbox.post("/v2/track", "Basic key", r#"{"userId":"b","event":"E"}"#).await;
    assert_eq!((limited.status.as_u16(), limited.text()), (429, "slow down"));
    let statuses = [sandbox.track("b").await, sandbox.track("a").await, sandbox.track("a").await];
    assert_eq!(statuses.map(|status| status.as_u16()), [202, 503, 202]);
    assert_eq!(sandbox.get("/faults").await, json!({"faults": []}));

    let outcomes = |list: Vec<accoil_relay::sandbox::Received>| -> Vec<_> {
        list.into_iter().map(|request| (request.sequence, request.status.unwrap())).collect()
    };
    assert_eq!(outcomes(sandbox.sandbox.received()), [(3, 202), (5, 202)]);
    assert_eq!(outcomes(sandbox.sandbox.refused()), [(1, 503), (2, 429), (4, 503)]);
}

#[tokio::test]
async fn faults_are_cleared() {
    let sandbox = served().await;
    sandbox.sandbox.faults().add(Fault { status: Some(500), times: 9, ..Fault::default() }).unwrap();
    assert_eq!(sandbox.track("a").await, 500);
    sandbox.call(Method::DELETE, "/faults", &[], "").await;
    assert_eq!(sandbox.track("a").await, 202);
}

/// A closed connection sends no byte. With a status, the request arrived and only its answer was lost.
#[tokio::test]
async fn a_connection_is_closed_instead_of_an_answer() {
    let sandbox = served().await;
    for status in [None, Some(202)] {
        let fault = Fault { close: true, status, ..Fault::default() };
        sandbox.sandbox.faults().add(fault).unwrap();
        let url = format!("{}/v2/track", sandbox.url);
        let lost = try_send(Method::POST, &url, &[("authorization", "Basic key")], TRACK).await;
        let error = lost.expect_err("the connection is closed without an answer");
        let error = error.downcast_ref::<hyper::Error>().expect("a connection error");
        assert!(error.is_incomplete_message() || error.is_closed(), "{error:?}");
    }
    let (refused, received) = (sandbox.sandbox.refused(), sandbox.sandbox.received());
    assert_eq!((refused[0].sequence, refused[0].status), (1, None));
    assert_eq!((received[0].sequence, received[0].status), (2, None));
}

/// A delay changes nothing but the time, and a request counts even if its sender stops waiting.
#[tokio::test]
async fn a_delay_holds_back_only_the_answer() {
    let sandbox = served().await;
    let minutes = Fault { delay_ms: Some(600_000), ..Fault::default() };
    sandbox.sandbox.faults().add(minutes).unwrap();
    tokio::select! {
        status = sandbox.track("a") => panic!("answered immediately with {status}"),
        arrived = sandbox.sandbox.wait_for(1, Duration::from_secs(30)) => assert!(arrived),
    }
    sandbox.sandbox.faults().add(Fault { delay_ms: Some(1), ..Fault::default() }).unwrap();
    assert_eq!(sandbox.track("a").await, 202);
    assert_eq!(sandbox.sandbox.received().len(), 2);
}

#[tokio::test]
async fn invalid_faults_are_refused() {
    let sandbox = served().await;
    let cases = [
        ("{}", "does nothing"),
        (r#"{"status":503,"times":0}"#, "times"),
        (r#"{"status":99}"#, "200 to 599"),
        (r#"{"delay_ms":1,"retry_after":"2"}"#, "status"),
        (r#"{"status":503,"retry_after":"a\nb"}"#, "retry_after"),
        (r#"{"delay_ms":600001}"#, "delay_ms"),
        (r#"{"status":503,"time":3}"#, "unknown field `time`"),
        (r#"{"status":"#, "not a fault"),
    ];
    for (rule, reason) in cases {
        let answer = sandbox.call(Method::POST, "/faults", &[], rule).await;
        assert_eq!(answer.status, 400, "{rule}");
        assert!(answer.json()["message"].as_str().unwrap().contains(reason), "{rule}: {}", answer.text());
    }
    assert_eq!(sandbox.sandbox.faults().list(), []);
}
