//! Files with faults: of another program or version, truncated, with flipped bits, with zeros; and what is recovered of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use accoil_relay::outbox::{OpenError, Outbox, Recovery, recover};
use chrono::Utc;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::outbox::{bodies, dead, flush, jobs, open, options, reject, single, submission};

fn refused(folder: &Path) -> String {
    let error = Outbox::open(&options(folder)).unwrap_err();
    error.to_string().replace(&folder.display().to_string(), "…")
}

pub(super) fn recovered(folder: &Path) -> Recovery {
    recover(&folder.join("relay.db"), Utc::now()).unwrap().expect("it is damaged")
}

fn rows(recovered: &Recovery, table: &str) -> u64 {
    recovered.rows.iter().find(|(name, _)| *name == table).map_or(0, |(_, rows)| *rows)
}

/// Stores 40 chunks of 30 KB, a dead letter and a reject, and closes the outbox, so that everything is in one file.
async fn filled(folder: &Path) {
    let outbox = open(folder);
    for number in 0..40 {
        let body = format!("{number:02}{}", "x".repeat(30_000));
        outbox.accept(single(Some(&format!("m{number}")), "u", &body)).await.unwrap();
    }
    outbox.accept(submission(Vec::new(), vec![reject("{}", "[]")])).await.unwrap();
    let first = jobs(&outbox, "a").await.0.remove(0);
    crate::outbox::settle(&outbox, vec![dead(first, "no")]);
    flush(&outbox).await;
    outbox.close().await;
}

#[tokio::test]
async fn only_an_outbox_of_a_known_version_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    fs::write(&path, "not a database, but long enough to look at: ".repeat(100)).unwrap();
    insta::assert_snapshot!(refused(folder.path()), @"outbox …/relay.db: this is no outbox, or a damaged one (file is not a database); `serve --recover-outbox` moves it aside and takes what can be read of it into a new one");
    fs::remove_file(&path).unwrap();

    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    insta::assert_snapshot!(refused(folder.path()), @"outbox …/relay.db: this is a database of another program; name another file in outbox.url");
    let foreign = recover(&path, Utc::now()).unwrap_err();
    assert!(matches!(foreign, OpenError::Foreign { .. }), "{foreign}");
    fs::remove_file(&path).unwrap();

    open(folder.path()).close().await;
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    insta::assert_snapshot!(refused(folder.path()), @"outbox …/relay.db: written by a later version (format 99, this program knows up to 6); use that version");
}

#[tokio::test]
async fn a_file_of_an_earlier_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    // Version 0: our file without a table.
    Connection::open(&path).unwrap().execute_batch("PRAGMA application_id = 0x4143524C").unwrap();
    let outbox = open(folder.path());
    outbox.accept(single(None, "u", "1")).await.unwrap();
    outbox.close().await;
    let version: i64 =
        Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 6);
}

#[tokio::test]
async fn a_sound_outbox_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    assert!(recover(&folder.path().join("relay.db"), Utc::now()).unwrap().is_none());
    let outbox = open(folder.path());
    assert_eq!(jobs(&outbox, "a").await.0.len(), 39);
}

#[tokio::test]
async fn of_a_truncated_file_the_beginning_is_recovered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let path = folder.path().join("relay.db");
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(fs::metadata(&path).unwrap().len() / 2).unwrap();
    let error = Outbox::open(&options(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");

    let recovered = recovered(folder.path());
    assert!(recovered.aside.exists() && recovered.unreadable > 0, "{recovered:?}");
    let outbox = open(folder.path());
    let (left, is_sound) = jobs(&outbox, "a").await;
    assert!(is_sound && (10..39).contains(&left.len()), "{}", left.len());
    assert!(bodies(&left).is_sorted());
    // The ids are remembered, and the new file works.
    let known = bodies(&left)[0][..2].parse::<usize>().unwrap();
    assert_eq!(outbox.accept(single(Some(&format!("m{known}")), "u", "again")).await.unwrap().duplicates, 1);
}

/// The damaged file lacks the columns that came later.
#[tokio::test]
async fn a_damaged_file_of_version_1_is_recovered_into_the_present_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.db");
    let now = Utc::now().timestamp().to_string();
    let sql = include_str!("../../../fixtures/outbox/version-1.sql").replace("1700000000", &now);
    Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(fs::metadata(&path).unwrap().len() - 4096).unwrap();
    let recovered = recovered(folder.path());
    for (table, count) in [("chunks", 1), ("parked", 1), ("dead_letters", 2), ("rejects", 2)] {
        assert_eq!(rows(&recovered, table), count, "{table}: {recovered:?}");
    }
    let outbox = open(folder.path());
    assert_eq!(bodies(&jobs(&outbox, "a").await.0), [r#"{"n":1}"#]);
    while outbox.keep_house().await.unwrap() {}
    let letters = crate::outbox::newest_letters(&outbox, 10).await;
    assert_eq!((letters.len(), letters[0].event.time()), (2, letters[0].at));
}

#[tokio::test]
async fn a_chunk_with_a_flipped_bit_is_not_sent_and_the_others_are() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let path = folder.path().join("relay.db");
    let mut bytes = fs::read(&path).unwrap();
    let marker = [b"20".as_slice(), &[b'x'; 100]].concat();
    let at = bytes.windows(marker.len()).position(|window| window == marker).unwrap();
    bytes[at + 50] ^= 1;
    fs::write(&path, bytes).unwrap();

    let outbox = open(folder.path());
    let (left, is_sound) = jobs(&outbox, "a").await;
    assert!(!is_sound);
    assert_eq!(left.len(), 38);
    assert!(!bodies(&left).iter().any(|body| body.starts_with("20")));
}

#[tokio::test]
async fn zeroed_pages_cost_what_was_on_them() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).await;
    let path = folder.path().join("relay.db");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 8192 * 8192;
    bytes[middle..middle + 10 * 8192].fill(0);
    fs::write(&path, &bytes).unwrap();
    let recovered = recovered(folder.path());
    assert!((30..39).contains(&rows(&recovered, "chunks")), "{recovered:?}");
    assert_eq!((rows(&recovered, "dead_letters"), rows(&recovered, "rejects")), (1, 1));

    // Of a file of zeros nothing can be read, but the relay starts again.
    fs::write(&path, vec![0; bytes.len()]).unwrap();
    let recovered = self::recovered(folder.path());
    assert_eq!(rows(&recovered, "chunks"), 0);
    assert!(jobs(&open(folder.path()), "a").await.0.is_empty());
}

/// Returns what a kill leaves of an outbox with ten events and a reject, each stored by its own commit, and nothing settled.
pub(super) async fn killed() -> TempDir {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outbox = open(folder.path());
    for number in 0..10 {
        let body = format!("{number}{}", "x".repeat(9_000));
        outbox.accept(single(Some(&format!("m{number}")), "u", &body)).await.unwrap();
    }
    outbox.accept(submission(Vec::new(), vec![reject("{}", "[]")])).await.unwrap();
    copy_outbox(folder.path(), copy.path());
    copy
}

pub(super) fn copy_outbox(from: &Path, to: &Path) {
    for name in ["relay.db", "relay.db-wal", "relay.db.lock"] {
        let _ = fs::copy(from.join(name), to.join(name));
    }
}

async fn waiting(folder: &Path) -> usize {
    let outbox = open(folder);
    let (jobs, _) = jobs(&outbox, "a").await;
    outbox.close().await;
    jobs.len()
}

/// SQLite drops everything after a page that it cannot verify, without a report.
#[tokio::test]
async fn a_flipped_bit_in_the_log_is_always_reported() {
    let whole = killed().await;
    let bytes = fs::read(whole.path().join("relay.db-wal")).unwrap();
    let (mut refused, mut silent, mut kept) = (0, 0, 0);
    let frame = 24 + 8192;
    let heads = (32..bytes.len()).step_by(frame * 5).flat_map(|start| start..start + 24);
    let places: Vec<usize> = (0..32).chain(heads).chain((32..bytes.len()).step_by(frame - 99)).collect();
    for &place in &places {
        let folder = tempfile::tempdir().unwrap();
        copy_outbox(whole.path(), folder.path());
        let mut flipped = bytes.clone();
        flipped[place] ^= 0x10;
        fs::write(folder.path().join("relay.db-wal"), flipped).unwrap();
        match Outbox::open(&options(folder.path())) {
            Err(OpenError::Damaged { .. }) => refused += 1,
            Err(other) => panic!("byte {place}: {other}"),
            Ok(outbox) => {
                assert_eq!(jobs(&outbox, "a").await.0.len(), 10, "byte {place}");
                silent += 1;
                continue;
            }
        }
        let recovered = recovered(folder.path());
        let left = waiting(folder.path()).await;
        // The damaged log counts as one unreadable place by itself. Where recovery loses more than two events, it must
        // have counted further places.
        assert!(left >= 8 || recovered.unreadable > 1, "byte {place}: {left} left, {recovered:?}");
        kept += left;
    }
    println!(
        "{} flipped bits: {refused} reported, {silent} without any loss, {kept} events kept",
        places.len()
    );
    assert!(refused > silent);
    assert!(kept >= refused * 9, "recovery keeps nine of ten events on average");
}

/// After a power failure the lock file may be older than the log: sound pages after a damaged one are proof enough.
#[tokio::test]
async fn damage_in_the_middle_of_the_log_is_reported_without_the_lock_file() {
    let folder = killed().await;
    fs::remove_file(folder.path().join("relay.db.lock")).unwrap();
    let log = folder.path().join("relay.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let error = refused(folder.path());
    assert!(error.contains("its log is damaged at page"), "{error}");
    assert!(recovered(folder.path()).missing.is_empty());
    assert!(waiting(folder.path()).await >= 9);
}

#[tokio::test]
async fn a_missing_or_shortened_log_after_a_kill_is_reported_with_its_losses() {
    for (keep, lost) in [(None, 10..=10), (Some(0), 10..=10), (Some(2), 3..=9)] {
        let folder = killed().await;
        let log = folder.path().join("relay.db-wal");
        match keep {
            None => fs::remove_file(&log).unwrap(),
            Some(0) => fs::write(&log, "").unwrap(),
            Some(part) => {
                let file = fs::OpenOptions::new().write(true).open(&log).unwrap();
                file.set_len(file.metadata().unwrap().len() / part).unwrap();
            }
        }
        let error = refused(folder.path());
        assert!(
            error.contains("commits of accepted events") || error.contains("were committed to it"),
            "{error}"
        );
        assert!(error.contains("--recover-outbox"), "{error}");
        let recovered = recovered(folder.path());
        assert!(lost.contains(&recovered.missing.commits), "{recovered:?}");
        assert!(recovered.missing.rejects);
        assert_eq!(waiting(folder.path()).await as u64, 10 - recovered.missing.commits);
        // No id is used again, and the new outbox is sound.
        let outbox = open(folder.path());
        outbox.accept(single(None, "u", "new")).await.unwrap();
        assert_eq!(jobs(&outbox, "a").await.0.last().unwrap().place.position().to_string(), "11.0");
    }
}

/// A person's `sqlite3` copied the log into the file and deleted it: nothing is lost.
#[tokio::test]
async fn a_log_that_was_copied_into_its_file_is_not_missed() {
    let folder = killed().await;
    let person = Connection::open(folder.path().join("relay.db")).unwrap();
    person.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(person);
    assert_eq!(waiting(folder.path()).await, 10);
}

#[tokio::test]
async fn of_an_empty_file_with_a_full_log_all_is_recovered() {
    for keep in [Some(""), None] {
        let folder = killed().await;
        let path = folder.path().join("relay.db");
        match keep {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let error = refused(folder.path());
        assert!(error.contains("its log is there"), "{error}");
        let recovered = recovered(folder.path());
        assert!(recovered.missing.is_empty() && recovered.unreadable == 0, "{recovered:?}");
        assert_eq!((rows(&recovered, "chunks"), rows(&recovered, "rejects")), (10, 1));
        assert_eq!(waiting(folder.path()).await, 10);
    }
}

#[tokio::test]
async fn one_owner_whatever_name_the_file_has() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(folder.path().join("relay.db"), elsewhere.path().join("relay.db")).unwrap();
    let error = Outbox::open(&options(elsewhere.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    // With a bind mount: the same file without a lock file beside it.
    fs::remove_file(folder.path().join("relay.db.lock")).unwrap();
    let error = Outbox::open(&options(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    outbox.close().await;

    fs::hard_link(folder.path().join("relay.db"), folder.path().join("other.db")).unwrap();
    insta::assert_snapshot!(refused(folder.path()), @"outbox …/relay.db: the file has a second name (a hard link), and each name would have a log of its own; remove one of them");
    fs::remove_file(folder.path().join("other.db")).unwrap();
    open(folder.path()).close().await;
}

#[tokio::test]
async fn a_lock_file_that_is_a_link_is_not_followed() {
    type Link = fn(&Path, &Path) -> std::io::Result<()>;
    for link in [(|from, to| symlink(from, to)) as Link, |from, to| fs::hard_link(from, to)] {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        link(&precious, &folder.path().join("relay.db.lock")).unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(refused(folder.path()), @"…/relay.db.lock: this is the outbox's lock file, and it is a link or no regular file; remove it and start again");
        }
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }
}

#[tokio::test]
async fn the_outbox_is_closed_to_other_users() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    outbox.accept(single(None, "u", "1")).await.unwrap();
    for name in ["relay.db", "relay.db-wal", "relay.db-shm", "relay.db.lock"] {
        let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

/// SQLite would treat the empty file as a new one and delete the log with everything that is only there.
#[tokio::test]
async fn a_log_without_its_file_is_not_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = open(folder.path());
    outbox.accept(single(None, "u", "1")).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder.path().join("relay.db-wal"), copy.path().join("relay.db-wal")).unwrap();
    let error = Outbox::open(&options(copy.path())).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(fs::metadata(copy.path().join("relay.db-wal")).unwrap().len() > 0);
}
