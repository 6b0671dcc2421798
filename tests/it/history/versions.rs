//! An event is explained by the mappings that were in force when it came, after they have changed.

use accoil_relay::decode::{Form, Limits};
use accoil_relay::pipeline::Pipeline;

use super::*;

#[tokio::test]
async fn an_event_is_explained_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    let preset = accoil_relay::mapping::PRESETS[0].1;
    std::fs::write(&file, preset).unwrap();
    let toml = USUAL.replace("base_url", &format!("mappings = [\"{}\"]\nbase_url", file.display()));
    let relay = TestRelay::start(&toml).await;
    let reader = relay.relay.history.clone();
    let body = track("u1", "m1");
    let id = post(&relay, &body).await;
    let event = recorded(&reader, id, Status::Delivered).await;
    let version = line(&event).shape.mappings;
    assert_ne!(version, 0);

    // From now on no mapping matches.
    std::fs::write(&file, preset.replace(r#"type = "track""#, r#"type = "track" and event = "Never""#))
        .unwrap();
    relay.relay.reload().await;
    let later = post(&relay, &track("u1", "m2")).await;
    let event = recorded(&reader, later, Status::Skipped).await;
    assert_ne!(line(&event).shape.mappings, version);
    let known =
        until("both versions", || reader.versions().ok().filter(|versions| versions.len() == 2)).await;
    assert!(known.iter().any(|known| known.version == version));

    let document = reader.mappings(version).unwrap().unwrap();
    let destinations = accoil_relay::run::destinations(&relay.config).unwrap();
    let now = accoil_relay::run::sources(&relay.config, &destinations, relay.relay.facts.counts());
    let then = now.with_mappings_of(&document).unwrap();
    let requests = |sources: &accoil_relay::pipeline::Sources| {
        let limits = Limits { event_bytes: 1 << 20, events: 1, depth: 64 };
        let received_at = chrono::Utc::now();
        let source = sources.named("web").unwrap();
        let form = Form::SegmentBatch;
        let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired: false };
        pipeline.plan_item(&body, None).plan.requests.len()
    };
    assert_eq!((requests(&then), requests(&now)), (1, 0));
    assert!(now.with_mappings_of("{}").is_err());

    // The API explains the first event by both versions.
    for (mappings, calls) in [("then", 1), ("now", 0)] {
        let path = format!("/api/events/{id}/explain?mappings={mappings}");
        let explained = crate::admin::get(&relay, &path).await.json();
        assert_eq!(explained["requests"].as_array().map(Vec::len), Some(calls), "{mappings}: {explained:#}");
    }
    // Both versions can be shown.
    let at = |version: u64| format!("/api/mappings?version={version:016x}");
    let triggers = |view: &serde_json::Value| {
        let mappings = view["mappings"].as_array().unwrap().iter();
        mappings.filter(|one| one["trigger"].as_str().unwrap().contains("Never")).count()
    };
    let then = crate::admin::get(&relay, &at(version)).await.json();
    let now = crate::admin::get(&relay, "/api/mappings").await.json();
    assert_eq!((&then["is_in_force"], triggers(&then)), (&false.into(), 0), "{then:#}");
    assert_eq!((&now["is_in_force"], triggers(&now)), (&true.into(), 1), "{now:#}");
    let page = crate::admin::get(&relay, &at(version).replace("/api", "")).await;
    assert!(page.text().contains("not in force any more"), "{}", page.text());
    for (version, status) in [("1", 404), ("first", 400)] {
        let answer = crate::admin::get(&relay, &format!("/api/mappings?version={version}")).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    relay.stop().await;
}
