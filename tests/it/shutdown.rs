//! How `serve` ends: in time whatever blocks, immediately on a second signal, also during the start.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use accoil_relay::sandbox::Options;
use http::Method;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use tempfile::tempdir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::{send, try_send};
use crate::relay::{Process, TEST_TIMEOUT, USUAL, command, test_variables};
use crate::sandbox::RunningSandbox;

const TRACK: &str =
    r#"{"type":"track","userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05Z"}"#;
const KEY: (&str, &str) = ("x-api-key", "web-key");

/// Creates a pipe that nobody writes to: opening or reading it blocks for ever.
fn make_pipe(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Returns the writing end of a pipe as soon as a process has begun to open it for reading.
async fn when_opened(pipe: &Path) -> File {
    let start = Instant::now();
    loop {
        let nonblock = OFlags::NONBLOCK.bits().cast_signed();
        if let Ok(file) = File::options().write(true).custom_flags(nonblock).open(pipe) {
            return file;
        }
        assert!(start.elapsed() < TEST_TIMEOUT, "no process opens {}", pipe.display());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn terminate(child: &Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
}

async fn ended(mut child: Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > TEST_TIMEOUT {
            child.kill().unwrap();
            panic!("it does not end");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The C library reads the file that `HOSTALIASES` names for each name without a dot. Here it is a pipe.
#[tokio::test]
async fn a_hanging_name_look_up_does_not_hold_the_exit() {
    let directory = tempdir().unwrap();
    let pipe = directory.path().join("aliases");
    make_pipe(&pipe);
    let mut serve = command();
    serve.arg("serve").env("HOSTALIASES", &pipe);
    // Long enough to count the waiting calls, also on a slow machine.
    let config = format!("[server]\nshutdown_timeout = \"8s\"\n{USUAL}");
    let process = Process::start_as(serve, directory.path(), &config, "http://nowhere:1").await;
    assert_eq!(process.post("/segment", &[KEY], TRACK).await.status, 200);
    let _held = when_opened(&pipe).await;
    process.terminate();
    let log = process.ended_with_log().await;
    assert!(log.contains("1 call waits in the outbox"), "{log}");
}

/// A reload reports the pipe, and the relay continues with its mappings. `check` reports it too.
#[tokio::test]
async fn a_pipe_as_mapping_file_is_a_fault() {
    let (directory, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let file = directory.path().join("mine.toml");
    let mapping = "[[mappings]]\nname = 'Tracks'\ntrigger = 'type = \"track\"'\naction = 'track'\n\
                   fields = { event = 'E', userId = 'u', timestamp = '2026-01-02T03:04:05Z' }\n";
    std::fs::write(&file, mapping).unwrap();
    let config = format!("{USUAL}mappings = [\"mine.toml\"]\n");
    let process = Process::start(directory.path(), &config, &sandbox.url).await;
    std::fs::remove_file(&file).unwrap();
    make_pipe(&file);
    process.signal("HUP");
    let start = Instant::now();
    while !process.log().contains("it is not a regular file") {
        assert!(start.elapsed() < TEST_TIMEOUT, "{}", process.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(process.post("/segment", &[KEY], TRACK).await.status, 200);
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
    let mut check = command();
    check.arg("check").current_dir(&directory).envs(test_variables(directory.path(), "http://h"));
    let check = crate::child::output(check).await;
    let shown = String::from_utf8_lossy(&check.stderr) + String::from_utf8_lossy(&check.stdout);
    assert_eq!(check.status.code(), Some(78), "{shown}");
    assert!(shown.contains("it is not a regular file"), "{shown}");
}

/// The first signal waits for a request in flight, up to ten minutes here. The second one does not.
#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let (directory, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let config = format!("[server]\nshutdown_timeout = \"600s\"\n{USUAL}");
    let process = Process::start(directory.path(), &config, &sandbox.url).await;
    let mut slow = TcpStream::connect(process.address()).await.unwrap();
    let head = "POST /segment HTTP/1.1\r\nHost: h\r\nX-Api-Key: web-key\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.read_exact(&mut [0; 25]).await.unwrap();
    process.terminate();
    while send(Method::GET, &process.admin_url("/readyz"), &[], "").await.status != 503 {}
    process.signal("INT");
    assert_eq!(process.ended().await.code(), Some(0));
}

/// Another process holds SQLite's lock on the outbox, so the start waits.
#[tokio::test]
async fn a_signal_ends_a_start() {
    let (directory, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let process = Process::start(directory.path(), USUAL, &sandbox.url).await;
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
    let database = rusqlite::Connection::open(directory.path().join("relay.db")).unwrap();
    database.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let child = command()
        .arg("serve")
        .current_dir(&directory)
        .envs(test_variables(directory.path(), &sandbox.url))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lock = directory.path().join("relay.db.lock");
    while std::fs::metadata(&lock).unwrap().len() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    terminate(&child);
    assert_eq!(ended(child).await.code(), Some(0));
}

/// The log is a pipe that nobody reads: in the end each thread blocks when it writes a line.
#[tokio::test]
async fn a_blocked_log_does_not_hold_the_exit() {
    let (directory, sandbox) = (tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let config =
        format!("[server]\nshutdown_timeout = \"1s\"\n[log]\nlevel = \"trace\"\nformat = \"json\"\n{USUAL}");
    std::fs::write(directory.path().join("accoil-relay.toml"), config).unwrap();
    let mut child = command()
        .arg("serve")
        .current_dir(&directory)
        .envs(test_variables(directory.path(), &sandbox.url))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let address = loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if let Some(address) = line["server.listen"].as_str() {
            break address.to_owned();
        }
    };
    let url = format!("http://{address}/segment");
    while let Ok(answer) =
        tokio::time::timeout(Duration::from_secs(1), try_send(Method::POST, &url, &[KEY], TRACK)).await
    {
        assert_eq!(answer.unwrap().status, 200);
    }
    terminate(&child);
    assert_eq!(ended(child).await.code(), Some(0));
}
