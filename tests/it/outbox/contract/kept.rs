//! Dead letters and rejects: kept with everything that is known, found by filter, replayed, purged, and limited by age and size.

use std::time::Duration;

use accoil_relay::outbox::{
    AcceptError, DeadLetter, Filter, Kind, NoRoom, Outbox, PageFrom, Replayed, StoredReject,
};

use super::Home;
use crate::outbox::{
    bodies, dead, flush, jobs, newest_letters, newest_rejects, reject, settle, single, submission,
};

const START: PageFrom = PageFrom::After(0);

async fn letters(outbox: &Outbox, filter: &Filter) -> Vec<DeadLetter> {
    outbox.dead_letters(filter, START, 10).await.unwrap()
}

async fn rejects(outbox: &Outbox, filter: &Filter) -> Vec<StoredReject> {
    outbox.rejects(filter, START, 10).await.unwrap()
}

/// Makes three dead letters and returns their numbers, in order.
async fn with_dead_letters(outbox: &Outbox) -> [i64; 3] {
    for (user, body) in [("u1", "1"), ("u2", "2"), ("u1", "3")] {
        outbox.accept(single(None, user, body)).await.unwrap();
    }
    let reasons = ["No such user", "too large", "no such group"];
    let made = jobs(outbox, "a").await.0.into_iter().zip(reasons);
    settle(outbox, made.map(|(job, reason)| dead(job, reason)).collect());
    flush(outbox).await;
    let made = letters(outbox, &Filter::default()).await;
    <[i64; 3]>::try_from(made.iter().map(|letter| letter.id).collect::<Vec<_>>()).unwrap()
}

pub(super) async fn clause_10_dead_letters_are_found_by_every_filter(home: Home) {
    let outbox = home.open().await;
    let [first, second, third] = with_dead_letters(&outbox).await;
    let text = |text: &str| Some(text.to_owned());
    let now = chrono::Utc::now();
    let hour = chrono::Duration::hours(1);
    for (filter, expected) in [
        (Filter::default(), vec![first, second, third]),
        (Filter { ids: vec![third, first, i64::MAX], ..Filter::default() }, vec![first, third]),
        (Filter { destination: text("a"), user: text("u1"), ..Filter::default() }, vec![first, third]),
        (Filter { destination: text("b"), ..Filter::default() }, vec![]),
        (Filter { reason: text("no SUCH"), ..Filter::default() }, vec![first, third]),
        (
            Filter { since: Some(now - hour), until: Some(now + hour), ..Filter::default() },
            vec![first, second, third],
        ),
        (Filter { until: Some(now - hour), ..Filter::default() }, vec![]),
    ] {
        let found: Vec<_> = letters(&outbox, &filter).await.iter().map(|letter| letter.id).collect();
        assert_eq!(found, expected, "{filter:?}");
        assert_eq!(outbox.numbers(Kind::DeadLetter, &filter, 0, 10).await.unwrap(), expected, "{filter:?}");
    }
    let newest = newest_letters(&outbox, 2).await;
    assert_eq!(newest.iter().map(|letter| letter.id).collect::<Vec<_>>(), [third, second]);
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

pub(super) async fn clause_10_a_replayed_dead_letter_waits_again_behind_what_its_user_has(home: Home) {
    let outbox = home.open().await;
    let [first, second, third] = with_dead_letters(&outbox).await;
    outbox.accept(single(None, "u1", "4")).await.unwrap();
    let replayed = |calls| Ok(Replayed { calls, damaged: Vec::new() });
    assert_eq!(outbox.replay_dead_letters(vec![first, third, i64::MAX]).await, replayed(2));
    assert_eq!(outbox.replay_dead_letters(vec![first, third]).await, replayed(0));
    assert_eq!(outbox.purge(vec![second]).await, Ok(1));
    assert!(newest_letters(&outbox, 10).await.is_empty());
    outbox.close().await;
    let outbox = home.open().await;
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["4", "1", "3"]);
}

pub(super) async fn clause_10_a_reject_leaves_in_the_commit_of_its_replay(home: Home) {
    let outbox = home.open().await;
    let made = vec![reject(r#"{"userId":"u1"}"#, r#"[{"reason":"No event"}]"#), reject("torn", "[]")];
    outbox.accept(submission(Vec::new(), made)).await.unwrap();
    let of_user =
        Filter { user: Some("u1".to_owned()), reason: Some("no EVENT".to_owned()), ..Filter::default() };
    let found = rejects(&outbox, &of_user).await;
    assert_eq!((found.len(), found[0].form.as_str()), (1, "segment batch"));
    outbox.replay_reject(found[0].id, single(None, "u1", "1")).await.unwrap();
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), ["1"]);
    let left = newest_rejects(&outbox, 10).await;
    assert_eq!(left.iter().map(|reject| &reject.original[..]).collect::<Vec<_>>(), [b"torn"]);
    assert!(outbox.reject(found[0].id).await.unwrap().is_none());
}

pub(super) async fn clause_10_both_kinds_share_one_number_space(home: Home) {
    let outbox = home.open().await;
    let mut numbers = with_dead_letters(&outbox).await.to_vec();
    let original = r#"{"event":"Signed Up","userId":"u1","messageId":"m1"}"#;
    let reasons = r#"[{"mapping":"","field":"","reason":"no","code":"reject.missing"}]"#;
    outbox.accept(submission(Vec::new(), vec![reject(original, reasons)])).await.unwrap();
    outbox.accept(single(None, "u3", "4")).await.unwrap();
    let last = jobs(&outbox, "a").await.0.pop().unwrap();
    settle(&outbox, vec![dead(last, "gone")]);
    flush(&outbox).await;
    let last = letters(&outbox, &Filter::default()).await.pop().unwrap();
    assert_eq!((last.name.as_str(), last.code.as_str()), ("track", "dead.refused"));
    let some = |text: &str| Some(text.to_owned());
    let named = rejects(&outbox, &Filter { event: some("Signed Up"), ..Filter::default() }).await.remove(0);
    let labels = (named.name.as_str(), named.user.as_str(), named.message_id.as_str());
    assert_eq!((labels, named.code.as_str()), (("Signed Up", "u1", "m1"), "reject.missing"));
    for (filter, expected) in [
        (Filter { event: Some(named.event.to_string()), ..Filter::default() }, 1),
        (Filter { message_id: some("m1"), ..Filter::default() }, 1),
        (Filter { message_id: some("m2"), ..Filter::default() }, 0),
    ] {
        assert_eq!(rejects(&outbox, &filter).await.len(), expected, "{filter:?}");
    }
    numbers.extend([named.id, last.id]);
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    assert_eq!(outbox.newest_number().await.unwrap(), last.id);
    assert_eq!(outbox.purge(vec![named.id, last.id, i64::MAX]).await, Ok(2));
}

pub(super) async fn clause_6_dead_letters_over_their_size_stop_acceptance_and_stay(home: Home) {
    let outbox = home.open_with(|options| options.dead_letters.bytes = 100).await;
    for number in 0..30 {
        outbox.accept(single(None, "u", &number.to_string())).await.unwrap();
    }
    let waiting = jobs(&outbox, "a").await.0;
    settle(&outbox, waiting.into_iter().map(|job| dead(job, "no")).collect());
    flush(&outbox).await;
    assert_eq!(outbox.accept(single(None, "u", "31")).await, Err(AcceptError::Full));
    assert_eq!(outbox.room(), Err(NoRoom::DeadLetters));
    assert!(!outbox.keep_house().await.unwrap());
    let kept = outbox.usage().dead_letters;
    assert!(kept.rows == 30 && kept.bytes > 100, "{kept:?}");
    let all = outbox.numbers(Kind::DeadLetter, &Filter::default(), 0, 100).await.unwrap();
    outbox.purge(all).await.unwrap();
    assert_eq!((outbox.room(), outbox.usage().dead_letters.bytes), (Ok(()), 0));
    assert!(outbox.accept(single(None, "u", "31")).await.is_ok());
}

pub(super) async fn clause_10_the_oldest_rejects_leave_when_they_are_over_their_size(home: Home) {
    let outbox = home.open_with(|options| options.rejects.bytes = 10_000).await;
    for _ in 0..20 {
        let more =
            (0..10).map(|_| reject(r#"{"a":"0123456789012345678901234567890123456789"}"#, "[]")).collect();
        outbox.accept(submission(Vec::new(), more)).await.unwrap();
    }
    let kept = newest_rejects(&outbox, 1000).await;
    let bytes: usize = kept.iter().map(|reject| reject.original.len() + reject.reasons.len()).sum();
    assert!((9_000..=10_000).contains(&bytes), "{bytes}");
    assert_eq!(kept[0].id, outbox.newest_number().await.unwrap());
}

pub(super) async fn clause_10_what_is_over_its_age_leaves_with_the_first_commit_after_a_start(home: Home) {
    let outbox = home.open().await;
    with_dead_letters(&outbox).await;
    outbox.close().await;
    let outbox = home.open_with(|options| options.dead_letters.age = Duration::ZERO).await;
    assert_eq!(newest_letters(&outbox, 10).await.len(), 3);
    // Times are stored in milliseconds, so let one pass.
    tokio::time::sleep(Duration::from_millis(2)).await;
    outbox.accept(single(None, "u", "4")).await.unwrap();
    assert!(newest_letters(&outbox, 10).await.is_empty());
}
