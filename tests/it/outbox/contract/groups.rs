//! Failures in groups: which failures belong together, also after replays, purges and a restart.

use accoil_relay::outbox::{Filter, Group, Kind, Outbox, PageFrom, Retention};
use chrono::Utc;

use super::Home;
use crate::outbox::{dead, flush, jobs, reject, settle, single, submission};

pub(crate) fn reasons(field: &str) -> String {
    format!(
        r#"[{{"mapping":"Track Calls","field":"{field}","reason":"is missing","code":"reject.missing"}}]"#
    )
}

/// Two rejects without a user id and one without an event name; two dead letters of unknown groups, and one that is too large.
pub(crate) async fn filled(outbox: &Outbox) {
    let original = r#"{"userId":"u1","event":"Signed Up"}"#;
    let rejects = ["userId", "userId", "event"].map(|field| reject(original, &reasons(field)));
    outbox.accept(submission(Vec::new(), rejects.into())).await.unwrap();
    for user in ["u1", "u2", "u3"] {
        outbox.accept(single(None, user, "1")).await.unwrap();
    }
    let failures = ["answered 400: no group g-17", "answered 400: no group g-18", "answered 400: too large"];
    let letters = jobs(outbox, "a").await.0.into_iter().zip(failures);
    settle(outbox, letters.map(|(job, reason)| dead(job, reason)).collect());
    flush(outbox).await;
}

fn texts(groups: &[Group]) -> Vec<(Kind, &str, &str, u64)> {
    groups.iter().map(|group| (group.kind, &*group.field, &*group.text, group.count)).collect()
}

pub(crate) async fn sorted(outbox: &Outbox) -> Vec<Group> {
    let mut groups = outbox.groups().await.unwrap();
    groups.sort_by(|a, b| (&a.text, &a.field).cmp(&(&b.text, &b.field)));
    groups
}

const LETTER: Kind = Kind::DeadLetter;
const REJECT: Kind = Kind::Reject;

pub(super) async fn clause_10_failures_with_the_same_reason_are_one_group_that_leaves_with_its_last_member(
    home: Home,
) {
    let outbox = home.open().await;
    filled(&outbox).await;
    let groups = sorted(&outbox).await;
    assert_eq!(
        texts(&groups),
        [
            (LETTER, "", "answered 400: no group …", 2),
            (LETTER, "", "answered 400: too large", 1),
            (REJECT, "event", "is missing", 1),
            (REJECT, "userId", "is missing", 2),
        ]
    );
    let (unknown, missing) = (&groups[0], &groups[3]);
    assert_eq!((unknown.destination.as_str(), unknown.code.as_str()), ("a", "dead.refused"));
    assert_eq!(
        (missing.mapping.as_str(), missing.code.as_str(), missing.source.as_str()),
        ("Track Calls", "reject.missing", "web")
    );
    assert!(missing.first <= missing.last && missing.last <= Utc::now());

    // The members, page by page.
    let members = outbox.dead_letters(&unknown.filter(), PageFrom::Before(i64::MAX), 1).await.unwrap();
    assert_eq!((members[0].user.as_str(), members[0].id), ("u2", unknown.newest));
    let members = outbox.dead_letters(&unknown.filter(), PageFrom::Before(members[0].id), 10).await.unwrap();
    assert_eq!(members.iter().map(|letter| letter.user.as_str()).collect::<Vec<_>>(), ["u1"]);
    assert_eq!(outbox.rejects(&missing.filter(), PageFrom::After(0), 10).await.unwrap().len(), 2);

    // After a purge, a replay and a restart.
    let numbers = |kind| {
        let outbox = outbox.clone();
        async move { outbox.numbers(kind, &Filter::default(), 0, 10).await.unwrap() }
    };
    let (reject_numbers, letter_numbers) = (numbers(REJECT).await, numbers(LETTER).await);
    outbox.purge(vec![reject_numbers[0]]).await.unwrap();
    outbox.replay_dead_letters(letter_numbers[..2].to_vec()).await.unwrap();
    outbox.replay_reject(reject_numbers[2], single(None, "u9", "1")).await.unwrap();
    let left = [(LETTER, "", "answered 400: too large", 1), (REJECT, "userId", "is missing", 1)];
    assert_eq!(texts(&sorted(&outbox).await), left);
    outbox.close().await;
    let soon = Retention { age: std::time::Duration::ZERO, bytes: u64::MAX };
    let outbox = home.open_with(|options| (options.dead_letters, options.rejects) = (soon, soon)).await;
    assert_eq!(texts(&sorted(&outbox).await), left);
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    while outbox.keep_house().await.unwrap() {}
    assert_eq!(outbox.groups().await.unwrap(), []);
}

pub(super) async fn clause_10_failures_are_found_by_source_code_group_and_text(home: Home) {
    let outbox = home.open().await;
    filled(&outbox).await;
    let group = sorted(&outbox).await[3].key;
    let some = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (Filter { source: some("web"), ..Filter::default() }, 3),
        (Filter { source: some("app"), ..Filter::default() }, 0),
        (Filter { code: some("reject.missing"), ..Filter::default() }, 3),
        (Filter { code: some("reject.other"), ..Filter::default() }, 0),
        (Filter { group: Some(group), ..Filter::default() }, 2),
        (Filter { group: Some(group), user: some("u2"), ..Filter::default() }, 0),
        (Filter { group: Some(7), ..Filter::default() }, 0),
        (Filter { text: some("SIGNED up"), ..Filter::default() }, 3),
        (Filter { text: some("Signed Off"), ..Filter::default() }, 0),
    ] {
        assert_eq!(
            outbox.rejects(&filter, PageFrom::After(0), 10).await.unwrap().len(),
            expected,
            "{filter:?}"
        );
    }
}
