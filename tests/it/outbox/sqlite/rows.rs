//! Rows whose bytes changed on the disk: kept, reported once, shown, and never sent.

use std::fs;
use std::path::Path;

use accoil_relay::outbox::{
    Outbox, Replayed, Settlement, Stored, WaitingCall, WaitingFilter, WaitingFor, recover,
};
use chrono::Utc;
use rusqlite::Connection;

use crate::outbox::{attempt, bodies, dead, flush, jobs, open, reject, single, submission};

/// Flips a bit after each occurrence of this text in a file. Returns the number of occurrences.
fn flip_behind(file: &Path, text: &str) -> usize {
    let mut bytes = fs::read(file).unwrap();
    let is_there = |at: &usize| bytes[*at..].starts_with(text.as_bytes());
    let places: Vec<usize> = (0..bytes.len()).filter(is_there).collect();
    for &at in &places {
        bytes[at + text.len()] ^= 1;
    }
    fs::write(file, bytes).unwrap();
    places.len()
}

fn parked(job: accoil_relay::outbox::chunk::Job) -> Settlement {
    let attempts = vec![attempt("later")];
    Settlement::Parked { job: Box::new(job), attempts, next_attempt_at: Some(Utc::now()) }
}

/// For the user `u`: a parked call whose body begins with "PARKED", another parked call behind it, a dead letter and a reject.
async fn with_one_of_each(folder: &Path) -> Outbox {
    let outbox = open(folder);
    for body in ["PARKED .", "behind .", "DEAD ."] {
        outbox.accept(single(None, "u", body)).await.unwrap();
    }
    outbox.accept(submission(Vec::new(), vec![reject("REJECT .", "[]")])).await.unwrap();
    let mut jobs = jobs(&outbox, "a").await.0;
    crate::outbox::settle(&outbox, vec![dead(jobs.pop().unwrap(), "no")]);
    crate::outbox::settle(&outbox, jobs.into_iter().map(parked).collect());
    flush(&outbox).await;
    outbox
}

async fn waiting(outbox: &Outbox) -> Vec<WaitingCall> {
    outbox.waiting(WaitingFilter::default(), None, 10).await.unwrap().calls
}

#[tokio::test]
async fn a_damaged_call_is_not_sent_and_the_calls_behind_it_are() {
    let folder = tempfile::tempdir().unwrap();
    with_one_of_each(folder.path()).await.close().await;
    assert!(flip_behind(&folder.path().join("relay.db"), "PARKED ") > 0);
    for _ in 0..2 {
        let outbox = open(folder.path());
        assert_eq!(outbox.damaged(Stored::Call), 1, "reported at the start");
        let calls = waiting(&outbox).await;
        let seen: Vec<_> = calls.iter().map(|call| (call.waiting_for, call.behind)).collect();
        assert_eq!(seen, [(WaitingFor::Damaged, None), (WaitingFor::Retry, None)]);
        let rows = crate::outbox::parked_of(&outbox, "a", vec!["u".to_owned()]).await;
        assert_eq!(rows.iter().map(|row| &row.job.body[..]).collect::<Vec<_>>(), [b"behind ."]);
        assert_eq!(outbox.damaged(Stored::Call), 1, "counted once");
        // It is not moved either, but the operator can remove it.
        let moved = outbox.change_orphaned("a", Some("b"), &["b"]).await.unwrap();
        let left = waiting(&outbox).await;
        assert_eq!((left.len(), left[0].waiting_for), (2, WaitingFor::Damaged));
        assert_eq!((moved.calls, left[1].job.destination.as_str()), (1, "b"));
        outbox.change_orphaned("b", Some("a"), &["a"]).await.unwrap();
        let back = jobs(&outbox, "a").await.0;
        crate::outbox::settle(&outbox, back.into_iter().map(parked).collect());
        flush(&outbox).await;
        outbox.close().await;
    }
    let outbox = open(folder.path());
    assert_eq!(outbox.change_orphaned("a", None, &["b"]).await.unwrap().calls, 2);
    assert_eq!(outbox.waiting_bytes(), 0);
}

#[tokio::test]
async fn a_damaged_dead_letter_or_reject_is_shown_and_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    with_one_of_each(folder.path()).await.close().await;
    for text in ["DEAD ", "REJECT "] {
        assert!(flip_behind(&folder.path().join("relay.db"), text) > 0);
    }
    let outbox = open(folder.path());
    assert_eq!((outbox.damaged(Stored::DeadLetter), outbox.damaged(Stored::Reject)), (1, 1));
    let letter = crate::outbox::newest_letters(&outbox, 1).await.remove(0);
    let reject = crate::outbox::newest_rejects(&outbox, 1).await.remove(0);
    assert!(letter.is_damaged && reject.is_damaged);
    assert!(outbox.reject(reject.id).await.unwrap().unwrap().is_damaged);
    let replayed = outbox.replay_dead_letters(vec![letter.id]).await.unwrap();
    assert_eq!(replayed, Replayed { calls: 0, damaged: vec![letter.id] });
    assert_eq!(outbox.usage().dead_letters.rows, 1);
    assert!(jobs(&outbox, "a").await.0.is_empty());
    assert_eq!(outbox.purge(vec![letter.id, reject.id]).await, Ok(2));
}

/// A text that is no longer UTF-8, and a user by which the row can no longer be found.
#[tokio::test]
async fn a_row_that_cannot_be_read_as_it_was_written_does_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    with_one_of_each(folder.path()).await.close().await;
    let person = Connection::open(folder.path().join("relay.db")).unwrap();
    person
        .execute_batch(
            "UPDATE parked SET path = CAST(x'ff' AS TEXT), user = CAST(x'ff' AS TEXT) WHERE body = CAST('PARKED .' AS BLOB);
             UPDATE dead_letters SET mapping = CAST(x'ff' AS TEXT); UPDATE rejects SET form = CAST(x'ff' AS TEXT);",
        )
        .unwrap();
    drop(person);
    let outbox = open(folder.path());
    assert_eq!(crate::outbox::lanes(&outbox)[0].parked_users("a").await.unwrap().len(), 2);
    let rows = crate::outbox::parked_of(&outbox, "a", vec!["u".to_owned(), "\u{fffd}".to_owned()]).await;
    assert_eq!(rows.len(), 1);
    assert_eq!(waiting(&outbox).await[0].waiting_for, WaitingFor::Damaged);
    assert!(crate::outbox::newest_letters(&outbox, 1).await[0].is_damaged);
    assert!(crate::outbox::newest_rejects(&outbox, 1).await[0].is_damaged);
}

/// The record of a chunk's settled calls is damaged: calls with an unknown state are made once more, except those that wait in
/// rows of their own.
#[tokio::test]
async fn of_damaged_progress_nothing_is_lost_and_what_waits_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let events =
        ["1", "2", "3"].map(|body| crate::outbox::event(None, vec![crate::outbox::request("a", "u", body)]));
    outbox.accept(submission(events.into(), Vec::new())).await.unwrap();
    let mut all = jobs(&outbox, "a").await.0;
    crate::outbox::settle(&outbox, vec![crate::outbox::delivered(all[0].place), parked(all.remove(1))]);
    flush(&outbox).await;
    outbox.close().await;
    for change in
        ["UPDATE progress SET settled = x'07'", "UPDATE progress SET settled = x''", "DELETE FROM progress"]
    {
        Connection::open(folder.path().join("relay.db")).unwrap().execute_batch(change).unwrap();
        let outbox = open(folder.path());
        assert_eq!(outbox.damaged(Stored::Progress), 1, "{change}");
        assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["1", "3"]);
        assert_eq!(outbox.usage().waiting.rows, 3);
        outbox.close().await;
    }
    let outbox = open(folder.path());
    assert_eq!(outbox.damaged(Stored::Progress), 0, "it was repaired");
}

/// The number of calls in a chunk's row is outside its checksum, so it is counted again from the chunk's bytes.
#[tokio::test]
async fn a_wrong_number_of_calls_in_a_chunks_row_loses_none() {
    for (wrong, is_begun) in [(0, false), (1, false), (1, true), (9, true)] {
        let folder = tempfile::tempdir().unwrap();
        let outbox = open(folder.path());
        let events = ["1", "2", "3"]
            .map(|body| crate::outbox::event(None, vec![crate::outbox::request("a", "u", body)]));
        outbox.accept(submission(events.into(), Vec::new())).await.unwrap();
        if is_begun {
            crate::outbox::settle(
                &outbox,
                vec![crate::outbox::delivered(jobs(&outbox, "a").await.0[0].place)],
            );
            flush(&outbox).await;
        }
        outbox.close().await;
        let change = format!("UPDATE chunks SET requests = {wrong}");
        Connection::open(folder.path().join("relay.db")).unwrap().execute_batch(&change).unwrap();

        let outbox = open(folder.path());
        let mut left = jobs(&outbox, "a").await.0;
        crate::outbox::settle(&outbox, vec![crate::outbox::delivered(left.remove(0).place)]);
        flush(&outbox).await;
        outbox.close().await;
        let outbox = open(folder.path());
        let expected = if is_begun { &["3"][..] } else { &["2", "3"] };
        assert_eq!(bodies(&jobs(&outbox, "a").await.0), expected, "{change}");
        let left = jobs(&outbox, "a").await.0.into_iter().map(|job| crate::outbox::delivered(job.place));
        crate::outbox::settle(&outbox, left.collect());
        flush(&outbox).await;
        outbox.close().await;
        let chunks = Connection::open(folder.path().join("relay.db")).unwrap().query_row(
            "SELECT count(*) FROM chunks",
            [],
            |row| row.get::<_, i64>(0),
        );
        assert_eq!(chunks, Ok(0), "{change}: a chunk whose calls are all sent is deleted");
    }
}

/// The log has the rows twice: as they were written, and damaged in a later version of their page.
#[tokio::test]
async fn recovery_keeps_the_good_copy_of_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = with_one_of_each(folder.path()).await;
    // One more row on the page of each.
    outbox.accept(single(None, "u", "more")).await.unwrap();
    outbox.accept(single(None, "u", "more")).await.unwrap();
    outbox.accept(submission(Vec::new(), vec![reject("more", "[]")])).await.unwrap();
    let mut more = jobs(&outbox, "a").await.0;
    crate::outbox::settle(&outbox, vec![dead(more.remove(0), "no"), parked(more.remove(0))]);
    flush(&outbox).await;
    let copy = tempfile::tempdir().unwrap();
    for name in ["relay.db", "relay.db-wal", "relay.db.lock"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    // In the last version of each page, and not in the first.
    let log = copy.path().join("relay.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    for text in ["PARKED .", "DEAD .", "REJECT ."] {
        let places: Vec<usize> =
            (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
        assert!(places.len() > 1, "{text} {places:?}");
        bytes[*places.last().unwrap()] ^= 1;
    }
    fs::write(&log, bytes).unwrap();

    let recovered = recover(&copy.path().join("relay.db"), Utc::now()).unwrap().expect("it is damaged");
    assert!(recovered.unreadable > 3, "{recovered:?}");
    let outbox = open(copy.path());
    let calls = waiting(&outbox).await;
    let sent: Vec<_> = calls.iter().map(|call| std::str::from_utf8(&call.job.body).unwrap()).collect();
    assert_eq!(sent[..2], ["PARKED .", "behind ."]);
    assert!(calls.iter().all(|call| call.waiting_for != WaitingFor::Damaged));
    let letters = crate::outbox::newest_letters(&outbox, 10).await;
    assert!(letters.iter().any(|letter| letter.body == b"DEAD ." && !letter.is_damaged), "{letters:?}");
    let rejects = crate::outbox::newest_rejects(&outbox, 10).await;
    assert!(rejects.iter().any(|reject| reject.original == b"REJECT ." && !reject.is_damaged), "{rejects:?}");
}
