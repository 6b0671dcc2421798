//! Replay jobs: tried in a dry run, followed, paused, cancelled, and continued after a restart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use accoil_relay::outbox::{Filter, Job, JobState, Kind};
use accoil_relay::replay::{Counted, Failures, How, JobError, Order, Select};
use accoil_relay::sandbox::Fault;
use serde_json::json;
use tempfile::tempdir;

use crate::relay::{TEST_TIMEOUT, TestRelay, USUAL};

const KEY: (&str, &str) = ("x-api-key", "web-key");

/// One destination, whose mapping takes the user id from this path.
pub(crate) fn configure(folder: &Path, user: &str) -> String {
    let file = folder.join("tracks.toml");
    let mapping = format!(
        "[[mappings]]\nname = 'Tracks'\ntrigger = 'type = \"track\"'\naction = 'track'\n[mappings.fields]\n\
         event = {{ '@path' = '$.event' }}\nuserId = {{ '@path' = '{user}' }}\n\
         timestamp = {{ '@path' = '$.timestamp' }}\n"
    );
    fs::write(&file, mapping).unwrap();
    USUAL.replace("[[destinations]]", &format!("[[destinations]]\nmappings = ['{}']", file.display()))
}

pub(crate) fn track(user: &str) -> String {
    json!({"type": "track", "event": "E", "userId": user, "timestamp": "2026-01-02T03:04:05Z"}).to_string()
}

fn select(kind: Kind, filter: Filter) -> Select {
    Select::failures(kind, filter)
}

pub(crate) fn order(select: Select, how: How, counted: Counted) -> Order {
    let Counted { count, up_to } = counted;
    Order { select, how, mappings: Vec::new(), rate: 1000, up_to, expect: count }
}

pub(crate) async fn ended(relay: &TestRelay, id: i64) -> Job {
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    loop {
        let job = relay.relay.jobs.get(id).await.unwrap();
        if !job.state.is_open() {
            return job;
        }
        assert!(std::time::Instant::now() < deadline, "{job:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn done(relay: &TestRelay, id: i64, least: u64) -> Job {
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    loop {
        let job = relay.relay.jobs.get(id).await.unwrap();
        if job.done >= least {
            return job;
        }
        assert!(std::time::Instant::now() < deadline, "{job:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rejects_are_tried_dry_and_then_replayed_by_the_mappings_in_force() {
    let folder = tempdir().unwrap();
    let relay = TestRelay::start(&configure(folder.path(), "$.properties.uid")).await;
    for user in ["u1", "u2", "u3", "u4", "u5", ""] {
        assert_eq!(relay.post("/v1/track", &[KEY], track(user)).await.json()["rejected"], 1);
    }
    let jobs = &relay.relay.jobs;
    let all = select(Kind::Reject, Filter::default());
    let counted = jobs.count(&all).await.unwrap();
    assert_eq!(counted.count, 6);
    let before = jobs.dry_run(&order(all.clone(), How::Mappings, counted)).await.unwrap();
    assert_eq!((before.same, before.different, before.refused, before.gone), (0, 0, 6, 0));

    configure(folder.path(), "$.userId");
    relay.relay.reload().await;
    let dry = jobs.dry_run(&order(all.clone(), How::Mappings, counted)).await.unwrap();
    assert_eq!((dry.same, dry.different, dry.refused, dry.gone), (0, 5, 1, 0));
    assert_eq!(dry.examples.len(), 5);
    let example = &dry.examples[0];
    assert_eq!(
        (&example.before[0]["field"], &example.before[0]["code"]),
        (&json!("userId"), &json!("reject.missing"))
    );
    assert_eq!(
        (&example.after[0]["path"], &example.after[0]["body"]["userId"]),
        (&json!("/v2/track"), &json!("u1"))
    );
    assert_eq!((relay.rejects().await.len(), relay.sandbox.total()), (6, 0), "a dry run changes nothing");

    // Rejects that came after the count do not belong to the job, and an order with a wrong count is refused.
    assert_eq!(relay.post("/v1/track", &[KEY], track("")).await.json()["rejected"], 1);
    let wrong = order(all.clone(), How::Mappings, Counted { count: 5, ..counted });
    let conflict = jobs.replay(&wrong, "test").await.unwrap_err();
    assert!(matches!(conflict, JobError::Conflict { expect: 5, found: 6 }), "{conflict}");
    assert!(matches!(jobs.dry_run(&wrong).await, Err(JobError::Conflict { .. })));
    let never = jobs.replay(&order(all.clone(), How::AsSent, counted), "test").await.unwrap_err();
    assert!(matches!(never, JobError::NeverSent), "{never}");

    let job = jobs.replay(&order(all.clone(), How::Mappings, counted), "test").await.unwrap();
    let job = ended(&relay, job.id).await;
    assert_eq!((job.state, job.done, job.failed, &*job.by), (JobState::Done, 5, 1, "test"));
    let mut users: Vec<String> =
        relay.calls(5).await.iter().map(|call| call.body.get("userId").unwrap().to_string()).collect();
    users.sort();
    assert_eq!(users, ["u1", "u2", "u3", "u4", "u5"].map(|user| format!("\"{user}\"")));
    assert_eq!(relay.rejects().await.len(), 2, "what is still refused, and what came later");

    // A selection of nothing is an empty job.
    let nobody = Filter { user: Some("nobody".to_owned()), ..Filter::default() };
    let none = Select::Reject(Failures { ids: Some(Vec::new()), ..Failures::default() });
    for select in [select(Kind::Reject, nobody), none] {
        let counted = jobs.count(&select).await.unwrap();
        assert_eq!(counted.count, 0);
        let job = jobs.replay(&order(select, How::Mappings, counted), "test").await.unwrap();
        assert_eq!((ended(&relay, job.id).await.state, relay.rejects().await.len()), (JobState::Done, 2));
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_go_as_they_were_or_by_the_mappings_in_force() {
    let folder = tempdir().unwrap();
    let relay = TestRelay::start(&configure(folder.path(), "$.userId")).await;
    relay.sandbox.faults().add(Fault { status: Some(400), times: 3, ..Fault::default() }).unwrap();
    for user in ["u1", "u2", "u3"] {
        assert_eq!(relay.post("/v1/track", &[KEY], track(user)).await.json()["accepted"], 1);
    }
    let jobs = &relay.relay.jobs;
    let all = select(Kind::DeadLetter, Filter::default());
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    let counted = loop {
        let counted = jobs.count(&all).await.unwrap();
        if counted.count == 3 {
            break counted;
        }
        assert!(std::time::Instant::now() < deadline, "{counted:?}");
    };
    for (how, same, different) in [(How::AsSent, 3, 0), (How::Mappings, 3, 0)] {
        let dry = jobs.dry_run(&order(all.clone(), how, counted)).await.unwrap();
        assert_eq!((dry.same, dry.different, dry.examples.len()), (same, different, 0), "{how:?}");
    }
    configure(folder.path(), "$.event");
    relay.relay.reload().await;
    let dry = jobs.dry_run(&order(all.clone(), How::Mappings, counted)).await.unwrap();
    assert_eq!((dry.same, dry.different, dry.refused, dry.gone), (0, 3, 0, 0));
    let example = &dry.examples[0];
    assert_eq!(
        (&example.before["body"]["userId"], &example.after[0]["body"]["userId"]),
        (&json!("u1"), &json!("E"))
    );

    let first = Filter { user: Some("u1".to_owned()), ..Filter::default() };
    let first = select(Kind::DeadLetter, first);
    let one = jobs.count(&first).await.unwrap();
    let job = jobs.replay(&order(first, How::AsSent, one), "test").await.unwrap();
    assert_eq!(ended(&relay, job.id).await.done, 1);
    let two = jobs.count(&all).await.unwrap();
    let job = jobs.replay(&order(all.clone(), How::Mappings, two), "test").await.unwrap();
    assert_eq!(ended(&relay, job.id).await.done, 2);
    let users: Vec<String> =
        relay.calls(3).await.iter().map(|call| call.body.get("userId").unwrap().to_string()).collect();
    assert_eq!(users, ["\"u1\"", "\"E\"", "\"E\""]);
    assert_eq!(jobs.count(&all).await.unwrap().count, 0);
    relay.stop().await;
}

/// A job of one event a second is paused, restarted and cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_paused_goes_on_after_a_restart_and_is_cancelled() {
    let relay = TestRelay::usual().await;
    for _ in 0..4 {
        assert_eq!(relay.post("/v1/track", &[KEY], track("")).await.json()["rejected"], 1);
    }
    let all = select(Kind::Reject, Filter::default());
    let counted = relay.relay.jobs.count(&all).await.unwrap();
    let slow = Order { rate: 1, ..order(all, How::Mappings, counted) };
    let id = relay.relay.jobs.purge(&slow, "test").await.unwrap().id;
    done(&relay, id, 1).await;
    let paused = relay.relay.jobs.pause(id).await.unwrap();
    assert_eq!(paused.state, JobState::Paused);
    let relay = relay.restart().await;
    let job = relay.relay.jobs.get(id).await.unwrap();
    assert_eq!((job.state, job.done), (JobState::Paused, paused.done), "it waits for who resumes it");
    assert_eq!(relay.relay.jobs.resume(id).await.unwrap().state, JobState::Running);
    let job = done(&relay, id, paused.done + 1).await;
    let relay = relay.restart().await;
    done(&relay, id, job.done + 1).await;
    let cancelled = relay.relay.jobs.cancel(id).await.unwrap();
    assert_eq!(cancelled.state, JobState::Cancelled);
    assert_eq!(relay.rejects().await.len() as u64, 4 - cancelled.done);
    let error = relay.relay.jobs.resume(id).await.unwrap_err();
    assert_eq!(error.to_string(), format!("job {id} is cancelled and cannot be resumed"));
    assert!(matches!(relay.relay.jobs.pause(id + 1).await, Err(JobError::Unknown(_))));
    assert_eq!(relay.relay.jobs.list(10).await.unwrap().len(), 1);
    relay.stop().await;
}
