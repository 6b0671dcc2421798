//! What the real SDKs send (captured by `tests/clients`), posted unchanged.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::exchange;
use crate::relay::TestRelay;

const CAPTURED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wire");

/// The captured files, with the number of calls that each makes.
const FILES: [(&str, u64); 10] = [
    ("amplitude-browser", 4),
    ("amplitude-node", 4),
    ("segment-browser-batching", 5),
    ("segment-browser-group", 1),
    ("segment-browser-identify", 1),
    ("segment-browser-page", 1),
    ("segment-browser-screen", 1),
    ("segment-browser-track", 1),
    ("segment-node-v1", 5),
    ("segment-node-v3", 5),
];

/// Removes the times. The clocks were right when the posts were captured, so the corrected times depend on today.
fn without_times(text: &str) -> String {
    let mut parts = text.split("\"timestamp\":\"");
    let mut shown = parts.next().unwrap().to_owned();
    for part in parts {
        let (time, rest) = part.split_once('"').unwrap();
        assert!(chrono::DateTime::parse_from_rfc3339(time).is_ok() && time.ends_with('Z'), "{time}");
        write!(shown, "\"timestamp\":\"TIME\"{rest}").unwrap();
    }
    shown
}

#[tokio::test]
async fn captured_posts_become_their_calls() {
    assert_eq!(std::fs::read_dir(CAPTURED).unwrap().count(), FILES.len(), "every captured post is tried");
    let relay = TestRelay::start(
        &crate::relay::USUAL
            .replace("web-key", "clients-write-key")
            .replace("product-key", "clients-write-key"),
    )
    .await;
    let mut text = String::new();
    for (name, count) in FILES {
        let file = std::fs::read(Path::new(CAPTURED).join(name).with_extension("json")).unwrap();
        let captured: Value = serde_json::from_slice(&file).unwrap();
        let headers: Vec<(&str, &str)> = captured["headers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let (path, body) =
            (captured["path"].as_str().unwrap(), captured["body"].as_str().unwrap().to_owned());
        let answered = exchange(&relay, path, &headers, body, count).await;
        writeln!(text, "{name}: {}", without_times(&answered)).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
        amplitude-browser: 200 {"accepted":4,"code":200,"duplicates":0,"events_ingested":4,"payload_size_bytes":2397,"rejected":0,"server_upload_time":"TIME","skipped":0}
          -> /v2/track {"userId":"amplitude-browser-65c05cb0","event":"Viewed Pricing Page","timestamp":"TIME"}
          -> /v2/identify {"userId":"amplitude-browser-65c05cb0","traits":{"name":"Ada","email":"ada@example.com"},"timestamp":"TIME"}
          -> /v2/track {"userId":"amplitude-browser-65c05cb0","event":"Report Created","timestamp":"TIME"}
          -> /v2/group {"groupId":"group-65c05cb0","traits":{"name":"Acme","group_type":"Account"},"timestamp":"TIME"}
        amplitude-node: 200 {"accepted":4,"code":200,"duplicates":0,"events_ingested":4,"payload_size_bytes":1104,"rejected":0,"server_upload_time":"TIME","skipped":0}
          -> /v2/identify {"userId":"amplitude-node-6c7616c1","traits":{"name":"Ada","email":"ada@example.com"},"timestamp":"TIME"}
          -> /v2/track {"userId":"amplitude-node-6c7616c1","event":"Report Created","timestamp":"TIME"}
          -> /v2/track {"userId":"amplitude-node-6c7616c1","event":"Viewed Home Screen","timestamp":"TIME"}
          -> /v2/group {"groupId":"group-6c7616c1","traits":{"name":"Acme","group_type":"Account"},"timestamp":"TIME"}
        segment-browser-batching: 200 {"accepted":5,"duplicates":0,"rejected":0,"skipped":0,"success":true}
          -> /v2/identify {"userId":"segment-browser-batching-146f841c","traits":{"name":"Ada","email":"ada@example.com"},"timestamp":"TIME"}
          -> /v2/group {"groupId":"group-146f841c","userId":"segment-browser-batching-146f841c","traits":{"name":"Acme"},"timestamp":"TIME"}
          -> /v2/track {"userId":"segment-browser-batching-146f841c","event":"Report Created","timestamp":"TIME"}
          -> /v2/track {"userId":"segment-browser-batching-146f841c","event":"Viewed Pricing Page","timestamp":"TIME"}
          -> /v2/track {"userId":"segment-browser-batching-146f841c","event":"Viewed Home Screen","timestamp":"TIME"}
        segment-browser-group: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
          -> /v2/group {"groupId":"group-2ea46805","userId":"segment-browser-2ea46805","traits":{"name":"Acme"},"timestamp":"TIME"}
        segment-browser-identify: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
          -> /v2/identify {"userId":"segment-browser-2ea46805","traits":{"name":"Ada","email":"ada@example.com"},"timestamp":"TIME"}
        segment-browser-page: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
          -> /v2/track {"userId":"segment-browser-2ea46805","event":"Viewed Pricing Page","timestamp":"TIME"}
        segment-browser-screen: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
          -> /v2/track {"userId":"segment-browser-2ea46805","event":"Viewed Home Screen","timestamp":"TIME"}
        segment-browser-track: 200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
          -> /v2/track {"userId":"segment-browser-2ea46805","event":"Report Created","timestamp":"TIME"}
        segment-node-v1: 200 {"accepted":5,"duplicates":0,"rejected":0,"skipped":0,"success":true}
          -> /v2/identify {"userId":"segment-node-v1-dfd2070b","traits":{"name":"Ada","email":"ada@example.com"},"timestamp":"TIME"}
          -> /v2/group {"groupId":"group-dfd2070b","userId":"segment-node-v1-dfd2070b","traits":{"name":"Acme"},"timestamp":"TIME"}
          -> /v2/track {"userId":"segment-node-v1-dfd2070b","event":"Report Created","timestamp":"TIME"}
          -> /v2/track {"userId":"segment-node-v1-dfd2070b","event":"Viewed Pricing Page","timestamp":"TIME"}
          -> /v2/track {"userId":"segment-node-v1-dfd2070b","event":"Viewed Home Screen","timestamp":"TIME"}
        segment-node-v3: 200 {"accepted":5,"duplicates":0,"rejected":0,"skipped":0,"success":true}
          -> /v2/identify {"userId":"segment-node-v3-75bbf451","traits":{"name":"Ada","email":"ada@example.com"},"timestamp":"TIME"}
          -> /v2/group {"groupId":"group-75bbf451","userId":"segment-node-v3-75bbf451","traits":{"name":"Acme"},"timestamp":"TIME"}
          -> /v2/track {"userId":"segment-node-v3-75bbf451","event":"Report Created","timestamp":"TIME"}
          -> /v2/track {"userId":"segment-node-v3-75bbf451","event":"Viewed Pricing Page","timestamp":"TIME"}
          -> /v2/track {"userId":"segment-node-v3-75bbf451","event":"Viewed Home Screen","timestamp":"TIME"}
        "#);
    assert!(relay.rejects().await.is_empty());
    relay.stop().await;
}
