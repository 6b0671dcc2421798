//! Retries after a restart: neither a changed clock nor a long stop delays or ends them.

use std::path::Path;
use std::time::Instant;

use accoil_relay::sandbox::{Fault, Options};
use rusqlite::Connection;
use tempfile::{TempDir, tempdir};

use crate::relay::{Process, TEST_TIMEOUT, USUAL};
use crate::sandbox::RunningSandbox;

const TRACK: &str = r#"{"type":"track","userId":"u1","event":"Report Created"}"#;

fn query(folder: &Path, sql: &str) -> i64 {
    let database = Connection::open(folder.join("relay.db")).unwrap();
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn until(folder: &Path, sql: &str) {
    let start = Instant::now();
    while query(folder, sql) == 0 {
        assert!(start.elapsed() < TEST_TIMEOUT, "{sql}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Returns a stopped relay with a call that waits two seconds for its retry, after moving the stored times, as if the clock had
/// been changed the other way.
async fn stopped_with_stored_times_moved(seconds: i64) -> (TempDir, RunningSandbox) {
    let (directory, served) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let retry_after = Some("2".to_owned());
    served
        .sandbox
        .faults()
        .add(Fault { status: Some(503), times: u64::MAX, retry_after, ..Fault::default() })
        .unwrap();
    let process = Process::start(directory.path(), USUAL, &served.url).await;
    assert_eq!(process.post("/segment", &[("x-api-key", "web-key")], TRACK).await.status, 200);
    until(directory.path(), "SELECT count(*) FROM parked").await;
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
    let moved = |at: &str| {
        format!("'{at}', strftime('%Y-%m-%dT%H:%M:%fZ', attempts ->> '{at}', '{seconds} seconds')")
    };
    let change = format!(
        "UPDATE parked SET next_attempt_at = next_attempt_at + {seconds} * 1000,
         attempts = json_set(attempts, {}, {})",
        moved("$[0].at"),
        moved("$[#-1].at")
    );
    let database = Connection::open(directory.path().join("relay.db")).unwrap();
    assert_eq!(database.execute(&change, []).unwrap(), 1);
    (directory, served)
}

#[tokio::test]
async fn a_clock_set_back_by_an_hour_does_not_delay_a_retry() {
    let (directory, served) = stopped_with_stored_times_moved(3_600).await;
    served.sandbox.faults().clear();
    let process = Process::start(directory.path(), USUAL, &served.url).await;
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await, "{}", process.log());
    process.kill();
}

/// After a month without the relay, or with the clock set forward, the call fails once more and is still retried.
#[tokio::test]
async fn a_long_stop_ends_no_retries() {
    let (directory, served) = stopped_with_stored_times_moved(-30 * 86_400).await;
    let before = query(directory.path(), "SELECT json_array_length(attempts) FROM parked");
    let process = Process::start(directory.path(), USUAL, &served.url).await;
    let more = format!("SELECT count(*) FROM parked WHERE json_array_length(attempts) > {before}");
    until(directory.path(), &more).await;
    served.sandbox.faults().clear();
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await, "{}", process.log());
    assert_eq!(query(directory.path(), "SELECT count(*) FROM dead_letters"), 0);
    process.kill();
}
