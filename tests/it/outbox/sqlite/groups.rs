//! Groups of failures in a file: made from the rows of older and of damaged files, and the cost of a million rows.

use std::fs;
use std::time::Instant;

use accoil_relay::outbox::{Archive, Kind, recover};
use chrono::Utc;
use rusqlite::Connection;

use crate::outbox::contract::groups::{filled, reasons, sorted};
use crate::outbox::{open, reject, single, submission};

/// The rows of files of earlier versions, and of recovered files, are grouped like new rows.
#[tokio::test]
async fn groups_are_made_of_the_rows_of_older_and_of_damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let sql = include_str!("../../../fixtures/outbox/version-1.sql");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let outbox = open(folder.path());
    let groups = outbox.groups().await.unwrap();
    let members =
        |kind| groups.iter().filter(|group| group.kind == kind).map(|group| group.count).sum::<u64>();
    assert_eq!((members(Kind::DeadLetter), members(Kind::Reject)), (2, 2));
    outbox.close().await;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let outbox = {
        let outbox = open(folder.path());
        filled(&outbox).await;
        outbox
    };
    let before = sorted(&outbox).await;
    // With enough rows after them to be cut off.
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
