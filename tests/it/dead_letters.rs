//! `dead-letters` through the real binary: list, replay and purge, with a running relay and without one.

use std::path::Path;
use std::process::Output;

use accoil_relay::sandbox::{Fault, Options};
use http::Method;
use serde_json::{Value, json};

use crate::http::send;
use crate::relay::{Process, TEST_TIMEOUT, USUAL, command, test_variables};
use crate::sandbox::RunningSandbox;

async fn dead_letters(folder: &Path, url: &str, args: &[&str]) -> Output {
    let mut command = command();
    command.arg("dead-letters").args(args).current_dir(folder).envs(test_variables(folder, url));
    crate::child::output(command).await
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn exported(folder: &Path, url: &str, args: &[&str]) -> Vec<Value> {
    let output = dead_letters(folder, url, &[&["export"], args].concat()).await;
    assert!(output.status.success(), "{output:?}");
    lines(&output)
}

fn track(user: &str, event: &str) -> String {
    json!({"userId": user, "event": event, "writeKey": "web-key", "timestamp": "2026-01-02T03:04:05Z"})
        .to_string()
}

/// Returns the log once it contains this text; it arrives through a pipe.
async fn logged(relay: &Process, text: &str) -> String {
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    loop {
        let log = relay.log();
        if log.contains(text) {
            return log;
        }
        assert!(std::time::Instant::now() < deadline, "{text} is not in {log}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn dead_letters_are_listed_replayed_and_purged_while_the_relay_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    let refusal =
        Fault { status: Some(400), times: 3, body: Some("no\u{1b}[2J such".to_owned()), ..Fault::default() };
    served.sandbox.faults().add(refusal).unwrap();
    let relay = Process::start(folder, USUAL, &served.url).await;
    let mut ids = Vec::new();
    for event in ["one", "two", "three", "four"] {
        let answer = relay.post("/v1/track", &[], track("u1", event)).await;
        ids.push(answer.header("relay-event").to_owned());
    }
    let refused = json!({"event": "no user", "messageId": "m5", "writeKey": "web-key"}).to_string();
    assert_eq!(relay.post("/v1/track", &[], refused).await.json()["rejected"], 1);
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await);

    let url = &served.url;
    let found = exported(folder, url, &["--destination", "accoil", "--user", "u1", "--reason", "SUCH"]).await;
    let of = |key: &str| found.iter().map(|letter| letter[key].clone()).collect::<Vec<_>>();
    assert_eq!(
        (of("event"), of("event_id")),
        (vec!["one".into(), "two".into(), "three".into()], ids[..3].iter().map(|id| json!(id)).collect())
    );
    assert_eq!(
        (&found[0]["attempts"][0]["status"], &found[0]["original"]["event"]),
        (&json!(400), &json!("one"))
    );
    assert_eq!(found[0]["reason_code"], "dead.refused");
    assert!(exported(folder, url, &["--until", "1h"]).await.is_empty());
    // The log names the event and the dead letter, and no person.
    let log = logged(&relay, &ids[0]).await;
    let line = log.lines().find(|line| line.contains(&ids[0])).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!((&line["event.id"], &line["dead_letter.id"]), (&json!(ids[0]), &found[0]["id"]));
    assert!(!log.contains("u1"), "{log}");

    // One list and one number space for both kinds.
    let listed = dead_letters(folder, url, &["list"]).await;
    let listed = text(&listed.stdout);
    let mut rows = listed.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>());
    assert_eq!(rows.next().unwrap(), ["ID", "KIND"]);
    let rows: std::collections::HashSet<String> = rows.map(|row| row[1].to_owned()).collect();
    assert_eq!(rows, ["dead-letter".to_owned(), "reject".to_owned()].into());
    assert!(listed.contains("no [2J such") && listed.lines().count() == 5, "{listed}");
    let numbers: std::collections::HashSet<i64> =
        exported(folder, url, &[]).await.iter().map(|row| row["id"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=4).collect());
    for (args, expected) in [
        (vec!["--event", "two"], 1),
        (vec!["--event", &*ids[2]], 1),
        (vec!["--message-id", "m5"], 1),
        (vec!["--kind", "reject"], 1),
        (vec!["--kind", "dead-letter"], 3),
        (vec!["--limit", "2"], 2),
        (vec!["--event", "nothing"], 0),
    ] {
        let output = dead_letters(folder, url, &[&["list", "--json"][..], &args].concat()).await;
        assert_eq!(lines(&output).len(), expected, "{args:?}");
    }
    let number = |letter: &Value| letter["id"].to_string();
    let shown = dead_letters(folder, url, &["show", &number(&found[0])]).await;
    assert!(shown.status.success() && text(&shown.stdout).contains("\"one\""), "{shown:?}");
    let missing = dead_letters(folder, url, &["show", "99"]).await;
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(text(&missing.stderr).contains("no dead letter or reject 99"), "{missing:?}");

    let everything = dead_letters(folder, url, &["purge"]).await;
    assert_eq!(everything.status.code(), Some(1), "a purge of everything asks for --all");
    let purged = dead_letters(folder, url, &["purge", "--id", &number(&found[0])]).await;
    assert!(purged.status.success() && text(&purged.stderr).contains("1 removed"), "{purged:?}");
    let replayed = dead_letters(folder, url, &["replay", &number(&found[1])]).await;
    assert!(replayed.status.success() && text(&replayed.stderr).contains("1 replayed"), "{replayed:?}");
    assert!(served.sandbox.wait_for(2, TEST_TIMEOUT).await);

    // The same commands without a relay.
    relay.terminate();
    assert!(relay.ended().await.success());
    let replayed = dead_letters(folder, url, &["replay", "--kind", "dead-letter"]).await;
    assert!(replayed.status.success() && text(&replayed.stderr).contains("1 replayed"), "{replayed:?}");
    let purged = dead_letters(folder, url, &["purge", "--all"]).await;
    assert!(purged.status.success() && text(&purged.stderr).contains("1 removed"), "{purged:?}");
    assert!(exported(folder, url, &[]).await.is_empty());
    let _relay = Process::start(folder, USUAL, url).await;
    assert!(served.sandbox.wait_for(3, TEST_TIMEOUT).await);
    let events: Vec<_> = served
        .sandbox
        .received()
        .iter()
        .map(|call| serde_json::to_value(&call.body).unwrap()["event"].clone())
        .collect();
    assert_eq!(events, ["four", "two", "three"]);
}

#[tokio::test]
async fn dead_letters_over_their_size_stay_and_readyz_and_the_log_report_them() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    served.sandbox.faults().add(Fault { status: Some(400), times: 1, ..Fault::default() }).unwrap();
    let toml = format!("{USUAL}[outbox]\nmax_dead_letter_bytes = 1\n");
    let relay = Process::start(folder, &toml, &served.url).await;
    assert_eq!(relay.post("/v1/track", &[], track("u1", "one")).await.status, 200);
    let url = &served.url;
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    while exported(folder, url, &[]).await.is_empty() {
        assert!(std::time::Instant::now() < deadline);
    }
    let refused = relay.post("/v1/track", &[], track("u1", "two")).await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after").is_empty()),
        (503, false),
        "{refused:?}"
    );
    logged(&relay, "max_dead_letter_bytes").await;
    let ready = send(Method::GET, &relay.admin_url("/readyz"), &[], "").await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("max_dead_letter_bytes"), "{ready:?}");
    assert!(dead_letters(folder, url, &["replay"]).await.status.success());
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await);
    assert_eq!(relay.post("/v1/track", &[], track("u1", "two")).await.status, 200);
}

/// A mapping that refused events is fixed and loaded again. A reject that it now accepts is delivered with the
/// context of its batch. One that is still refused stays, with the reason.
#[tokio::test]
async fn rejects_are_replayed_through_the_mappings_as_they_are_now() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    let mapping = |event: &str| {
        format!(
            "source = \"segment\"\n[[mappings]]\nname = \"Track\"\naction = \"track\"\ntrigger = 'type = \"track\"'\n\
             [mappings.fields]\nuserId = {{ \"@path\" = \"$.userId\" }}\nevent = {{ \"@path\" = \"{event}\" }}\n\
             timestamp = {{ \"@path\" = \"$.timestamp\" }}\n"
        )
    };
    let toml = format!("{USUAL}mappings = [\"own.toml\"]\n");
    std::fs::write(folder.join("own.toml"), mapping("$.name")).unwrap();
    let relay = Process::start(folder, &toml, &served.url).await;
    let batch = json!({
        "writeKey": "web-key", "context": {"kind": "one"}, "sentAt": "2026-01-02T03:04:05Z",
        "batch": [
            {"type": "track", "userId": "u1", "timestamp": "2026-01-02T03:04:05Z"},
            {"type": "track"},
        ],
    });
    let answer = relay.post("/v1/batch", &[], batch.to_string()).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["rejected"]), (200, &json!(2)), "{answer:?}");

    let url = &served.url;
    std::fs::write(folder.join("own.toml"), mapping("$.context.kind")).unwrap();
    assert_eq!(send(Method::POST, &relay.admin_url("/api/reload"), &[], "").await.status, 200);
    let rejects = exported(folder, url, &["--kind", "reject", "--user", "u1"]).await;
    assert_eq!((rejects.len(), &rejects[0]["form"]), (1, &json!("segment batch")));
    assert_eq!(rejects[0]["envelope"]["context"]["kind"], "one");
    let replayed = dead_letters(folder, url, &["replay", "--kind", "reject"]).await;
    assert_eq!(replayed.status.code(), Some(1), "{replayed:?}");
    assert!(text(&replayed.stdout).starts_with("2\tstill refused: "), "{replayed:?}");
    assert_eq!(exported(folder, url, &["--kind", "reject"]).await.len(), 1);
    assert!(served.sandbox.wait_for(1, TEST_TIMEOUT).await);
    let body = serde_json::to_value(&served.sandbox.received()[0].body).unwrap();
    assert_eq!((&body["event"], &body["userId"]), (&json!("one"), &json!("u1")));
}
