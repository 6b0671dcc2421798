//! The public door, through a real listener: every route, every way to authenticate, every answer.

use crate::relay::TestRelay;

const TRACK: &str =
    r#"{"type":"track","userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05Z"}"#;

#[tokio::test]
async fn a_webhook_post_arrives() {
    let relay = TestRelay::usual().await;
    let answer = relay.post("/segment", &[("authorization", "Basic d2ViLWtleTo=")], TRACK).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let calls = relay.calls(1).await;
    assert_eq!(calls[0].path, "/v2/track");
    assert!(relay.rejects().await.is_empty());
    let relay = relay.restart().await;
    relay.stop().await;
}
