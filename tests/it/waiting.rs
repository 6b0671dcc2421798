//! `waiting` through the real binary: list, retry, move and purge, with a running relay and without one.

use std::path::Path;
use std::process::Output;

use accoil_relay::sandbox::{Fault, Options};
use http::Method;
use serde_json::{Value, json};

use crate::http::send;
use crate::relay::{Process, TEST_TIMEOUT, USUAL, command, test_variables};
use crate::sandbox::RunningSandbox;

/// Failed calls wait for up to an hour.
const SLOW: &str = "[deliver]\nretry_initial = \"1h\"\nretry_max = \"1h\"\n";

pub(crate) async fn run(folder: &Path, url: &str, args: &[&str]) -> Output {
    let mut command = command();
    command.args(args).current_dir(folder).envs(test_variables(folder, url));
    crate::child::output(command).await
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

pub(crate) async fn listed(folder: &Path, url: &str, args: &[&str]) -> Vec<Value> {
    let output = run(folder, url, &[&["waiting", "list", "--json"], args].concat()).await;
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Repeats until the condition holds.
pub(crate) async fn until(
    folder: &Path,
    url: &str,
    args: &[&str],
    is_so: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    loop {
        let found = listed(folder, url, args).await;
        if is_so(&found) {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{found:#?}");
    }
}

pub(crate) fn track(user: &str, event: &str) -> String {
    json!({"userId": user, "event": event, "messageId": format!("{user} {event}"), "writeKey": "web-key"})
        .to_string()
}

fn fault(user: &str, times: u64) -> Fault {
    let body = Some("no such report".to_owned());
    Fault { status: Some(500), user: Some(user.to_owned()), times, body, ..Fault::default() }
}

fn events(served: &RunningSandbox) -> Vec<String> {
    let received = served.sandbox.received();
    received
        .iter()
        .map(|call| serde_json::to_value(&call.body).unwrap()["event"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_waiting_call_is_listed_shown_and_retried_while_the_relay_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    served.sandbox.faults().add(fault("ada", 1)).unwrap();
    let url = &served.url;
    let relay = Process::start(folder, &format!("{USUAL}{SLOW}"), url).await;
    let mut ids = Vec::new();
    for event in ["one", "two"] {
        let answer = relay.post("/v1/track", &[], track("ada", event)).await;
        let id = answer.header("relay-event").to_owned();
        assert_eq!(answer.json()["ids"], json!([id]));
        ids.push(id);
        until(folder, url, &["--event", event], |found| {
            found.iter().any(|call| call["waiting_for"] != "turn")
        })
        .await;
    }
    assert_eq!(relay.post("/v1/track", &[], track("bob", "three")).await.status, 200);
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await, "another user's call goes on");

    let found = listed(folder, url, &["--user", "ada", "--destination", "accoil"]).await;
    let of = |key: &str| found.iter().map(|call| call[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("event"), ["one", "two"]);
    assert_eq!(of("event_id"), ids);
    assert_eq!(of("waiting_for"), ["retry", "earlier"]);
    assert_eq!(found[0]["attempts"][0]["reason"], "answered 500: no such report");
    assert!(found[0]["attempts"][0]["took_ms"].is_u64(), "{found:#?}");
    assert!(found[0]["next_attempt_at"].is_string() && found[0]["behind"].is_null());
    assert_eq!(found[1]["behind"], json!({"id": found[0]["id"], "event_id": ids[0]}));
    for args in [["--event", &ids[1]], ["--id", found[1]["id"].as_str().unwrap()], ["--event", "two"]] {
        assert_eq!(listed(folder, url, &args).await, found[1..], "{args:?}");
    }
    let table = run(folder, url, &["waiting", "list"]).await;
    let table = text(&table.stdout);
    assert!(table.starts_with("ID ") && table.lines().count() == 3, "{table}");
    assert!(table.contains("answered 500: no such report"), "{table}");

    let first = found[0]["id"].as_str().unwrap();
    let shown = run(folder, url, &["waiting", "show", first]).await;
    let call: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&call["body"]["event"], &call["original"]["userId"]), (&json!("one"), &json!("ada")));
    let missing = run(folder, url, &["waiting", "show", "999.9"]).await;
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("call 999.9 is not waiting"), "{missing:?}");

    assert_eq!(run(folder, url, &["waiting", "retry"]).await.status.code(), Some(1), "it asks for which");
    // The same from elsewhere, without a configuration.
    let elsewhere = tempfile::tempdir().unwrap();
    let (elsewhere, admin) = (elsewhere.path(), relay.admin_url(""));
    assert_eq!(listed(elsewhere, url, &["--url", &admin]).await, found);
    let again = run(elsewhere, url, &["waiting", "show", first, "--url", &admin]).await;
    assert_eq!(again.stdout, shown.stdout, "{again:?}");
    let nobody = run(elsewhere, url, &["waiting", "list", "--url", "http://127.0.0.1:9"]).await;
    assert!(text(&nobody.stderr).contains("no relay listens at http://127.0.0.1:9"), "{nobody:?}");
    // A retry of the second call makes the first one due, because it waits behind the first.
    let retried = run(elsewhere, url, &["waiting", "retry", "--event", "two", "--url", &admin]).await;
    assert!(retried.status.success() && text(&retried.stderr).contains("1 user "), "{retried:?}");
    assert!(served.sandbox.wait_for(3, TEST_TIMEOUT).await);
    assert_eq!(events(&served), ["three", "one", "two"]);
    until(folder, url, &[], <[Value]>::is_empty).await;
}

/// Without a relay, waiting calls are read from the file, and a retry makes them due at the next start.
#[tokio::test]
async fn without_a_relay_waiting_calls_are_read_and_made_due_for_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    served.sandbox.faults().add(fault("ada", 1)).unwrap();
    let (url, toml) = (&served.url, format!("{USUAL}{SLOW}"));
    let relay = Process::start(folder, &toml, url).await;
    assert_eq!(relay.post("/v1/track", &[], track("ada", "one")).await.status, 200);
    until(folder, url, &[], |found| found.iter().any(|call| call["waiting_for"] == "retry")).await;
    relay.kill();
    assert_eq!(
        listed(folder, url, &[]).await.len(),
        1,
        "the address in the lock file is of a relay that is gone"
    );
    let retried = run(folder, url, &["waiting", "retry", "--all"]).await;
    assert!(retried.status.success(), "{retried:?}");
    let _relay = Process::start(folder, &toml, url).await;
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await);
}

/// One destination was renamed and another removed: their calls are listed, moved in order, or purged.
#[tokio::test]
async fn calls_of_a_removed_destination_are_moved_or_purged() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    for user in ["ada", "bob"] {
        // For two destinations.
        served.sandbox.faults().add(fault(user, 2)).unwrap();
    }
    let (url, destination) = (&served.url, "[[destinations]]\nname = \"accoil\"\n");
    let old = USUAL.replace(destination, &destination.replace("accoil", "old"));
    let second = old.split("[[destinations]]").nth(1).unwrap().replace("\"old\"", "\"older\"");
    let relay = Process::start(folder, &format!("{old}[[destinations]]{second}{SLOW}"), url).await;
    for (user, event) in [("ada", "one"), ("ada", "two"), ("bob", "three"), ("ada", "four")] {
        assert_eq!(relay.post("/v1/track", &[], track(user, event)).await.status, 200);
    }
    until(folder, url, &[], |found| {
        found.len() == 8 && found.iter().all(|call| call["waiting_for"] != "turn")
    })
    .await;
    relay.terminate();
    assert!(relay.ended().await.success());

    let relay = Process::start(folder, USUAL, url).await;
    assert_eq!(relay.post("/v1/track", &[], track("ada", "five")).await.status, 200);
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await);
    assert_eq!(listed(folder, url, &["--destination", "old"]).await.len(), 4);
    for (from, to, why) in [("accoil", "accoil", "is configured"), ("old", "nowhere", "is not configured")] {
        let refused = run(folder, url, &["waiting", "move", "--from", from, "--to", to]).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(why), "{refused:?}");
    }
    let moved = run(folder, url, &["waiting", "move", "--from", "old", "--to", "accoil"]).await;
    assert!(moved.status.success() && text(&moved.stderr).contains("4 calls moved"), "{moved:?}");
    assert!(served.sandbox.wait_for(5, TEST_TIMEOUT).await);
    let of_ada = events(&served).into_iter().filter(|event| event != "three").collect::<Vec<_>>();
    assert_eq!(of_ada, ["five", "one", "two", "four"]);
    relay.terminate();
    assert!(relay.ended().await.success());

    let purged = run(folder, url, &["waiting", "purge", "--destination", "older"]).await;
    assert!(
        purged.status.success() && text(&purged.stderr).contains("4 calls of older removed"),
        "{purged:?}"
    );
    assert!(listed(folder, url, &[]).await.is_empty());
}

/// Faults of the API that no command can cause.
#[tokio::test]
async fn the_api_reports_faults_of_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let served = RunningSandbox::start(Options::default()).await;
    let relay = Process::start(folder.path(), USUAL, &served.url).await;
    for (method, path, body) in [
        (Method::GET, "/api/waiting?id=x", ""),
        (Method::GET, "/api/waiting?users=ada", ""),
        (Method::POST, "/api/waiting/retry", "{"),
        (Method::POST, "/api/waiting/retry", r#"{"users":"ada"}"#),
        (Method::POST, "/api/waiting/move", r#"{"from":"old"}"#),
        (Method::POST, "/api/waiting/purge", r#"{"from":"old","to":"accoil"}"#),
        (Method::POST, "/api/dead-letters/purge", "[]"),
    ] {
        let answer = send(method, &relay.admin_url(path), &[], body).await;
        assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
        assert!(answer.json()["error"].is_string(), "{path} {body}: {answer:?}");
    }
}
