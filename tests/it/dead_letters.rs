//! `dead-letters`, through the real binary: read beside a running relay, replay and purge once it is stopped.

use std::path::Path;
use std::process::Output;

use accoil_relay::sandbox::{Fault, Options};
use serde_json::{Value, json};

use crate::relay::{PATIENCE, Process, USUAL, command, surroundings};
use crate::sandbox::Served;

async fn dead_letters(folder: &Path, url: &str, args: &[&str]) -> Output {
    let mut command = command();
    command.arg("dead-letters").args(args).current_dir(folder).envs(surroundings(folder, url));
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
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

#[tokio::test]
async fn dead_letters_are_seen_while_the_relay_runs_and_delivered_after_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), Served::start(Options::default()).await);
    let refusal =
        Fault { status: Some(400), times: 2, body: Some("no\u{1b}[2J such".to_owned()), ..Fault::default() };
    served.sandbox.faults().add(refusal).unwrap();
    let relay = Process::start(folder, USUAL, &served.url).await;
    for event in ["one", "two", "three"] {
        assert_eq!(relay.post("/v1/track", &[], track("u1", event)).await.status, 200);
    }
    assert!(served.sandbox.wait_for(1, PATIENCE).await);

    let url = &served.url;
    let found = exported(folder, url, &["--destination", "accoil", "--user", "u1", "--reason", "SUCH"]).await;
    let events: Vec<_> = found.iter().map(|letter| letter["body"]["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["one", "two"]);
    assert_eq!(
        (&found[0]["attempts"][0]["status"], &found[0]["original"]["event"]),
        (&json!(400), &json!("one"))
    );
    assert!(exported(folder, url, &["--until", "1h"]).await.is_empty());
    let listed = dead_letters(folder, url, &["list", "--limit", "1"]).await;
    let listed = text(&listed.stdout);
    assert!(
        listed.starts_with("2\t") && listed.contains("no [2J such") && listed.lines().count() == 1,
        "{listed}"
    );
    let refused = dead_letters(folder, url, &["replay"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("a relay is running on this outbox"), "{refused:?}");

    relay.terminate();
    assert!(relay.ended().await.success());
    let everything = dead_letters(folder, url, &["purge"]).await;
    assert_eq!(everything.status.code(), Some(1), "a purge of everything asks for --all");
    assert!(dead_letters(folder, url, &["purge", "--id", "1"]).await.status.success());
    let replayed = dead_letters(folder, url, &["replay"]).await;
    assert!(replayed.status.success() && text(&replayed.stderr).contains('1'), "{replayed:?}");
    assert!(exported(folder, url, &[]).await.is_empty());
    let _relay = Process::start(folder, USUAL, url).await;
    assert!(served.sandbox.wait_for(2, PATIENCE).await);
    let body = serde_json::to_value(&served.sandbox.received()[1].body).unwrap();
    assert_eq!(body["event"], "two");
}

/// A mapping that refuses is mended; the reject then goes through, and one that is still refused stays and says so.
#[tokio::test]
async fn rejects_are_replayed_through_the_mappings_as_they_are_now() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), Served::start(Options::default()).await);
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
    for body in [track("u1", "one"), json!({"userId": "u2", "writeKey": "web-key"}).to_string()] {
        let answer = relay.post("/v1/track", &[], body).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["rejected"]), (200, &json!(1)), "{answer:?}");
    }
    relay.terminate();
    assert!(relay.ended().await.success());

    let url = &served.url;
    std::fs::write(folder.join("own.toml"), mapping("$.event")).unwrap();
    let rejects = exported(folder, url, &["--kind", "reject", "--user", "u1"]).await;
    assert_eq!((rejects.len(), &rejects[0]["form"]), (1, &json!("segment track")));
    let replayed = dead_letters(folder, url, &["replay", "--kind", "reject"]).await;
    assert_eq!(replayed.status.code(), Some(1), "{replayed:?}");
    assert!(text(&replayed.stdout).starts_with("2\tstill refused: "), "{replayed:?}");
    assert_eq!(exported(folder, url, &["--kind", "reject"]).await.len(), 1);
    let _relay = Process::start(folder, &toml, url).await;
    assert!(served.sandbox.wait_for(1, PATIENCE).await);
}
