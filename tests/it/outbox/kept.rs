//! Dead letters and rejects: kept with all that was known, found by filter, replayed, purged, and held to age and size.

use std::path::Path;
use std::time::Duration;

use accoil_relay::outbox::{AcceptError, Archive, Filter, NoRoom, Options, Outbox, Replayed, Retention};

use super::{bodies, dead, flush, jobs, open, options, reject, single, submission};

fn archive(folder: &Path) -> Archive {
    Archive::open(&folder.join("relay.db")).unwrap()
}

async fn with_dead_letters(folder: &Path) -> Outbox {
    let outbox = open(folder);
    for (user, body) in [("u1", "1"), ("u2", "2"), ("u1", "3")] {
        outbox.accept(single(None, user, body)).await.unwrap();
    }
    let reasons = ["No such user", "too large", "no such group"];
    let letters = jobs(&outbox, "a").await.0.into_iter().zip(reasons);
    outbox.settle(letters.map(|(job, reason)| dead(job, reason)).collect());
    flush(&outbox).await;
    outbox
}

#[tokio::test]
async fn dead_letters_are_found_by_every_filter_while_the_outbox_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let _outbox = with_dead_letters(folder.path()).await;
    let archive = archive(folder.path());
    let found = |filter: &Filter| -> Vec<i64> {
        archive.dead_letters(filter, 0, 10).unwrap().iter().map(|letter| letter.id).collect()
    };
    let text = |text: &str| Some(text.to_owned());
    let now = chrono::Utc::now();
    let hour = chrono::Duration::hours(1);
    for (filter, expected) in [
        (Filter::default(), vec![1, 2, 3]),
        (Filter { ids: vec![3, 1, 9], ..Filter::default() }, vec![1, 3]),
        (Filter { destination: text("a"), user: text("u1"), ..Filter::default() }, vec![1, 3]),
        (Filter { destination: text("b"), ..Filter::default() }, vec![]),
        (Filter { reason: text("no SUCH"), ..Filter::default() }, vec![1, 3]),
        (Filter { since: Some(now - hour), until: Some(now + hour), ..Filter::default() }, vec![1, 2, 3]),
        (Filter { until: Some(now - hour), ..Filter::default() }, vec![]),
    ] {
        assert_eq!(found(&filter), expected, "{filter:?}");
    }
    let newest = archive.newest_dead_letters(&Filter::default(), i64::MAX, 2).unwrap();
    assert_eq!(newest.iter().map(|letter| letter.id).collect::<Vec<_>>(), [3, 2]);
    let letter = &newest[1];
    assert_eq!(
        (letter.user.as_str(), &letter.body[..], letter.path.as_str()),
        ("u2", &b"2"[..], "/v2/track")
    );
    assert_eq!(
        (letter.original.as_slice(), letter.attempts[0].status),
        (&br#"{"type":"track"}"#[..], Some(400))
    );
}

#[tokio::test]
async fn a_replayed_dead_letter_waits_again_behind_what_its_user_has() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = with_dead_letters(folder.path()).await;
    outbox.accept(single(None, "u1", "4")).await.unwrap();
    let replayed = |calls| Ok(Replayed { calls, damaged: Vec::new() });
    assert_eq!(outbox.replay_dead_letters(vec![1, 3, 99]).await, replayed(2));
    assert_eq!(outbox.replay_dead_letters(vec![1, 3]).await, replayed(0));
    assert_eq!(outbox.purge(vec![2]).await, Ok(1));
    assert!(outbox.dead_letters(10).await.unwrap().is_empty());
    outbox.close().await;
    let outbox = open(folder.path());
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["4", "1", "3"]);
}

#[tokio::test]
async fn a_reject_is_kept_with_its_form_and_leaves_with_what_it_was_replayed_into() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let rejects = vec![reject(r#"{"userId":"u1"}"#, r#"[{"reason":"No event"}]"#), reject("torn", "[]")];
    outbox.accept(submission(Vec::new(), rejects)).await.unwrap();
    let archive = archive(folder.path());
    let of_user =
        Filter { user: Some("u1".to_owned()), reason: Some("no EVENT".to_owned()), ..Filter::default() };
    let found = archive.rejects(&of_user, 0, 10).unwrap();
    assert_eq!((found.len(), found[0].id, found[0].form.as_str()), (1, 1, "segment batch"));
    outbox.replay_reject(1, single(None, "u1", "1")).await.unwrap();
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["1"]);
    let left = archive.newest_rejects(&Filter::default(), i64::MAX, 10).unwrap();
    assert_eq!(left.iter().map(|reject| reject.id).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn both_kinds_share_one_number_space_and_are_found_by_event_and_message_id() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = with_dead_letters(folder.path()).await;
    let original = r#"{"event":"Signed Up","userId":"u1","messageId":"m1"}"#;
    let reasons = r#"[{"mapping":"","field":"","reason":"no","code":"reject.missing"}]"#;
    outbox.accept(submission(Vec::new(), vec![reject(original, reasons)])).await.unwrap();
    outbox.accept(single(None, "u3", "4")).await.unwrap();
    let last = jobs(&outbox, "a").await.0.pop().unwrap();
    outbox.settle(vec![dead(last, "gone")]);
    flush(&outbox).await;
    let archive = archive(folder.path());
    let letters = archive.dead_letters(&Filter::default(), 0, 10).unwrap();
    assert_eq!(letters.iter().map(|letter| letter.id).collect::<Vec<_>>(), [1, 2, 3, 5]);
    assert_eq!((letters[3].name.as_str(), letters[3].code.as_str()), ("track", "dead.refused"));
    let found = |filter: Filter| archive.rejects(&filter, 0, 10).unwrap();
    let some = |text: &str| Some(text.to_owned());
    let by_name = found(Filter { event: some("Signed Up"), ..Filter::default() });
    let reject = &by_name[0];
    let labels = (reject.id, reject.name.as_str(), reject.user.as_str(), reject.message_id.as_str());
    assert_eq!((labels, reject.code.as_str()), ((4, "Signed Up", "u1", "m1"), "reject.missing"));
    let id = reject.event.to_string();
    assert_eq!(found(Filter { event: Some(id), ..Filter::default() }).len(), 1);
    assert_eq!(found(Filter { message_id: some("m1"), ..Filter::default() }).len(), 1);
    assert_eq!(found(Filter { message_id: some("m2"), ..Filter::default() }).len(), 0);
    assert_eq!(outbox.purge(vec![4, 5, 6]).await, Ok(2));
}

#[tokio::test]
async fn a_file_of_version_1_keeps_its_calls_and_gets_ids_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let now = chrono::Utc::now().timestamp().to_string();
    let sql = include_str!("../../fixtures/outbox/version-1.sql").replace("1700000000", &now);
    rusqlite::Connection::open(folder.path().join("relay.db")).unwrap().execute_batch(&sql).unwrap();
    let outbox = open(folder.path());
    let waiting = jobs(&outbox, "a").await;
    assert_eq!((bodies(&waiting.0), waiting.1), (vec![r#"{"n":1}"#], true));
    assert_eq!(outbox.usage().waiting.rows, 3);
    assert_eq!(outbox.oldest_waiting().await.unwrap(), None, "no event of this version says when it came");
    let parked = outbox.parked("a", vec!["u2".to_owned()]).await.unwrap();
    assert_eq!((parked.len(), parked[0].attempts.len(), parked[0].attempts[0].took_ms), (1, 1, None));
    let archive = archive(folder.path());
    let letters = archive.dead_letters(&Filter::default(), 0, 10).unwrap();
    let rejects = archive.rejects(&Filter::default(), 0, 10).unwrap();
    let numbers = letters.iter().map(|letter| letter.id).chain(rejects.iter().map(|reject| reject.id));
    assert_eq!(numbers.collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(
        (rejects[0].name.as_str(), rejects[0].user.as_str(), rejects[1].name.as_str()),
        ("Old", "u1", "")
    );
    assert_eq!(letters[0].event.time(), letters[0].at);
    // The next number is free in both.
    outbox.accept(submission(Vec::new(), vec![reject("{}", "[]")])).await.unwrap();
    assert_eq!(outbox.rejects(1).await.unwrap()[0].id, 5);
    outbox.settle(waiting.0.into_iter().map(|job| dead(job, "no")).collect());
    flush(&outbox).await;
    assert_eq!(outbox.dead_letters(1).await.unwrap()[0].id, 6);
}

#[tokio::test]
async fn dead_letters_over_their_size_stop_acceptance_and_stay() {
    let folder = tempfile::tempdir().unwrap();
    let dead_letters = Retention { bytes: 100, ..options(folder.path()).dead_letters };
    let outbox = Outbox::open(&Options { dead_letters, ..options(folder.path()) }).unwrap();
    for number in 0..30 {
        outbox.accept(single(None, "u", &number.to_string())).await.unwrap();
    }
    let waiting = jobs(&outbox, "a").await.0;
    outbox.settle(waiting.into_iter().map(|job| dead(job, "no")).collect());
    flush(&outbox).await;
    assert_eq!(outbox.accept(single(None, "u", "31")).await, Err(AcceptError::Full));
    assert_eq!(outbox.room(), Err(NoRoom::DeadLetters));
    assert!(!outbox.keep_house().await.unwrap());
    let kept = outbox.usage().dead_letters;
    assert!(kept.rows == 30 && kept.bytes > 100, "{kept:?}");
    outbox.purge((1..=30).collect()).await.unwrap();
    assert_eq!((outbox.room(), outbox.usage().dead_letters.bytes), (Ok(()), 0));
    assert!(outbox.accept(single(None, "u", "31")).await.is_ok());
}

#[tokio::test]
async fn the_oldest_rejects_leave_when_they_are_over_their_size() {
    let folder = tempfile::tempdir().unwrap();
    let rejects = Retention { bytes: 10_000, ..options(folder.path()).rejects };
    let outbox = Outbox::open(&Options { rejects, ..options(folder.path()) }).unwrap();
    for _ in 0..20 {
        let more =
            (0..10).map(|_| reject(r#"{"a":"0123456789012345678901234567890123456789"}"#, "[]")).collect();
        outbox.accept(submission(Vec::new(), more)).await.unwrap();
    }
    let kept = outbox.rejects(1000).await.unwrap();
    let bytes: usize = kept.iter().map(|reject| reject.original.len() + reject.reasons.len()).sum();
    assert!((9_000..=10_000).contains(&bytes), "{bytes}");
    assert_eq!(kept[0].id, 200);
}

#[tokio::test]
async fn what_is_over_its_age_leaves_with_the_first_commit_after_a_start() {
    let folder = tempfile::tempdir().unwrap();
    with_dead_letters(folder.path()).await.close().await;
    let dead_letters = Retention { age: Duration::ZERO, ..options(folder.path()).dead_letters };
    let outbox = Outbox::open(&Options { dead_letters, ..options(folder.path()) }).unwrap();
    assert_eq!(outbox.dead_letters(10).await.unwrap().len(), 3);
    // Milliseconds are what is stored: let one pass.
    tokio::time::sleep(Duration::from_millis(2)).await;
    outbox.accept(single(None, "u", "4")).await.unwrap();
    assert!(outbox.dead_letters(10).await.unwrap().is_empty());
}
