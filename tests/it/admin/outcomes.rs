//! `events show` of each outcome that the outbox decides: what happened, its reason code, and what to do next.

use accoil_relay::sandbox::{Fault, Options};
use serde_json::{Value, json};

use crate::relay::{Process, TEST_TIMEOUT, USUAL};
use crate::sandbox::RunningSandbox;
use crate::waiting::{run, text};

/// Failed calls wait for up to an hour.
const SLOW: &str = "[deliver]\nretry_initial = \"1h\"\nretry_max = \"1h\"\n";

fn track(user: &str, event: &str) -> String {
    json!({"type": "track", "userId": user, "event": event, "messageId": format!("{user} {event}")})
        .to_string()
}

/// Shows the event after it has this status.
async fn shown(folder: &std::path::Path, url: &str, id: &str, status: &str) -> Value {
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    loop {
        let output = run(folder, url, &["events", "show", id, "--json"]).await;
        let event: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if event["status"] == status {
            return event;
        }
        assert!(std::time::Instant::now() < deadline, "{id} is not {status}: {output:?}");
    }
}

#[tokio::test]
async fn events_show_says_what_happened_why_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    let faults = served.sandbox.faults();
    let fault = |user: &str, status: u16| Fault {
        status: Some(status),
        user: Some(user.to_owned()),
        times: 1,
        body: Some("no such report".to_owned()),
        ..Fault::default()
    };
    faults.add(fault("waits", 500)).unwrap();
    faults.add(fault("dies", 400)).unwrap();
    let url = &served.url;
    let relay = Process::start(folder, &format!("{USUAL}{SLOW}"), url).await;
    let key = [("x-api-key", "web-key")];
    let hostile = "<script>\u{1b}[31m\u{202e}' onmouseover='";
    for (what, body, status, code, happened, to_do) in [
        (
            "rejected",
            json!({"type": "track", "event": "E", "properties": {"user_id": "u-7"}}).to_string(),
            "rejected",
            "reject.missing",
            "userId",
            "$.properties.user_id",
        ),
        (
            "unreadable",
            "{\"type\":\"track\",".to_owned(),
            "rejected",
            "unreadable",
            "",
            "Send one whole JSON document",
        ),
        ("waiting", track("waits", "first"), "waiting", "wait.5xx", "no such report", "Nothing"),
        (
            "waiting behind",
            track("waits", "second"),
            "waiting",
            "wait.behind",
            "waits behind call",
            "waiting list",
        ),
        ("dead", track("dies", "E"), "dead", "dead.refused", "no such report", "replay the dead letter"),
        (
            "hostile",
            json!({"type": "nothing", "userId": hostile, "event": hostile, "messageId": hostile}).to_string(),
            "rejected",
            "reject.event_type",
            "",
            "lower case",
        ),
    ] {
        let answer = relay.post("/segment", &key, body).await;
        let id = answer.json()["ids"][0].as_str().unwrap_or_else(|| panic!("{what}: {answer:?}")).to_owned();
        let event = shown(folder, url, &id, status).await;
        assert_eq!(event["reason"]["code"], code, "{what}: {event:#}");
        assert!(event["happened"].as_str().unwrap().contains(happened), "{what}: {event:#}");
        assert!(event["to_do"].as_str().unwrap().contains(to_do), "{what}: {event:#}");
        let readable = run(folder, url, &["events", "show", &id]).await;
        let readable = text(&readable.stdout);
        assert!(readable.starts_with(status) && readable.contains("What to do: "), "{what}: {readable}");
        assert!(!readable.contains(['\u{1b}', '\u{202e}']), "{what}: {readable}");
    }
    let failures = run(folder, url, &["failures", "--json"]).await;
    let groups: Vec<Value> =
        text(&failures.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(groups.len(), 4, "{groups:#?}");

    // A request with a wrong key leaves no event, but the answer tells of the refused requests.
    assert_eq!(relay.post("/segment", &[("x-api-key", "wrong")], track("ada", "E")).await.status, 401);
    let output = run(folder, url, &["events", "show", "6h1gq1xcc0000"]).await;
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error.contains("reached this relay") && error.contains("door.key"), "{error}");
    let output = run(folder, url, &["events", "show", "6h1gq1xcc0000", "--json"]).await;
    let missing: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&missing["code"], &missing["turned_away"]), (&json!("not_here"), &json!(2)), "{missing:#}");

    let sent = run(folder, url, &["test", "--user", "tester", "--dry-run"]).await;
    let dry: Value = serde_json::from_slice(&sent.stdout).unwrap();
    assert_eq!(dry["requests"][0]["body"]["userId"], "tester", "{dry:#}");
    let listed = run(folder, url, &["destinations", "list"]).await;
    assert!(
        text(&listed.stdout).contains("accoil") && text(&listed.stderr).contains("wrong key"),
        "{listed:?}"
    );
    let dry = run(folder, url, &["replay", "--dead-letters", "--as-sent", "--dry-run"]).await;
    assert!(text(&dry.stdout).starts_with("1 selected: 1 would be sent as they were"), "{dry:?}");
    let replayed = run(folder, url, &["replay", "--dead-letters", "--as-sent"]).await;
    assert!(replayed.status.success() && text(&replayed.stdout).contains("1 of 1 done"), "{replayed:?}");
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await, "it arrives now");
    let empty = run(folder, url, &["replay", "--dead-letters"]).await;
    assert!(empty.status.success() && text(&empty.stderr).contains("nothing is selected"), "{empty:?}");
}
