//! The facts that the stages emit: each event once after its commit, each refused request in its group.

use std::time::Duration;

use accoil_relay::decode::Form;
use accoil_relay::event::SourceKind;
use accoil_relay::facts::{Fact, Facts, Inbox, KeyHint, Record};
use accoil_relay::outbox::{Outbox, Receipt};
use accoil_relay::reasons::Reason;
use http::Method;

use crate::http::send;
use crate::outbox::{event, options, reject, request, submission};
use crate::relay::TestRelay;

/// Returns the events of each post in the channel: the id, and whether it is a duplicate.
fn posts(inbox: &Inbox) -> Vec<Vec<(u64, bool)>> {
    let mut posts = Vec::new();
    while let Ok(Fact::Batch(batch)) = inbox.take(Duration::ZERO) {
        assert!(batch.patterns.iter().all(|pattern| pattern.form == Form::SegmentBatch));
        for record in batch.records() {
            match record {
                Record::Post(_) => posts.push(Vec::new()),
                Record::Event(event) => posts.last_mut().unwrap().push((event.id.0, event.is_duplicate)),
                Record::Outcome(outcome) => panic!("{outcome:?}"),
            }
        }
    }
    posts
}

/// Every post is one fact after its commit, also if it has duplicates or nothing to store, and every event in it is counted.
#[tokio::test]
async fn each_post_is_a_fact_once_after_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (facts, inbox) = Facts::channel();
    let outbox = Outbox::open_with(&options(folder.path()), facts.clone()).unwrap();
    let calls = |user: &str| vec![request("a", user, "1")];
    outbox.accept(submission(vec![event(Some("m1"), calls("u1"))], Vec::new())).await.unwrap();
    let accepted = ["m0", "m1", "m2", "m1", "m2"].map(|id| event(Some(id), calls("u1")));
    let rejects = vec![reject("{}", "[]")];
    let receipt = outbox.accept(submission(accepted.into(), rejects)).await;
    assert_eq!(receipt, Ok(Receipt { accepted: 2, duplicates: 3 }));
    assert_eq!(outbox.accept(submission(Vec::new(), Vec::new())).await, Ok(Receipt::default()));

    let posts = posts(&inbox);
    let second = vec![(1, false), (1, true), (1, false), (1, true), (1, true), (2, false)];
    assert_eq!(posts, [vec![(1, false)], second, Vec::new()]);

    let counts = facts.counts().source(&"web".into());
    let counted = [&counts.accepted, &counts.duplicates, &counts.rejected, &counts.skipped];
    assert_eq!(counted.map(|count| count.load(std::sync::atomic::Ordering::Relaxed)), [3, 3, 1, 0]);
    assert_eq!(counts.reasons.get(Reason::Duplicate), 3);
    assert_eq!(facts.counts().mapping("a", "Track Calls"), (3, 0));
    outbox.close().await;
}

/// A group has what is needed to find the sender. It has no key, and nothing of an event except the beginning of the body.
#[tokio::test]
async fn refused_requests_are_grouped_with_what_finds_their_sender() {
    let relay = TestRelay::usual().await;
    let agent = ("user-agent", "analytics-node/2.1");
    let body = r#"{"type":"track","writeKey":"wk_wrong_0123456789","userId":"u1"}"#;
    for _ in 0..4 {
        assert_eq!(relay.post("/v1/track", &[agent], body).await.status, 401);
    }
    assert_eq!(relay.post("/v1/trak", &[agent], body).await.status, 404);
    assert_eq!(relay.post("/segment", &[("x-api-key", "web-key")], "{\"web-key\":").await.status, 400);
    let url = format!("http://{}/v1/projects/mistyped/settings", relay.relay.address);
    assert_eq!(send(Method::GET, &url, &[agent], "").await.status, 404);

    let groups = relay.relay.facts.refused_requests().groups();
    let seen: Vec<_> = groups
        .iter()
        .map(|(key, group)| {
            (key.kind, key.source.as_deref(), &*key.route, key.reason.code(), key.status, group.count)
        })
        .collect();
    let segment = Some(SourceKind::Segment);
    assert_eq!(
        seen,
        [
            (None, None, "other", "door.route", 404, 1),
            (segment, None, "/v1/projects/{write_key}/settings", "door.key", 404, 1),
            (segment, None, "/v1/track", "door.key", 401, 4),
            (segment, Some("web"), "/segment", "unreadable", 400, 1),
        ]
    );
    let (key, group) = &groups[2];
    assert_eq!(key.key, Some(KeyHint { length: 19, begins: "wk_".to_owned() }));
    assert_eq!(group.samples.len(), 3);
    let sample = &group.samples[0];
    assert_eq!(sample.address, Some([127, 0, 0, 1].into()));
    assert_eq!((sample.agent.as_deref(), sample.bytes), (Some(agent.1), body.len() as u64));
    let text = sample.body.as_ref().unwrap();
    assert_eq!(*text, body.replace("wk_wrong_0123456789", "[write key]"));
    let shown = format!("{groups:?}");
    assert!(!shown.contains("wrong_0123") && !shown.contains("web-key"), "{shown}");
    relay.stop().await;
}
