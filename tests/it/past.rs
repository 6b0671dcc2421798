//! Replays of past events: found in the history and the archive by a filter, tried dry, and sent again once.

use std::path::Path;

use accoil_relay::history::{self, Status};
use accoil_relay::outbox::JobState;
use accoil_relay::replay::{Counted, DryRun, How, JobError, PastSelect, Select};
use accoil_relay::sandbox::Received;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::relay::{TEST_TIMEOUT, TestRelay};
use crate::replays::{configure, ended, order, track};

const KEY: (&str, &str) = ("x-api-key", "web-key");

fn select(change: impl FnOnce(&mut history::Filter)) -> Select {
    let mut filter = history::Filter::default();
    change(&mut filter);
    Select::Event(PastSelect { filter, ..PastSelect::default() })
}

/// Returns the count after it is this one: the newest second is not counted.
async fn counted(relay: &TestRelay, select: &Select, count: u64) -> Counted {
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    loop {
        let counted = relay.relay.jobs.count(select).await.unwrap();
        if counted.count == count {
            return counted;
        }
        assert!(std::time::Instant::now() < deadline, "{counted:?}, not {count}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

async fn dry(relay: &TestRelay, select: &Select, how: How, count: u64) -> (Counted, DryRun) {
    let counted = counted(relay, select, count).await;
    let dry = relay.relay.jobs.dry_run(&order(select.clone(), how, counted)).await.unwrap();
    (counted, dry)
}

fn users(calls: &[Received]) -> Vec<String> {
    let user = |call: &Received| {
        call.body.get("userId").and_then(|user| user.as_str()).unwrap_or_default().to_owned()
    };
    calls.iter().map(user).collect()
}

fn sums(dry: &DryRun) -> [u64; 6] {
    let DryRun { same, different, refused, gone, not_kept, redacted, .. } = dry;
    [*same, *different, *refused, *gone, *not_kept, *redacted]
}

#[tokio::test(flavor = "multi_thread")]
async fn delivered_and_skipped_events_are_found_by_filter_and_sent_again() {
    let folder = tempdir().unwrap();
    let relay = TestRelay::start(&configure(folder.path(), "$.userId")).await;
    for user in ["u1", "u2", "u3", ""] {
        assert_eq!(relay.post("/v1/track", &[KEY], track(user)).await.status, 200);
    }
    let skipped =
        json!({"type": "identify", "userId": "u4", "event": "E", "timestamp": "2026-01-02T03:04:05Z"});
    assert_eq!(relay.post("/v1/identify", &[KEY], skipped.to_string()).await.json()["skipped"], 1);
    relay.calls(3).await;

    let (delivered, one) = (
        select(|filter| filter.statuses = vec![Status::Delivered]),
        select(|filter| {
            filter.user = Some("u2".to_owned());
        }),
    );
    let all = select(|_| {});
    // Rejects are no past events, so the fourth track is not among them.
    assert_eq!(sums(&dry(&relay, &all, How::AsSent, 4).await.1), [3, 0, 1, 0, 0, 0]);
    assert_eq!(sums(&dry(&relay, &all, How::Mappings, 4).await.1), [3, 0, 1, 0, 0, 0]);
    assert_eq!(sums(&dry(&relay, &delivered, How::AsSent, 3).await.1), [3, 0, 0, 0, 0, 0]);
    for (wrong, named) in
        [(Status::Rejected, "reject"), (Status::Dead, "dead-letter"), (Status::Waiting, "sent anyway")]
    {
        let wrong = select(|filter| filter.statuses = vec![wrong]);
        let none = Counted { count: 0, up_to: i64::MAX };
        let error = relay.relay.jobs.dry_run(&order(wrong, How::Mappings, none)).await.unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }

    let (of_one, _) = dry(&relay, &one, How::AsSent, 1).await;
    let job = relay.relay.jobs.replay(&order(one.clone(), How::AsSent, of_one), "test").await.unwrap();
    let job = ended(&relay, job.id).await;
    assert_eq!((job.state, job.done, job.failed), (JobState::Done, 1, 0));
    let calls = relay.calls(4).await;
    assert_eq!((&calls[3].path, &calls[3].body), (&calls[1].path, &calls[1].body), "as it was");

    configure(folder.path(), "$.event");
    relay.relay.reload().await;
    let (of_delivered, by_mappings) = dry(&relay, &delivered, How::Mappings, 3).await;
    assert_eq!(sums(&by_mappings), [0, 3, 0, 0, 0, 0]);
    let example = &by_mappings.examples[0];
    assert_eq!(
        (&example.before[0]["body"]["userId"], &example.after[0]["body"]["userId"], example.id),
        (&json!("u1"), &json!("E"), None)
    );
    // A replay of an event is not an event of its own, so the count is what it was.
    let wrong = Counted { count: 4, ..of_delivered };
    let conflict = relay.relay.jobs.replay(&order(delivered.clone(), How::Mappings, wrong), "test").await;
    assert!(matches!(conflict, Err(JobError::Conflict { expect: 4, found: 3 })), "{conflict:?}");
    let job = relay.relay.jobs.replay(&order(delivered, How::Mappings, of_delivered), "test").await.unwrap();
    assert_eq!(ended(&relay, job.id).await.done, 3);
    assert_eq!(users(&relay.calls(7).await[4..]), ["E", "E", "E"]);
    let purged = relay.relay.jobs.purge(&order(all, How::Mappings, of_delivered), "test").await;
    assert!(matches!(purged, Err(JobError::NotRemoved)), "{purged:?}");
    relay.stop().await;
}

/// Nothing is sent of an event of which the history has not everything.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_kept_or_was_hidden_is_counted_and_not_sent() {
    for (section, expected) in [
        ("[history]\npayloads = 'none'\n", [0, 0, 0, 0, 2, 0]),
        ("[history]\npayloads = 'redacted'\n[privacy]\nredact = ['userId']\n", [0, 0, 0, 0, 0, 2]),
        ("[privacy]\nredact = ['userId']\n", [2, 0, 0, 0, 0, 0]),
        ("[privacy]\nhash_users = true\n", [2, 0, 0, 0, 0, 0]),
    ] {
        let folder = tempdir().unwrap();
        let relay = TestRelay::start(&format!("{}{section}", configure(folder.path(), "$.userId"))).await;
        for user in ["u-one", "u-two"] {
            relay.post("/v1/track", &[KEY], track(user)).await;
        }
        let sent = relay.calls(2).await;
        let all = select(|filter| filter.kind = Some("track".to_owned()));
        for how in [How::AsSent, How::Mappings] {
            let (counted, dry) = dry(&relay, &all, how, 2).await;
            assert_eq!(sums(&dry), expected, "{section} {how:?}");
            if how == How::AsSent {
                let job = relay.relay.jobs.replay(&order(all.clone(), how, counted), "test").await.unwrap();
                let job = ended(&relay, job.id).await;
                assert_eq!((job.done, job.failed), (expected[0], 2 - expected[0]), "{section}");
                let calls = relay.calls(2 + expected[0]).await;
                assert!(calls[2..].iter().all(|call| sent.iter().any(|sent| sent.body == call.body)));
            }
        }
        relay.stop().await;
    }
}

/// Writes a file of the archive with a frame for each list of users, one for each minute.
pub(crate) fn archive(folder: &Path, hour: &str, frames: &[&[impl AsRef<str>]]) -> std::path::PathBuf {
    let path = folder.join(format!("events-{hour}.ndjson.zst"));
    let mut bytes = Vec::new();
    for (frame, users) in frames.iter().enumerate() {
        let mut text = String::new();
        let minute: chrono::DateTime<chrono::Utc> = format!("{hour}:{frame:02}:00Z").parse().unwrap();
        for (number, user) in (0..).zip(*users) {
            let at = minute + chrono::Duration::milliseconds(number);
            let id = accoil_relay::event_id::EventId((at.timestamp_millis().cast_unsigned()) << 22);
            let original: Value = serde_json::from_str(&track(user.as_ref())).unwrap();
            let line = json!({"id": id, "at": at, "source": "web", "form": "segment track", "status": "delivered",
                "original": original});
            text.extend([line.to_string(), "\n".to_owned()]);
        }
        let mut compressor = zstd::bulk::Compressor::new(3).unwrap();
        compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
        bytes.extend(compressor.compress(text.as_bytes()).unwrap());
    }
    std::fs::write(&path, bytes).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn the_archive_is_read_and_its_damaged_files_are_reported() {
    let folder = tempdir().unwrap();
    let kept = folder.path().join("archive");
    std::fs::create_dir(&kept).unwrap();
    archive(&kept, "2026-03-01T10", &[&["a1", "a2"], &["a3"]]);
    let damaged = archive(&kept, "2026-03-01T11", &[&["b1"], &["b2", "b3"], &["b4"]]);
    archive(&kept, "2026-03-01T12", &[&["c1"]]);
    std::fs::write(kept.join("events-2026-03-01T13.ndjson.zst"), b"no frame at all").unwrap();
    std::fs::write(kept.join("notes.txt"), b"of another program").unwrap();
    let mut bytes = std::fs::read(&damaged).unwrap();
    let second = zstd::zstd_safe::find_frame_compressed_size(&bytes).unwrap();
    bytes[second + 40] ^= 0xff;
    std::fs::write(&damaged, bytes).unwrap();

    let toml = format!("{}[history]\narchive = '{}'\n", configure(folder.path(), "$.userId"), kept.display());
    let relay = TestRelay::start(&toml).await;
    let of = |change: &dyn Fn(&mut history::Filter), archive| {
        let Select::Event(mut past) = select(change) else { unreachable!() };
        past.archive = archive;
        Select::Event(past)
    };
    counted(&relay, &of(&|_| {}, false), 0).await;
    let all = of(&|_| {}, true);
    let (of_all, by_mappings) = dry(&relay, &all, How::Mappings, 5).await;
    // The second frame of the damaged file and what follows it are lost.
    assert_eq!((sums(&by_mappings), by_mappings.unreadable_files), ([0, 5, 0, 0, 0, 0], 2));
    assert_eq!(by_mappings.examples[0].after[0]["body"]["userId"], "a1");
    let as_sent = relay.relay.jobs.dry_run(&order(all.clone(), How::AsSent, of_all)).await.unwrap();
    assert_eq!(sums(&as_sent), [0, 0, 0, 0, 5, 0], "the archive has no calls");
    for (change, count) in [
        (
            &(|filter: &mut history::Filter| filter.user = Some("a3".to_owned()))
                as &dyn Fn(&mut history::Filter),
            1,
        ),
        (&|filter| filter.to = Some("2026-03-01T10:01:00Z".parse().unwrap()), 2),
        (&|filter| filter.from = Some("2026-03-01T11:30:00Z".parse().unwrap()), 1),
        (&|filter| filter.name = Some("E".to_owned()), 5),
        (&|filter| filter.source = Some("product".to_owned()), 0),
        (&|filter| filter.statuses = vec![Status::Skipped], 0),
        (&|filter| filter.text = Some("\"c1\"".to_owned()), 1),
    ] {
        counted(&relay, &of(change, true), count).await;
    }
    let by_call = of(&|filter| filter.destination = Some("accoil".to_owned()), true);
    let error = relay.relay.jobs.dry_run(&order(by_call, How::Mappings, of_all)).await.unwrap_err();
    assert!(matches!(error, JobError::ArchiveFilter), "{error}");

    let job = relay.relay.jobs.replay(&order(all, How::Mappings, of_all), "test").await.unwrap();
    let job = ended(&relay, job.id).await;
    assert_eq!((job.state, job.done, job.failed), (JobState::Done, 5, 0));
    let mut sent = users(&relay.calls(5).await);
    sent.sort();
    assert_eq!(sent, ["a1", "a2", "a3", "b1", "c1"]);
    relay.stop().await;
}
