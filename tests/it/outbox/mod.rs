//! The outbox's contract, clause by clause, through its public door; `model` holds it to a map over random runs.

mod clock;
mod damage;
mod interrupted;
mod groups;
mod kept;
mod model;
pub(crate) mod room;
mod rows;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use accoil_relay::accoil::Request;
use accoil_relay::decode::Form;
use accoil_relay::event_id::EventId;
use accoil_relay::outbox::chunk::Job;
use accoil_relay::outbox::{
    Accepted, Attempt, OpenError, Options, Outbox, Place, Receipt, Reject, Retention, Settlement, Submission,
};
use accoil_relay::reasons::Reason;
use bytes::Bytes;
use chrono::{DateTime, Utc};

const LONG: Duration = Duration::from_secs(30 * 24 * 60 * 60);

pub(crate) fn options(folder: &Path) -> Options {
    Options {
        path: folder.join("relay.db"),
        deduplication_ids: 1000,
        longest_window: LONG,
        max_bytes: u64::MAX / 2,
        min_free_disk: 0,
        dead_letters: Retention { age: LONG, bytes: 1 << 30 },
        rejects: Retention { age: LONG, bytes: 1 << 30 },
    }
}

pub(crate) fn open(folder: &Path) -> Outbox {
    Outbox::open(&options(folder)).unwrap()
}

pub(crate) fn request(destination: &str, user: &str, body: impl Into<Vec<u8>>) -> Request {
    Request {
        destination: Arc::from(destination),
        mapping: Arc::from("Track Calls"),
        action: "track",
        path: "/v2/track",
        user: user.to_owned(),
        fingerprints: Vec::new(),
        warnings: String::new(),
        body: body.into(),
    }
}

pub(crate) fn event(id: Option<&str>, requests: Vec<Request>) -> Accepted {
    let original = Bytes::from_static(br#"{"type":"track"}"#);
    Accepted { event: EventId(1), original, message_id: id.map(str::to_owned), requests, warned: Vec::new() }
}

pub(crate) fn submission(accepted: Vec<Accepted>, rejects: Vec<Reject>) -> Submission {
    Submission {
        source: Arc::from("web"),
        form: Form::SegmentBatch,
        received_at: Utc::now(),
        deduplication_window: LONG,
        accepted,
        rejects,
        skipped: Vec::new(),
        envelope: None,
        mappings: 0,
    }
}

/// One event of one user for the destination `a`.
pub(crate) fn single(id: Option<&str>, user: &str, body: &str) -> Submission {
    submission(vec![event(id, vec![request("a", user, body)])], Vec::new())
}

pub(crate) fn reject(original: &'static str, reasons: &str) -> Reject {
    Reject {
        event: EventId(2),
        original: Bytes::from_static(original.as_bytes()),
        envelope: None,
        reasons: reasons.to_owned(),
        code: Reason::Rejected,
        refused_by: Vec::new(),
    }
}

/// Everything in chunks that is unsettled for a destination, in order, and whether all of it could be read.
pub(crate) async fn jobs(outbox: &Outbox, destination: &str) -> (Vec<Job>, bool) {
    let (mut all, mut cursor, mut is_sound) = (Vec::new(), 0, true);
    while let Some(chunk) = outbox.chunk_after(cursor).await.unwrap() {
        cursor = chunk.id;
        match chunk.jobs(destination) {
            Ok(jobs) => all.extend(jobs),
            Err(jobs) => {
                all.extend(jobs);
                is_sound = false;
            }
        }
    }
    (all, is_sound)
}

pub(crate) fn bodies(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| std::str::from_utf8(&job.body).unwrap()).collect()
}

pub(crate) fn delivered(place: Place) -> Settlement {
    Settlement::Delivered { place, fingerprints: Vec::new() }
}

pub(crate) fn attempt(reason: &str) -> Attempt {
    Attempt {
        at: DateTime::from_timestamp(1_700_000_000, 0).unwrap(),
        status: Some(400),
        reason: reason.to_owned(),
        took_ms: None,
        running: None,
    }
}

pub(crate) fn dead(job: Job, reason: &str) -> Settlement {
    Settlement::Dead { job: Box::new(job), attempts: vec![attempt(reason)], reason: Reason::DeadRefused }
}

/// Returns when everything asked of the writer before is on disk.
pub(crate) async fn flush(outbox: &Outbox) {
    outbox.parked("", Vec::new()).await.unwrap();
}

#[tokio::test]
async fn what_is_accepted_is_read_in_order_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let both = vec![request("a", "u1", "1"), request("b", "u1", "2"), request("a", "u2", "3")];
    outbox.accept(submission(vec![event(None, both)], Vec::new())).await.unwrap();
    outbox.accept(single(None, "u1", "4")).await.unwrap();
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["1", "3", "4"]);
    assert_eq!(bodies(&jobs(&outbox, "b").await.0), ["2"]);
    let first = jobs(&outbox, "a").await.0.remove(0);
    outbox.settle(vec![delivered(first.place)]);
    outbox.close().await;

    let outbox = open(folder.path());
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["3", "4"]);
    assert_eq!(outbox.waiting_for_others(&["a"]).await.unwrap(), [("b".to_owned(), 1)].into());
}

#[tokio::test]
async fn an_accepted_id_is_known_in_its_source_also_after_a_restart_and_a_refused_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let (new, known) = (Receipt { accepted: 1, duplicates: 0 }, Receipt { accepted: 0, duplicates: 1 });
    assert_eq!(outbox.accept(single(Some("m1"), "u", "1")).await, Ok(new));
    assert_eq!(outbox.accept(single(Some("m1"), "u", "2")).await, Ok(known));
    let refused = submission(Vec::new(), vec![reject(r#"{"messageId":"m2"}"#, "[]")]);
    outbox.accept(refused).await.unwrap();
    outbox.close().await;

    let outbox = open(folder.path());
    assert_eq!(outbox.accept(single(Some("m1"), "u", "3")).await, Ok(known));
    assert_eq!(outbox.accept(single(Some("m2"), "u", "4")).await, Ok(new));
    let other = Submission { source: Arc::from("app"), ..single(Some("m1"), "u", "5") };
    assert_eq!(outbox.accept(other).await, Ok(new));
}

#[tokio::test]
async fn a_settled_chunk_is_gone_and_nothing_waits() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    for body in ["1", "2", "3"] {
        outbox.accept(single(None, "u", body)).await.unwrap();
    }
    assert!(outbox.waiting_bytes() > 0);
    let mut waiting = jobs(&outbox, "a").await.0.into_iter();
    outbox.settle(vec![delivered(waiting.next().unwrap().place), dead(waiting.next().unwrap(), "no")]);
    let (job, attempts) = (Box::new(waiting.next().unwrap()), vec![attempt("later")]);
    outbox.settle(vec![Settlement::Parked { job, attempts, next_attempt_at: Some(Utc::now()) }]);
    let parked = outbox.parked("a", vec!["u".to_owned()]).await.unwrap();
    assert_eq!((bodies(&[parked[0].job.clone()]), parked[0].attempts.len()), (vec!["3"], 1));
    outbox.settle(vec![delivered(parked[0].job.place)]);
    flush(&outbox).await;
    assert_eq!(outbox.waiting_bytes(), 0);
    outbox.close().await;

    let outbox = open(folder.path());
    assert!(outbox.chunk_after(0).await.unwrap().is_none());
    assert_eq!(outbox.waiting_bytes(), 0);
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path());
    let refused = Outbox::open(&options(folder.path())).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    first.close().await;
    open(folder.path());
}
