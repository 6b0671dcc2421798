//! Room: the limit of waiting calls, the floor of free disk, and a disk that is really full.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use accoil_relay::outbox::{AcceptError, Options, Outbox, Settlement};
use accoil_relay::sandbox::Fault;

use http::Method;

use crate::http::send;
use crate::outbox::{delivered, flush, jobs, open, options, single};
use crate::relay::{Process, TEST_TIMEOUT, TestRelay, USUAL, command};
use crate::sandbox::RunningSandbox;

#[tokio::test]
async fn below_the_free_disk_floor_nothing_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::open(&Options { min_free_disk: u64::MAX, ..options(folder.path()) }).unwrap();
    assert_eq!(outbox.accept(single(None, "u", "1")).await, Err(AcceptError::Full));
    assert!(!*outbox.failed().borrow());
}

/// A small disk, which is removed when this is dropped.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    /// Returns `None` if the system does not let tests mount a disk. Then the other tests of this file must do.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(folder.path())
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        is_mounted.then(|| Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because files in it may still be open and are closed a moment later.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Another program fills the disk. Every event that was answered with 200 is there, and none that was refused; settlements of
/// that time are stored; and the outbox continues by itself when there is room.
#[tokio::test]
async fn a_full_disk_refuses_and_recovers_without_a_restart() {
    let Some(disk) = Disk::new(8 << 20) else { return };
    let outbox = open(disk.path());
    let body = |number: usize| format!("{number:08}{}", "x".repeat(40_000));
    let mut stored: Vec<String> = Vec::new();
    let refused = loop {
        let body = body(stored.len());
        match outbox.accept(single(Some(&body[..8]), "u", &body)).await {
            Ok(_) => stored.push(body),
            Err(error) => break (error, body),
        }
        if stored.len() == 5 {
            fill(disk.path());
        }
        assert!(stored.len() < 1000);
    };
    assert_eq!(refused.0, AcceptError::Full);
    assert!(!*outbox.failed().borrow());
    let waiting = jobs(&outbox, "a").await.0;
    assert_eq!(crate::outbox::bodies(&waiting), stored);
    crate::outbox::settle(&outbox, waiting.iter().map(|job| delivered(job.place)).collect());
    assert_eq!(outbox.accept(single(None, "u", &refused.1)).await, Err(AcceptError::Full));

    std::fs::remove_file(disk.path().join("filler")).unwrap();
    flush(&outbox).await;
    assert_eq!(outbox.waiting_bytes(), 0);
    assert_eq!(outbox.accept(single(Some(&refused.1[..8]), "u", &refused.1)).await.unwrap().accepted, 1);
    outbox.close().await;

    let outbox = open(disk.path());
    assert_eq!(crate::outbox::bodies(&jobs(&outbox, "a").await.0), [refused.1]);
}

/// The floor is never so low that waiting calls cannot be settled. The outbox itself fills a disk for which no floor is
/// configured; then everything can still be parked, delivered and settled.
#[tokio::test]
async fn what_waits_on_a_disk_that_the_outbox_filled_can_be_settled() {
    for post in [1, 60] {
        let Some(disk) = Disk::new(40 << 20) else { return };
        let test = fill_and_settle(disk.path(), post);
        tokio::time::timeout(TEST_TIMEOUT, test).await.expect("settling makes progress on a full disk");
    }
}

/// Each post has this many events, and a chunk is deleted only when all of them are settled.
async fn fill_and_settle(folder: &Path, post: usize) {
    let outbox = open(folder);
    let mut stored = 0;
    loop {
        let body = format!("{stored:08}{}", "x".repeat(20_000));
        let events = (0..post)
            .map(|_| crate::outbox::event(None, vec![crate::outbox::request("a", "u", body.clone())]));
        if outbox.accept(crate::outbox::submission(events.collect(), Vec::new())).await.is_err() {
            break;
        }
        stored += post;
        assert!(stored < 10_000);
    }
    assert!(stored > 100, "{stored}");
    let waiting = jobs(&outbox, "a").await.0;
    assert_eq!(waiting.len(), stored);
    let parked = waiting.into_iter().map(|job| Settlement::Parked {
        job: Box::new(job),
        attempts: Vec::new(),
        next_attempt_at: None,
    });
    crate::outbox::settle(&outbox, parked.collect());
    flush(&outbox).await;
    loop {
        let rows = crate::outbox::parked_of(&outbox, "a", vec!["u".to_owned()]).await;
        if rows.is_empty() {
            break;
        }
        crate::outbox::settle(&outbox, rows.into_iter().map(|row| delivered(row.job.place)).collect());
    }
    flush(&outbox).await;
    assert_eq!(outbox.waiting_bytes(), 0);
    assert!(!*outbox.failed().borrow());
    assert!(outbox.accept(single(None, "u", "there is room again")).await.is_ok());
    crate::outbox::settle(
        &outbox,
        jobs(&outbox, "a").await.0.iter().map(|job| delivered(job.place)).collect(),
    );
    outbox.close().await;
    assert!(jobs(&open(folder), "a").await.0.is_empty());
}

/// Writes a file until the disk has no room left.
fn fill(folder: &Path) {
    let mut filler = std::fs::File::create(folder.join("filler")).unwrap();
    while filler.write_all(&[1; 4096]).is_ok() {}
}

#[tokio::test]
async fn senders_get_503_with_retry_after_while_there_is_no_room() {
    let relay = TestRelay::start(&format!("{USUAL}[outbox]\nmin_free_disk = {}\n", i64::MAX)).await;
    let event = r#"{"userId":"u1","event":"E","writeKey":"web-key"}"#;
    let answer = relay.post("/v1/track", &[], event).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["code"].as_str()),
        (503, Some("door.full")),
        "{answer:?}"
    );
    assert!(!answer.header("retry-after").is_empty());
    // Meanwhile a load balancer sends the senders elsewhere.
    let ready = send(Method::GET, &relay.url("/readyz"), &[], "").await;
    assert_eq!(
        (ready.status.as_u16(), ready.json()["status"].as_str()),
        (503, Some("not ready")),
        "{ready:?}"
    );
    let mut healthcheck = command();
    healthcheck.args(["healthcheck", "--url", &relay.url("")]);
    let healthcheck = crate::child::output(healthcheck).await;
    assert_eq!(healthcheck.status.code(), Some(1), "{healthcheck:?}");
    assert!(relay.rejects().await.is_empty());
    relay.stop().await;
}

const KEY: (&str, &str) = ("x-api-key", "web-key");

fn large_event() -> String {
    format!(
        r#"{{"type":"track","userId":"u1","event":"E","properties":{{"text":"{}"}}}}"#,
        "x".repeat(30_000)
    )
}

/// `ulimit -f`: senders get 503 before a file reaches the limit, waiting calls are delivered, and then there is room again.
#[tokio::test]
async fn a_limit_on_the_size_of_files_is_a_full_disk() {
    let (folder, served) = (
        tempfile::tempdir().unwrap(),
        RunningSandbox::start(accoil_relay::sandbox::Options::default()).await,
    );
    let down = Fault { status: Some(503), times: u64::MAX, ..Fault::default() };
    served.sandbox.faults().add(down).unwrap();
    let mut limited = Command::new("sh");
    let serve = command();
    // In blocks of 512 bytes.
    limited.env_clear().args(["-c", "ulimit -f 24576; exec \"$0\" serve"]).arg(serve.get_program());
    let toml = format!("{USUAL}[outbox]\nmin_free_disk = 0\n");
    let relay = Process::start_as(limited, folder.path(), &toml, &served.url).await;
    let mut accepted = 0;
    let refused = loop {
        let answer = relay.post("/v1/track", &[KEY], large_event()).await;
        if answer.status != 200 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 1000);
    };
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].as_str()),
        (503, Some("door.full")),
        "{refused:?}"
    );
    assert!(accepted > 20, "{accepted}: {}", relay.log());
    // The log comes through a pipe.
    let logged = async {
        while !relay.log().contains("ulimit -f") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, logged).await.expect("the log says why");
    served.sandbox.faults().clear();
    assert!(served.sandbox.wait_for(accepted, TEST_TIMEOUT).await, "{}", relay.log());
    let again = async { while relay.post("/v1/track", &[KEY], large_event()).await.status != 200 {} };
    tokio::time::timeout(TEST_TIMEOUT, again).await.expect("there is room again");
    relay.terminate();
    assert_eq!(relay.ended().await.code(), Some(0));
}

/// A limit that the relay did not know of: a write fails, but SIGXFSZ does not end the process.
#[tokio::test]
async fn a_file_that_may_not_grow_is_reported_and_the_relay_keeps_running() {
    let (folder, served) = (
        tempfile::tempdir().unwrap(),
        RunningSandbox::start(accoil_relay::sandbox::Options::default()).await,
    );
    let relay = Process::start(folder.path(), USUAL, &served.url).await;
    relay.limit_files(8192);
    let refused = relay.post("/v1/track", &[KEY], large_event()).await;
    assert_eq!(
        (refused.status.as_u16(), refused.json()["code"].as_str()),
        (503, Some("door.failed")),
        "{refused:?}"
    );
    let ready = send(Method::GET, &relay.url("/readyz"), &[], "").await;
    assert_eq!(ready.status, 503, "{ready:?}");
    relay.terminate();
    let log = relay.ended_with_log().await;
    assert!(log.contains("the outbox could not store to disk"), "{log}");
}
