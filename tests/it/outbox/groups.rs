//! Failures in groups: what belongs together, whatever happens to the members, and what a million of them cost.

use std::fs;
use std::path::Path;
use std::time::Instant;

use accoil_relay::outbox::{Archive, Filter, Group, Kind, Options, Outbox, Retention, recover};
use chrono::Utc;
use rusqlite::Connection;

use super::{dead, flush, jobs, open, options, reject, single, submission};

fn reasons(field: &str) -> String {
    format!(
        r#"[{{"mapping":"Track Calls","field":"{field}","reason":"is missing","code":"reject.missing"}}]"#
    )
}

/// Two rejects without a user id, one without an event; two dead letters of unknown groups, one that is too large.
async fn filled(folder: &Path) -> Outbox {
    let outbox = open(folder);
    let original = r#"{"userId":"u1","event":"Signed Up"}"#;
    let rejects = ["userId", "userId", "event"].map(|field| reject(original, &reasons(field)));
    outbox.accept(submission(Vec::new(), rejects.into())).await.unwrap();
    for user in ["u1", "u2", "u3"] {
        outbox.accept(single(None, user, "1")).await.unwrap();
    }
    let failures = ["answered 400: no group g-17", "answered 400: no group g-18", "answered 400: too large"];
    let letters = jobs(&outbox, "a").await.0.into_iter().zip(failures);
    outbox.settle(letters.map(|(job, reason)| dead(job, reason)).collect());
    flush(&outbox).await;
    outbox
}

fn texts(groups: &[Group]) -> Vec<(Kind, &str, &str, u64)> {
    groups.iter().map(|group| (group.kind, &*group.field, &*group.text, group.count)).collect()
}

async fn sorted(outbox: &Outbox) -> Vec<Group> {
    let mut groups = outbox.groups().await.unwrap();
    groups.sort_by(|a, b| (&a.text, &a.field).cmp(&(&b.text, &b.field)));
    groups
}

const LETTER: Kind = Kind::DeadLetter;
const REJECT: Kind = Kind::Reject;

#[tokio::test]
async fn failures_with_the_same_reason_are_one_group_that_leaves_with_its_last_member() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = filled(folder.path()).await;
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
    assert_eq!(
        (unknown.destination.as_str(), unknown.code.as_str(), unknown.newest),
        ("a", "dead.refused", 5)
    );
    assert_eq!(
        (missing.mapping.as_str(), missing.code.as_str(), missing.source.as_str()),
        ("Track Calls", "reject.missing", "web")
    );
    assert!(missing.first <= missing.last && missing.last <= Utc::now());

    // The members, page by page.
    let archive = Archive::open(&folder.path().join("relay.db")).unwrap();
    assert_eq!(archive.groups().unwrap().len(), 4);
    let members = archive.newest_dead_letters(&unknown.filter(), i64::MAX, 1).unwrap();
    assert_eq!(members[0].user, "u2");
    let members = archive.newest_dead_letters(&unknown.filter(), members[0].id, 10).unwrap();
    assert_eq!(members.iter().map(|letter| letter.user.as_str()).collect::<Vec<_>>(), ["u1"]);
    assert_eq!(archive.rejects(&missing.filter(), 0, 10).unwrap().len(), 2);

    // Purged, replayed, and through a restart.
    outbox.purge(vec![1]).await.unwrap();
    outbox.replay_dead_letters(vec![4, 5]).await.unwrap();
    outbox.replay_reject(3, single(None, "u9", "1")).await.unwrap();
    let left = [(LETTER, "", "answered 400: too large", 1), (REJECT, "userId", "is missing", 1)];
    assert_eq!(texts(&sorted(&outbox).await), left);
    outbox.close().await;
    let soon = Retention { age: std::time::Duration::ZERO, bytes: u64::MAX };
    let outbox =
        Outbox::open(&Options { dead_letters: soon, rejects: soon, ..options(folder.path()) }).unwrap();
    assert_eq!(texts(&sorted(&outbox).await), left);
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    while outbox.keep_house().await.unwrap() {}
    assert_eq!(outbox.groups().await.unwrap(), []);
}

#[tokio::test]
async fn failures_are_found_by_source_code_group_and_text() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = filled(folder.path()).await;
    let archive = Archive::open(&folder.path().join("relay.db")).unwrap();
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
        assert_eq!(archive.rejects(&filter, 0, 10).unwrap().len(), expected, "{filter:?}");
    }
}

/// Files of earlier versions, and recovered ones, are grouped as if their rows had come now.
#[tokio::test]
async fn groups_are_made_of_the_rows_of_older_and_of_damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let sql = include_str!("../../fixtures/outbox/version-1.sql");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let outbox = open(folder.path());
    let groups = outbox.groups().await.unwrap();
    let members =
        |kind| groups.iter().filter(|group| group.kind == kind).map(|group| group.count).sum::<u64>();
    assert_eq!((members(LETTER), members(REJECT)), (2, 2));
    outbox.close().await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let outbox = filled(folder.path()).await;
    let before = sorted(&outbox).await;
    // Enough behind them to be cut off.
    for _ in 0..10 {
        outbox.accept(single(None, "u", &"x".repeat(30_000))).await.unwrap();
    }
    outbox.close().await;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(fs::metadata(&path).unwrap().len() - 8192).unwrap();
    recover(&path, Utc::now()).unwrap().expect("it is damaged");
    let outbox = open(folder.path());
    assert_eq!(sorted(&outbox).await, before);
}

/// `cargo test --test it a_million_rejects -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement: it stores a million rejects"]
async fn a_million_rejects_are_grouped_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let fields: Vec<String> = (0..200_u32)
        .map(|field| reasons(&format!("field{}", char::from_u32(0x4E00 + field).unwrap())))
        .collect();
    let began = Instant::now();
    for batch in 0..100 {
        let rejects = (0..10_000)
            .map(|number| reject(r#"{"userId":"u1","event":"E"}"#, &fields[(batch + number) % 200]));
        outbox.accept(submission(Vec::new(), rejects.collect())).await.unwrap();
    }
    println!("stored in {:?}", began.elapsed());
    for _ in 0..3 {
        let began = Instant::now();
        let groups = outbox.groups().await.unwrap();
        println!(
            "{} groups of {} rejects in {:?}",
            groups.len(),
            outbox.usage().rejects.rows,
            began.elapsed()
        );
        assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), 1_000_000);
        let began = Instant::now();
        let archive = Archive::open(&folder.path().join("relay.db")).unwrap();
        let page = archive.newest_rejects(&groups[0].filter(), i64::MAX, 100).unwrap();
        println!("the newest {} of one group in {:?}", page.len(), began.elapsed());
    }
}
