//! The outbox. `contract` tests its clauses with each backend; `sqlite` and `nats` test what only one backend has.

pub(crate) mod contract;
mod moving;
mod moving_command;
mod nats;
pub(crate) mod sqlite;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use accoil_relay::accoil::Request;
use accoil_relay::decode::Form;
use accoil_relay::event_id::EventId;
use accoil_relay::outbox::chunk::Job;
use accoil_relay::outbox::{
    Accepted, Attempt, DeadLetter, Filter, Lane, Options, Outbox, PageFrom, Parked, Place, Reject, Retention,
    Settlement, StoredReject, Submission,
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
    Accepted {
        event: EventId(1),
        original,
        message_id: id.map(str::to_owned),
        requests,
        warned: Vec::new(),
        title: None,
    }
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

/// Returns the lanes of the outbox.
pub(crate) fn lanes(outbox: &Outbox) -> Vec<Lane> {
    outbox.lanes().borrow().owned.clone()
}

/// Returns every unsettled request of a destination that is in a chunk, in order, and whether every chunk could be read.
pub(crate) async fn jobs(outbox: &Outbox, destination: &str) -> (Vec<Job>, bool) {
    let (mut all, mut is_sound) = (Vec::new(), true);
    for lane in lanes(outbox) {
        let mut cursor = lane.start();
        while let Some(chunk) = lane.next_chunk(cursor).await.unwrap() {
            cursor = chunk.position();
            let (Ok(jobs) | Err(jobs)) = chunk.jobs(destination).inspect_err(|_| is_sound = false);
            all.extend(jobs);
        }
    }
    (all, is_sound)
}

/// Settles each request in its lane.
pub(crate) fn settle(outbox: &Outbox, settlements: Vec<Settlement>) {
    let lane_of = |settlement: &Settlement| match settlement {
        Settlement::Delivered { place, .. } => place.position().lane(),
        Settlement::Parked { job, .. } | Settlement::Dead { job, .. } => job.place.position().lane(),
    };
    let mut left = settlements;
    for lane in lanes(outbox) {
        lane.settle(left.extract_if(.., |settlement| lane_of(settlement) == lane.id()).collect());
    }
    assert!(left.is_empty(), "of no lane: {left:?}");
}

/// Returns the first parked requests of these users.
pub(crate) async fn parked_of(outbox: &Outbox, destination: &str, users: Vec<String>) -> Vec<Parked> {
    let mut parked = Vec::new();
    for lane in lanes(outbox) {
        parked.extend(lane.parked(destination, users.clone()).await.unwrap());
    }
    parked
}

pub(crate) async fn newest_letters(outbox: &Outbox, most: usize) -> Vec<DeadLetter> {
    outbox.dead_letters(&Filter::default(), PageFrom::Before(i64::MAX), most).await.unwrap()
}

pub(crate) async fn newest_rejects(outbox: &Outbox, most: usize) -> Vec<StoredReject> {
    outbox.rejects(&Filter::default(), PageFrom::Before(i64::MAX), most).await.unwrap()
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

/// Returns when the writer has stored everything that was asked for before.
pub(crate) async fn flush(outbox: &Outbox) {
    outbox.flush().await.unwrap();
}
