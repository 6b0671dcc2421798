//! `serve` as a process: what a kill and a stop leave behind.

use accoil_relay::sandbox::{Fault, Options};
use tempfile::tempdir;

use crate::relay::{PATIENCE, Process, USUAL};
use crate::sandbox::Served;

const TRACK: &str =
    r#"{"type":"track","userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05Z"}"#;
const KEY: (&str, &str) = ("x-api-key", "web-key");

/// 200 means that it is on disk: the sandbox refuses the call until the process is dead, and gets it after a start.
#[tokio::test]
async fn a_kill_after_the_answer_loses_nothing() {
    let (directory, sandbox) = (tempdir().unwrap(), Served::start(Options::default()).await);
    let down = Fault { status: Some(503), times: u64::MAX, ..Fault::default() };
    sandbox.sandbox.faults().add(down).unwrap();
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    assert_eq!(process.post("/segment", &[KEY], TRACK).await.status, 200);
    process.kill();
    assert_eq!(sandbox.sandbox.total(), 0);

    sandbox.sandbox.faults().clear();
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    assert!(sandbox.sandbox.wait_for(1, PATIENCE).await, "{}", process.log());
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
}
