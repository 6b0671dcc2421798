//! `import` through the real binary: by a running relay, without one, and with kills in the middle.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};

use accoil_relay::outbox::{JobState, Outbox};
use accoil_relay::sandbox::{Options, Received};
use serde_json::json;

use crate::child::output;
use crate::outbox::options;
use crate::relay::{Process, TEST_TIMEOUT, USUAL, command, test_variables};
use crate::replay_kills::{MayRepeat, arrived};
use crate::sandbox::RunningSandbox;

fn import(folder: &Path, url: &str, args: &[&str]) -> Command {
    let mut command = command();
    command.arg("import").args(args).current_dir(folder).envs(test_variables(folder, url));
    command
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn track(user: &str) -> String {
    json!({"type": "track", "event": "E", "userId": user, "timestamp": "2026-01-02T03:04:05Z"}).to_string()
}

fn user(call: &Received) -> String {
    call.body.get("userId").and_then(|user| user.as_str()).unwrap_or_default().to_owned()
}

/// One file of each form, with events that fail in each way. The relay is not running, so the calls wait for its start.
#[tokio::test(flavor = "multi_thread")]
async fn files_are_imported_without_a_relay_and_what_is_wrong_is_named_by_its_line() {
    let served = RunningSandbox::start(Options::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, url) = (folder.path(), served.url.as_str());
    // The first start makes the outbox.
    let relay = Process::start(path, USUAL, url).await;
    relay.terminate();
    assert!(relay.ended().await.success());

    let known = json!({"type": "track", "event": "E", "userId": "a2", "messageId": "m", "timestamp": "2026-01-02T03:04:05Z"});
    let lines = [
        track("a1"),
        known.to_string(),
        "{\"type\":\"track\",".to_owned(),
        track(""),
        String::new(),
        "no event".to_owned(),
        known.to_string(),
        json!({"type": "page", "userId": "a3"}).to_string(),
    ];
    std::fs::write(path.join("lines.ndjson"), lines.join("\n")).unwrap();
    let archived = json!({"id": "65wzsb800a000", "at": "2026-03-01T10:00:00Z", "source": "old", "form": "segment track",
        "original": {"event": "E", "userId": "b1"}});
    let packed = zstd::encode_all(format!("{archived}\n").as_bytes(), 1).unwrap();
    std::fs::write(path.join("archive.ndjson.zst"), packed).unwrap();
    let batch = json!({"sentAt": "2026-01-02T03:04:05Z", "batch": [{"type": "track", "event": "E", "userId": "c1",
        "timestamp": "2026-01-02T03:04:00Z"}]});
    std::fs::write(path.join("list.json"), format!("[{},\n {batch}]", track("c2"))).unwrap();

    let first =
        output(import(path, url, &["lines.ndjson", "archive.ndjson.zst", "list.json", "--source", "web"]))
            .await;
    let (out, err) = (text(&first.stdout), text(&first.stderr));
    assert_eq!(first.status.code(), Some(1), "{first:?}");
    let named: Vec<_> = out.lines().map(|line| line.split_once('\t').unwrap()).collect();
    let places: Vec<_> = named.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, ["lines.ndjson:6", "lines.ndjson:3", "lines.ndjson:4"], "{out}");
    assert!(named[1].1.contains("line 1") && named[2].1.contains("userId"), "{out}");
    for sum in [
        "lines.ndjson: 2 accepted, 1 duplicates, 1 skipped, 2 rejected, 1 unreadable",
        "archive.ndjson.zst: 1 accepted, 0 duplicates",
        "list.json: 2 accepted, 0 duplicates",
    ] {
        assert!(err.contains(sum), "{sum} is not in {err}");
    }
    let again = output(import(path, url, &["lines.ndjson", "--source", "web"])).await;
    assert!(
        !again.status.success() && text(&again.stderr).contains("imported this file already"),
        "{again:?}"
    );
    let again = output(import(path, url, &["archive.ndjson.zst", "--source", "web", "--again"])).await;
    assert!(again.status.success(), "{again:?}");
    for (args, named) in [
        (&["lines.ndjson", "--source", "wbe"][..], "there is no source wbe; the sources are"),
        (
            &["none.ndjson", "--source", "web"],
            "none.ndjson was not imported whole: it cannot be opened: check the path",
        ),
        (&[".", "--source", "web"], "it is a folder: name the files in it"),
    ] {
        let wrong = output(import(path, url, args)).await;
        assert!(!wrong.status.success() && text(&wrong.stderr).contains(named), "{wrong:?}");
    }

    let relay = Process::start(path, USUAL, url).await;
    assert!(served.sandbox.wait_for(6, TEST_TIMEOUT).await, "{}", relay.log());
    let mut calls: Vec<_> = served.sandbox.received();
    calls.sort_by_key(user);
    let users: Vec<_> = calls.iter().map(user).collect();
    assert_eq!(users, ["a1", "a2", "b1", "b1", "c1", "c2"]);
    let time = |call: &Received| call.body.get("timestamp").unwrap().to_string();
    assert_eq!(
        time(&calls[2]),
        "\"2026-03-01T10:00:00.000Z\"",
        "an archived event has the time at which it came"
    );
    assert_eq!(time(&calls[4]), "\"2026-01-02T03:04:00.000Z\"", "an old batch keeps its times");
    relay.terminate();
    assert!(relay.ended().await.success());
}

/// Events have no message id, so nothing but the stored progress keeps them from being imported twice.
#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_command_and_of_the_relay_neither_lose_nor_repeat_an_event() {
    const EVENTS: usize = 6000;
    let served = RunningSandbox::start(Options { keep: EVENTS * 2, ..Options::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let (path, url) = (folder.path(), served.url.as_str());
    let wanted: HashMap<String, usize> = (0..EVENTS).map(|number| (format!("u{number}"), 1)).collect();
    let lines: Vec<_> = wanted.keys().map(|user| track(user)).collect();
    std::fs::write(path.join("old.ndjson"), lines.join("\n")).unwrap();
    let args = ["old.ndjson", "--source", "web"];

    let (mut relay, mut may_repeat) = (Process::start(path, USUAL, url).await, MayRepeat::default());
    for part in 1..=2 {
        let mut command = import(path, url, &args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let arrived = served.sandbox.wait_for(part * EVENTS as u64 / 4, TEST_TIMEOUT).await;
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(arrived, "{}", relay.log());
        if part == 2 {
            relay.kill();
            may_repeat.add(path);
            relay = Process::start(path, USUAL, url).await;
        }
    }
    let whole = output(import(path, url, &args)).await;
    assert!(whole.status.success(), "{whole:?}");
    let arrived = arrived(&served.sandbox, &wanted, TEST_TIMEOUT).await;
    let arrived = arrived.unwrap_or_else(|missing| panic!("{missing}: {}", relay.log()));
    relay.terminate();
    assert!(relay.ended().await.success());
    println!("{} calls repeated", may_repeat.check(&arrived, &wanted));
    let outbox = Outbox::open(&options(path)).unwrap();
    let jobs = outbox.jobs(10).await.unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    assert_eq!((jobs[0].state, jobs[0].done, jobs[0].failed), (JobState::Done, EVENTS as u64, 0));
    outbox.close().await;
}
