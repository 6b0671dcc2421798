//! Connections of senders: how long idle ones are kept, and what remains for others if there are many.

use std::process::Command;

use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::TRACK;
use crate::http::send;
use crate::relay::{Process, TEST_TIMEOUT, TestRelay, USUAL};
use accoil_relay::sandbox::Options;

use crate::sandbox::RunningSandbox;

/// One post on a connection that stays open.
async fn post(stream: &mut TcpStream) {
    let head = "POST /segment HTTP/1.1\r\nHost: h\r\nX-Api-Key: web-key\r\nContent-Length: ";
    stream.write_all(format!("{head}{}\r\n\r\n{TRACK}", TRACK.len()).as_bytes()).await.unwrap();
    let mut answer = vec![0; 15];
    let read = tokio::time::timeout(TEST_TIMEOUT, stream.read_exact(&mut answer)).await;
    read.expect("an answer in time").unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 200 OK");
    // The rest is here or comes with the next read.
    let mut rest = [0; 4096];
    let _ = stream.try_read(&mut rest);
}

#[tokio::test]
async fn an_idle_connection_is_kept_as_long_as_configured() {
    let relay = TestRelay::start(&format!("[server]\nkeep_alive = \"400ms\"\n{USUAL}")).await;
    let mut stream = TcpStream::connect(relay.relay.address).await.unwrap();
    for _ in 0..3 {
        post(&mut stream).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "an idle connection is closed in the end");
    relay.stop().await;
}

/// `serve` under limits of open files, set by the shell.
async fn limited(directory: &std::path::Path, limits: &str, sandbox: &str) -> Process {
    let mut serve = Command::new("/bin/sh");
    let script = format!("{limits}; exec \"$0\" serve");
    serve.env_clear().args(["-c", &script, env!("CARGO_BIN_EXE_accoil-relay")]);
    Process::start_as(serve, directory, USUAL, sandbox).await
}

async fn idle(process: &Process, count: usize) -> Vec<TcpStream> {
    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(TcpStream::connect(process.address()).await.unwrap());
    }
    idle
}

/// The soft limit is raised, so 150 idle senders do not keep others out.
#[tokio::test]
async fn a_low_soft_limit_of_open_files_is_raised() {
    let (directory, sandbox) =
        (tempfile::tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let process = limited(directory.path(), "ulimit -Sn 100", &sandbox.url).await;
    let _idle = idle(&process, 150).await;
    assert_eq!(process.post("/segment", &[("x-api-key", "web-key")], TRACK).await.status, 200);
    assert!(sandbox.sandbox.wait_for(1, TEST_TIMEOUT).await, "{}", process.log());
    assert!(!process.log().contains("could not be accepted"), "{}", process.log());
}

/// The hard limit is low too: further senders wait, but accepted events are delivered and the admin listener answers.
#[tokio::test]
async fn a_low_hard_limit_leaves_room_for_delivery_and_the_operator() {
    let (directory, sandbox) =
        (tempfile::tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let process = limited(directory.path(), "ulimit -n 100", &sandbox.url).await;
    let mut sender = TcpStream::connect(process.address()).await.unwrap();
    post(&mut sender).await;
    let _idle = idle(&process, 150).await;
    post(&mut sender).await;
    assert!(sandbox.sandbox.wait_for(2, TEST_TIMEOUT).await, "{}", process.log());
    assert_eq!(send(Method::GET, &process.admin_url("/readyz"), &[], "").await.status, 200);
    assert!(process.log().contains("allows fewer connections than configured"), "{}", process.log());
    assert!(!process.log().contains("could not be accepted"), "{}", process.log());
}
