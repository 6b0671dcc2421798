//! Ages: old rows are removed whether or not anything is committed, and whatever the wall clock does.

use std::path::Path;
use std::time::Duration;

use accoil_relay::outbox::{Options, Outbox, Retention};
use rusqlite::Connection;

use crate::outbox::{dead, flush, jobs, open, options, reject, single, submission};

const DAY: i64 = 24 * 60 * 60 * 1000;

fn change(folder: &Path, sql: &str) {
    Connection::open(folder.join("relay.db")).unwrap().execute_batch(sql).unwrap();
}

fn count(folder: &Path, table: &str) -> i64 {
    let count = format!("SELECT count(*) FROM {table}");
    Connection::open(folder.join("relay.db")).unwrap().query_row(&count, [], |row| row.get(0)).unwrap()
}

/// One dead letter and one reject, in a closed outbox.
async fn with_one_of_each(folder: &Path) {
    let outbox = open(folder);
    outbox.accept(submission(Vec::new(), vec![reject("{}", "[]")])).await.unwrap();
    outbox.accept(single(None, "u", "1")).await.unwrap();
    crate::outbox::settle(
        &outbox,
        jobs(&outbox, "a").await.0.into_iter().map(|job| dead(job, "no")).collect(),
    );
    flush(&outbox).await;
    outbox.close().await;
}

/// More ids become old than one round of housekeeping removes: each commit continues where the last one ended.
#[tokio::test]
async fn remembered_ids_are_forgotten_as_fast_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).close().await;
    change(
        folder.path(),
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3500)
         INSERT INTO seen (at, ids) SELECT 1700000000000 + i, zeroblob(16) FROM n",
    );
    let outbox = open(folder.path());
    for number in 0..4 {
        outbox.accept(single(Some(&format!("m{number}")), "u", "1")).await.unwrap();
    }
    assert_eq!(count(folder.path(), "seen"), 4);
}

/// The relay runs longer than the age, and nothing is committed meanwhile.
#[tokio::test]
async fn an_idle_outbox_removes_what_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    with_one_of_each(folder.path()).await;
    let outbox = open(folder.path());
    while outbox.keep_house().await.unwrap() {}
    assert_eq!((outbox.usage().dead_letters.rows, outbox.usage().rejects.rows), (1, 1));
    outbox.close().await;
    // As if it had run for 31 days since then.
    change(folder.path(), &format!("UPDATE state SET value = value + 31 * {DAY}"));
    let outbox = open(folder.path());
    while outbox.keep_house().await.unwrap() {}
    assert_eq!((outbox.usage().dead_letters.rows, outbox.usage().rejects.rows), (0, 0));
    assert!(
        crate::outbox::newest_letters(&outbox, 1).await.is_empty()
            && crate::outbox::newest_rejects(&outbox, 1).await.is_empty()
    );
}

/// The wall clock now differs by this many days from the one at which the rows were written.
#[tokio::test]
async fn a_wall_clock_that_jumps_neither_deletes_early_nor_stops_the_deletion() {
    for days in [-400, -31, -1, 1, 31, 400] {
        let folder = tempfile::tempdir().unwrap();
        with_one_of_each(folder.path()).await;
        let ago = days * DAY;
        change(
            folder.path(),
            &format!("UPDATE dead_letters SET at = at - {ago}; UPDATE rejects SET at = at - {ago};"),
        );
        let outbox = open(folder.path());
        while outbox.keep_house().await.unwrap() {}
        outbox.accept(single(None, "u", "2")).await.unwrap();
        let usage = outbox.usage();
        assert_eq!((usage.dead_letters.rows, usage.rejects.rows), (1, 1), "{days} days");
        outbox.close().await;

        let soon = Retention { age: Duration::ZERO, bytes: u64::MAX };
        let options = Options { dead_letters: soon, rejects: soon, ..options(folder.path()) };
        let outbox = Outbox::open(&options).unwrap();
        // Times are stored in milliseconds, so let one pass.
        tokio::time::sleep(Duration::from_millis(2)).await;
        while outbox.keep_house().await.unwrap() {}
        let usage = outbox.usage();
        assert_eq!((usage.dead_letters.rows, usage.rejects.rows), (0, 0), "{days} days");
    }
}

/// The metrics show what is stored, in every state of a call and after a restart.
#[tokio::test]
async fn usage_counts_what_the_outbox_holds() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    for number in 0..6 {
        outbox.accept(single(None, "u", &number.to_string())).await.unwrap();
    }
    let mut waiting = jobs(&outbox, "a").await.0;
    crate::outbox::settle(
        &outbox,
        vec![crate::outbox::delivered(waiting[0].place), crate::outbox::delivered(waiting[0].place)],
    );
    crate::outbox::settle(&outbox, vec![dead(waiting.remove(1), "no")]);
    let (job, attempts) = (Box::new(waiting.remove(1)), vec![crate::outbox::attempt("later")]);
    let next_attempt_at = Some(chrono::Utc::now());
    crate::outbox::settle(
        &outbox,
        vec![accoil_relay::outbox::Settlement::Parked { job, attempts, next_attempt_at }],
    );
    outbox.accept(submission(Vec::new(), vec![reject("{}", "[]")])).await.unwrap();
    let usage = outbox.usage();
    assert_eq!((usage.waiting.rows, usage.dead_letters.rows, usage.rejects.rows), (4, 1, 1));
    assert!(usage.waiting.bytes > 0 && usage.dead_letters.bytes > 0 && usage.rejects.bytes == 4, "{usage:?}");
    assert!(outbox.free_disk().unwrap() > 0);
    outbox.close().await;
    let outbox = open(folder.path());
    assert_eq!(outbox.usage(), usage);
    crate::outbox::settle(
        &outbox,
        jobs(&outbox, "a").await.0.iter().map(|job| crate::outbox::delivered(job.place)).collect(),
    );
    let parked = crate::outbox::parked_of(&outbox, "a", vec!["u".to_owned()]).await;
    crate::outbox::settle(&outbox, vec![crate::outbox::delivered(parked[0].job.place)]);
    flush(&outbox).await;
    assert_eq!(outbox.usage().waiting, accoil_relay::outbox::Amount::default());
}
