//! An event that comes twice is sent once: within a post, across posts, across a restart.

use super::{AMPLITUDE, SEGMENT};
use crate::http::Answer;
use crate::relay::TestRelay;

fn track(id: &str) -> String {
    format!(r#"{{"type":"track","userId":"u1","event":"E","messageId":"{id}"}}"#)
}

fn event(id: &str) -> String {
    format!(r#"{{"user_id":"u1","event_type":"E","insert_id":"{id}"}}"#)
}

/// Accepted, duplicates, rejected.
fn counts(answer: &Answer) -> [i64; 3] {
    let body = answer.json();
    ["accepted", "duplicates", "rejected"].map(|name| body[name].as_i64().unwrap())
}

#[tokio::test]
async fn a_duplicate_is_accepted_and_not_sent_also_after_a_restart() {
    let mut relay = TestRelay::usual().await;
    for (first, expected) in [(true, [2, 1, 0]), (false, [0, 3, 0])] {
        let body = format!("[{},{},{}]", track("a"), track("b"), track("a"));
        assert_eq!(counts(&relay.post("/segment", &[SEGMENT], body).await), expected);
        let body = format!(r#"{{"events":[{},{},{}]}}"#, event("a"), event("b"), event("a"));
        assert_eq!(counts(&relay.post("/2/httpapi", &[AMPLITUDE], body).await), expected, "another source");
        // An SDK's retry may come by another route.
        let answer = relay.post("/v1/track", &[SEGMENT], track("b")).await;
        assert_eq!((answer.status.as_u16(), counts(&answer)), (200, [0, 1, 0]));
        relay.calls(4).await;
        if first {
            relay = relay.restart().await;
        }
    }
    relay.stop().await;
}

/// An id is remembered from its first accepted copy on. The id of a reject is not remembered.
#[tokio::test]
async fn a_fixed_event_may_come_under_the_id_of_its_reject() {
    let relay = TestRelay::usual().await;
    let broken = track("a").replace(r#""event":"E","#, "");
    assert_eq!(counts(&relay.post("/v1/track", &[SEGMENT], broken.clone()).await), [0, 0, 1]);
    let relay = relay.restart().await;
    assert_eq!(counts(&relay.post("/v1/track", &[SEGMENT], track("a")).await), [1, 0, 0]);
    assert_eq!(counts(&relay.post("/v1/track", &[SEGMENT], track("a")).await), [0, 1, 0]);
    relay.calls(1).await;
    let kept: Vec<_> = relay.rejects().await.into_iter().map(|reject| reject.original).collect();
    assert_eq!(kept, [broken.into_bytes()]);
    relay.stop().await;
}

#[tokio::test]
async fn without_an_id_or_a_window_every_copy_counts() {
    let relay = TestRelay::start(
        &crate::relay::USUAL
            .replace("kind = \"amplitude\"", "kind = \"amplitude\"\ndeduplication_window = \"0s\""),
    )
    .await;
    for _ in 0..2 {
        for id in [r#","messageId":"""#, r#","messageId":null"#, r#","messageId":{}"#] {
            let body = track("a").replace(r#","messageId":"a""#, id);
            assert_eq!(counts(&relay.post("/segment", &[SEGMENT], body).await), [1, 0, 0], "{id}");
        }
        assert_eq!(counts(&relay.post("/amplitude", &[AMPLITUDE], event("a")).await), [1, 0, 0]);
    }
    relay.calls(8).await;
    relay.stop().await;
}
