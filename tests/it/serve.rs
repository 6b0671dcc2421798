//! `serve` as a process: what is left after a kill and after a stop.

use accoil_relay::sandbox::{Fault, Options};
use http::Method;
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::{send, try_send};
use crate::relay::{Process, TEST_TIMEOUT, USUAL};
use crate::sandbox::RunningSandbox;

const TRACK: &str =
    r#"{"type":"track","userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05Z"}"#;
const KEY: (&str, &str) = ("x-api-key", "web-key");

/// 200 means that the event is on disk: the sandbox refuses the call until the process is dead, and gets it after the next start.
#[tokio::test]
async fn a_kill_after_the_answer_loses_nothing() {
    let (directory, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let down = Fault { status: Some(503), times: u64::MAX, ..Fault::default() };
    sandbox.sandbox.faults().add(down).unwrap();
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    assert_eq!(process.post("/segment", &[KEY], TRACK).await.status, 200);
    process.kill();
    assert_eq!(sandbox.sandbox.total(), 0);

    sandbox.sandbox.faults().clear();
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    assert!(sandbox.sandbox.wait_for(1, TEST_TIMEOUT).await, "{}", process.log());
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
}

/// Large pages would take tens of megabytes that the relay does not use.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_relay_uses_no_large_pages() {
    let (directory, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    assert_eq!(process.system_status("THP_enabled"), "0");
}

/// After SIGTERM the relay is not ready and accepts no new connections, but a request whose body is still arriving is
/// read and answered. Then the process exits with 0.
#[tokio::test]
async fn a_stop_lets_a_request_in_flight_finish() {
    let (directory, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    let mut slow = TcpStream::connect(process.address()).await.unwrap();
    let head = format!(
        "POST /segment HTTP/1.1\r\nHost: h\r\nX-Api-Key: web-key\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        TRACK.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let go_ahead = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut received = vec![0; go_ahead.len()];
    slow.read_exact(&mut received).await.unwrap();
    assert_eq!(received, go_ahead);

    process.terminate();
    let unready = async {
        while send(Method::GET, &process.admin_url("/readyz"), &[], "").await.status != 503 {}
        while try_send(Method::GET, &process.url("/healthz"), &[], "").await.is_ok() {}
    };
    tokio::time::timeout(TEST_TIMEOUT, unready)
        .await
        .expect("it says that it stops, and takes no more connections");

    slow.write_all(TRACK.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(process.ended().await.code(), Some(0));

    // The event was accepted, so it is delivered now or after the next start.
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    assert!(sandbox.sandbox.wait_for(1, TEST_TIMEOUT).await, "{}", process.log());
    process.kill();
}

/// At the start the log names each source with the addresses to paste, and each destination with its mappings. At the end it
/// counts the waiting calls.
#[tokio::test]
async fn the_log_names_the_addresses_and_what_waits_at_the_end() {
    let (directory, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let down = Fault { status: Some(503), times: u64::MAX, ..Fault::default() };
    sandbox.sandbox.faults().add(down).unwrap();
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    assert_eq!(process.post("/segment", &[KEY], TRACK).await.status, 200);
    process.terminate();
    let ended = async {
        while !process.log().contains("stopped") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, ended).await.expect("it says that it stopped");
    let (log, address) = (process.log(), process.address().to_owned());
    for part in [
        format!(r#""source.webhook":"http://{address}/segment""#),
        format!(r#""source.sdk":"http://{address}/2/httpapi""#),
        format!(r#""destination.url":"{}""#, sandbox.url),
        r#""mapping.files":"segment, amplitude""#.to_owned(),
        "1 call waits in the outbox".to_owned(),
    ] {
        assert!(log.contains(&part), "{part} is not in\n{log}");
    }
}
