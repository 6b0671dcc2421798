//! `top` on a terminal of its own, which `script` provides: it shows what a running relay answers, and ends by a key.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::relay::{TEST_TIMEOUT, TestRelay, command};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn top_shows_the_running_relay_until_a_key_ends_it() {
    let relay = TestRelay::usual().await;
    let event = json!({"type": "track", "event": "Report", "writeKey": "web-key"});
    assert_eq!(relay.post("/v1/track", &[], event.to_string()).await.json()["rejected"], 1);
    let url = format!("http://{}", relay.relay.admin_address);
    let binary = env!("CARGO_BIN_EXE_accoil-relay");
    let line = format!("stty rows 40 cols 120; exec '{binary}' top --url {url}");
    let shown = tokio::task::spawn_blocking(move || shown(&line)).await.unwrap();
    for part in ["rejected", "accoil", "reject.missing", "userId", "q ends it"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    relay.stop().await;

    let mut command = command();
    let output = command.args(["top", "--url", &url]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && error.contains("needs a terminal"), "{output:?}");
}

/// Returns what was drawn until the key `q` ended it. Kills it after a while.
fn shown(line: &str) -> String {
    let mut run = Command::new("script");
    run.args(["-qec", line, "/dev/null"]).env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm");
    let mut child = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut keys, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (pieces, drawn) = mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = output.read(&mut piece) {
            if pieces.send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let (mut text, deadline) = (Vec::new(), Instant::now() + TEST_TIMEOUT);
    while !String::from_utf8_lossy(&text).contains("q ends it") && Instant::now() < deadline {
        text.extend(drawn.recv_timeout(Duration::from_millis(100)).unwrap_or_default());
    }
    let _ = keys.write_all(b"q");
    let ended = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status.success(),
            None if Instant::now() > deadline => {
                child.kill().unwrap();
                child.wait().unwrap();
                break false;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    drop(keys);
    drop(drawn);
    let _ = reading.join();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(ended, "it did not end: {text}");
    text
}
