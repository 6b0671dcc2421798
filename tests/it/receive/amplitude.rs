//! An Amplitude event with groups, from post to calls: its primary group, and its derived calls, which are sent once.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{AMPLITUDE, exchange};
use crate::relay::TestRelay;

const WITH_GROUPS: &str = include_str!("../../fixtures/events/amplitude-stream/groups-of-two-types.json");

/// Returns the same event with another id.
fn again(insert_id: &str) -> Value {
    let mut event: Value = serde_json::from_str(WITH_GROUPS).unwrap();
    event["$insert_id"] = json!(insert_id);
    event
}

/// The primary group is the first by id as text: `100000` before `55` and `9`. The derived group and identify calls are sent only
/// if their content is new, also after a restart.
#[tokio::test]
async fn the_primary_group_is_sent_once() {
    let relay = TestRelay::usual().await;
    let post = async |relay: &TestRelay, event: Value, count| {
        exchange(relay, "/amplitude", &[AMPLITUDE], event.to_string(), count).await
    };
    let mut text = String::new();
    writeln!(text, "{}", post(&relay, again("1"), 3).await).unwrap();
    writeln!(text, "the same once more: {}", post(&relay, again("1"), 0).await).unwrap();
    writeln!(text, "again: {}", post(&relay, again("2"), 1).await).unwrap();
    let relay = relay.restart().await;
    writeln!(text, "after a restart: {}", post(&relay, again("3"), 1).await).unwrap();
    let mut renamed = again("4");
    renamed["group_properties"]["Account"]["100000"]["name"] = json!("New Name");
    writeln!(text, "renamed: {}", post(&relay, renamed, 2).await).unwrap();
    insta::assert_snapshot!(text, @r#"
    200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":1535,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/identify {"userId":"user-1","groupId":"100000","traits":{"email":"jane@example.com"},"timestamp":"2024-01-15T10:29:58.123Z"}
      -> /v2/group {"groupId":"100000","userId":"user-1","traits":{"domain":"example.com","name":"Hundred Thousand","group_type":"Account"},"timestamp":"2024-01-15T10:29:58.123Z"}
      -> /v2/track {"userId":"user-1","event":"Report Created","groupTraits":[{"groupId":"100000","traits":{"domain":"example.com","name":"Hundred Thousand","group_type":"Account"}}],"timestamp":"2024-01-15T10:29:58.123Z"}
    the same once more: 200 {"accepted":0,"code":200,"duplicates":1,"events_ingested":1,"payload_size_bytes":1535,"rejected":0,"server_upload_time":"TIME","skipped":0}
    again: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":1535,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/track {"userId":"user-1","event":"Report Created","groupTraits":[{"groupId":"100000","traits":{"domain":"example.com","name":"Hundred Thousand","group_type":"Account"}}],"timestamp":"2024-01-15T10:29:58.123Z"}
    after a restart: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":1535,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/track {"userId":"user-1","event":"Report Created","groupTraits":[{"groupId":"100000","traits":{"domain":"example.com","name":"Hundred Thousand","group_type":"Account"}}],"timestamp":"2024-01-15T10:29:58.123Z"}
    renamed: 200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":1527,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/group {"groupId":"100000","userId":"user-1","traits":{"domain":"example.com","name":"New Name","group_type":"Account"},"timestamp":"2024-01-15T10:29:58.123Z"}
      -> /v2/track {"userId":"user-1","event":"Report Created","groupTraits":[{"groupId":"100000","traits":{"domain":"example.com","name":"New Name","group_type":"Account"}}],"timestamp":"2024-01-15T10:29:58.123Z"}
    "#);
    relay.stop().await;
}
