//! The stream: accepted, read in order, settled, parked; known ids; room.

use std::sync::Arc;

use accoil_relay::accoil::Fingerprint;
use accoil_relay::outbox::{AcceptError, Receipt, Retry, Settlement, Submission, WaitingFilter};
use chrono::Utc;

use super::Home;
use crate::outbox::{
    attempt, bodies, dead, delivered, event, flush, jobs, lanes, parked_of, reject, request, settle, single,
    submission,
};

pub(super) async fn clause_1_what_is_accepted_is_read_in_order_also_after_a_restart(home: Home) {
    let outbox = home.open().await;
    let both = vec![request("a", "u1", "1"), request("b", "u1", "2"), request("a", "u2", "3")];
    outbox.accept(submission(vec![event(None, both)], Vec::new())).await.unwrap();
    outbox.accept(single(None, "u1", "4")).await.unwrap();
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["1", "3", "4"]);
    assert_eq!(bodies(&jobs(&outbox, "b").await.0), ["2"]);
    let first = jobs(&outbox, "a").await.0.remove(0);
    settle(&outbox, vec![delivered(first.place)]);
    outbox.close().await;

    let outbox = home.open().await;
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["3", "4"]);
    assert_eq!(outbox.waiting_for_others(&["a"]).await.unwrap(), [("b".to_owned(), 1)].into());
}

pub(super) async fn clause_1_what_was_acknowledged_is_there_after_a_crash(mut home: Home) {
    let outbox = home.open().await;
    outbox.accept(single(Some("m1"), "u1", "1")).await.unwrap();
    outbox.accept(submission(Vec::new(), vec![reject("{}", "[]")])).await.unwrap();
    home.crash();
    let outbox = home.open().await;
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["1"]);
    assert_eq!(outbox.usage().rejects.rows, 1);
    assert_eq!(outbox.accept(single(Some("m1"), "u1", "1")).await.unwrap().duplicates, 1);
}

pub(super) async fn clause_3_a_settled_chunk_is_gone_and_nothing_waits(home: Home) {
    let outbox = home.open().await;
    for body in ["1", "2", "3"] {
        outbox.accept(single(None, "u", body)).await.unwrap();
    }
    assert!(outbox.waiting_bytes() > 0);
    let mut waiting = jobs(&outbox, "a").await.0.into_iter();
    settle(&outbox, vec![delivered(waiting.next().unwrap().place), dead(waiting.next().unwrap(), "no")]);
    let (job, attempts) = (Box::new(waiting.next().unwrap()), vec![attempt("later")]);
    settle(&outbox, vec![Settlement::Parked { job, attempts, next_attempt_at: Some(Utc::now()) }]);
    let parked = parked_of(&outbox, "a", vec!["u".to_owned()]).await;
    assert_eq!((bodies(&[parked[0].job.clone()]), parked[0].attempts.len()), (vec!["3"], 1));
    settle(&outbox, vec![delivered(parked[0].job.place)]);
    flush(&outbox).await;
    assert_eq!(outbox.waiting_bytes(), 0);
    outbox.close().await;

    let outbox = home.open().await;
    assert!(jobs(&outbox, "a").await.0.is_empty());
    assert_eq!(outbox.waiting_bytes(), 0);
}

pub(super) async fn clause_3_a_settlement_that_comes_twice_counts_once(home: Home) {
    let outbox = home.open().await;
    let both = vec![request("a", "u", "1"), request("a", "u", "2")];
    outbox.accept(submission(vec![event(None, both)], Vec::new())).await.unwrap();
    let waiting = jobs(&outbox, "a").await.0;
    let first = || delivered(waiting[0].place);
    settle(&outbox, vec![first(), first()]);
    flush(&outbox).await;
    settle(&outbox, vec![first()]);
    flush(&outbox).await;
    assert_eq!(outbox.usage().waiting.rows, 1);
    outbox.close().await;
    let outbox = home.open().await;
    assert_eq!((outbox.usage().waiting.rows, bodies(&jobs(&outbox, "a").await.0)), (1, vec!["2"]));
}

/// Enough chunks that their settlements are more messages than one JetStream batch may have.
const CHUNKS: usize = 520;

pub(super) async fn clause_3_a_backlog_of_small_chunks_is_settled_at_once(home: Home) {
    let outbox = home.open().await;
    for _ in 0..CHUNKS {
        let both = vec![request("a", "u", "1"), request("a", "u", "2")];
        outbox.accept(submission(vec![event(None, both)], Vec::new())).await.unwrap();
    }
    let waiting = jobs(&outbox, "a").await.0;
    assert_eq!(waiting.len(), 2 * CHUNKS);
    // Half of each chunk, then the rest.
    for half in [0, 1] {
        settle(&outbox, waiting.iter().skip(half).step_by(2).map(|job| delivered(job.place)).collect());
        flush(&outbox).await;
    }
    assert_eq!(outbox.usage().waiting.rows, 0);
}

pub(super) async fn clause_4_a_reader_that_starts_again_finds_earlier_calls_of_parked_users(home: Home) {
    let outbox = home.open().await;
    for body in ["1", "2", "3"] {
        outbox.accept(single(None, "u", body)).await.unwrap();
    }
    let mut waiting = jobs(&outbox, "a").await.0;
    let (parked, at) = (waiting.remove(1), Utc::now());
    let position = parked.place.position();
    let job = Box::new(parked);
    let attempts = vec![attempt("later")];
    settle(&outbox, vec![Settlement::Parked { job, attempts, next_attempt_at: Some(at) }]);
    flush(&outbox).await;
    outbox.close().await;

    let outbox = home.open().await;
    let lane = lanes(&outbox).into_iter().find(|lane| lane.id() == position.lane()).unwrap();
    let users = lane.parked_users("a").await.unwrap();
    assert!(matches!(&users[..], [(user, Some(Retry { .. }))] if user == "u"), "{users:?}");
    assert!(lane.parked_users("b").await.unwrap().is_empty());
    let resume = lane.resume_point("a").await.unwrap().unwrap();
    assert!(resume >= position && resume < waiting[1].place.position(), "{resume}");
    assert!(lane.resume_point("b").await.unwrap().is_none());
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["1", "3"]);
    let row = parked_of(&outbox, "a", vec!["u".to_owned()]).await.remove(0);
    assert_eq!((row.job.place.position(), &row.job.body[..]), (position, &b"2"[..]));
}

pub(super) async fn clause_4_a_due_call_is_announced(home: Home) {
    let outbox = home.open().await;
    let mut due = outbox.made_due();
    outbox.accept(single(None, "u", "1")).await.unwrap();
    let job = Box::new(jobs(&outbox, "a").await.0.remove(0));
    let at = Utc::now() + chrono::Duration::hours(1);
    settle(
        &outbox,
        vec![Settlement::Parked { job, attempts: vec![attempt("later")], next_attempt_at: Some(at) }],
    );
    flush(&outbox).await;
    assert_eq!(outbox.retry(&WaitingFilter::default()).await.unwrap(), 1);
    assert_eq!(due.recv().await.unwrap()[..], [("a".to_owned(), "u".to_owned())]);
    let row = parked_of(&outbox, "a", vec!["u".to_owned()]).await.remove(0);
    assert!(row.next_attempt_at.unwrap() < at);
}

pub(super) async fn clause_5_an_accepted_id_is_known_in_its_source_and_a_refused_one_is_not(home: Home) {
    let outbox = home.open().await;
    let (new, known) = (Receipt { accepted: 1, duplicates: 0 }, Receipt { accepted: 0, duplicates: 1 });
    assert_eq!(outbox.accept(single(Some("m1"), "u", "1")).await, Ok(new));
    assert_eq!(outbox.accept(single(Some("m1"), "u", "2")).await, Ok(known));
    let refused = submission(Vec::new(), vec![reject(r#"{"messageId":"m2"}"#, "[]")]);
    outbox.accept(refused).await.unwrap();
    outbox.close().await;

    let outbox = home.open().await;
    assert_eq!(outbox.accept(single(Some("m1"), "u", "3")).await, Ok(known));
    assert_eq!(outbox.accept(single(Some("m2"), "u", "4")).await, Ok(new));
    let other = Submission { source: Arc::from("app"), ..single(Some("m1"), "u", "5") };
    assert_eq!(outbox.accept(other).await, Ok(new));
}

pub(super) async fn clause_6_beyond_its_size_the_outbox_is_full_until_something_left(home: Home) {
    let outbox = home.open_with(|options| options.max_bytes = 4000).await;
    let body = "x".repeat(1000);
    let mut stored = 0;
    while outbox.accept(single(Some(&format!("m{stored}")), "u", &body)).await.is_ok() {
        stored += 1;
        assert!(stored < 10);
    }
    let refused = format!("m{stored}");
    assert_eq!(outbox.accept(single(Some(&refused), "u", &body)).await, Err(AcceptError::Full));
    let waiting = jobs(&outbox, "a").await.0;
    assert_eq!(waiting.len(), stored);
    settle(&outbox, waiting.into_iter().map(|job| delivered(job.place)).collect());
    flush(&outbox).await;
    // Not a duplicate, because nothing of it was stored before.
    assert_eq!(outbox.accept(single(Some(&refused), "u", &body)).await.unwrap().accepted, 1);
}

pub(super) async fn clause_11_a_derived_calls_content_is_known_after_a_restart(home: Home) {
    let outbox = home.open().await;
    for body in ["1", "2"] {
        outbox.accept(single(None, "u", body)).await.unwrap();
    }
    let waiting = jobs(&outbox, "a").await.0;
    let print = |content| Fingerprint { key: 7, content };
    for (job, content) in waiting.iter().zip([1, 2]) {
        let fingerprints = vec![print(content)];
        settle(&outbox, vec![Settlement::Delivered { place: job.place, fingerprints }]);
    }
    let lane = waiting[0].place.position().lane();
    flush(&outbox).await;
    outbox.close().await;

    let outbox = home.open().await;
    let lane = lanes(&outbox).into_iter().find(|one| one.id() == lane).unwrap();
    let found = lane.last_delivered(10).await.unwrap();
    assert_eq!(found.iter().map(|(print, _)| *print).collect::<Vec<_>>(), [print(2)]);
}
