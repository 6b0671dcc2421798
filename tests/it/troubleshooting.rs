//! Runs every command of `docs/troubleshooting.md`, in its order, against a relay in which everything it describes
//! happened.

use std::path::Path;
use std::process::Command;

use accoil_relay::sandbox::{Fault, Options, Received};
use http::Method;
use serde_json::{Value, json};

use crate::http::send;
use crate::relay::{Process, TEST_TIMEOUT, USUAL, test_variables};
use crate::sandbox::RunningSandbox;
use crate::waiting::{run, text, until};

const DOCUMENT: &str = include_str!("../../docs/troubleshooting.md");
/// The mapping reads the event's name from the wrong member at first.
const MAPPING: &str = r#"source = "segment"
[[mappings]]
name = "Track"
action = "track"
trigger = 'type = "track" and event != "Not Mapped"'
[mappings.fields]
userId = { "@path" = "$.userId" }
event = { "@path" = "$.title" }
timestamp = { "@path" = "$.timestamp" }
"#;

/// Returns the lines of the document's `sh` blocks.
fn commands() -> Vec<&'static str> {
    let blocks = DOCUMENT.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).collect()
}

async fn post(relay: &Process, event: Value) -> String {
    let answer = relay.post("/v1/track", &[("authorization", "Bearer web-key")], event.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("relay-event").to_owned()
}

fn event(user: &str, title: &str) -> Value {
    json!({"userId": user, "title": title, "event": title, "messageId": format!("m-{title}")})
}

async fn ids(folder: &Path, url: &str, kind: &str) -> Vec<i64> {
    let output = run(folder, url, &["dead-letters", "list", "--json", "--kind", kind]).await;
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn every_command_of_the_document_gives_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let (folder, served) = (folder.path(), RunningSandbox::start(Options::default()).await);
    let url = &served.url;
    std::fs::write(folder.join("own.toml"), MAPPING).unwrap();
    let own = "mappings = [\"own.toml\"]\n[deliver]\nretry_initial = \"1h\"\nretry_max = \"1h\"\n";
    let fault = |user: &str, status| {
        let fault = Fault { status: Some(status), user: Some(user.to_owned()), ..Fault::default() };
        served.sandbox.faults().add(fault).unwrap();
    };

    // A destination that is renamed later has a waiting call.
    fault("old", 500);
    let renamed = USUAL.replace("name = \"accoil\"", "name = \"old\"");
    let relay = Process::start(folder, &format!("{renamed}{own}"), url).await;
    post(&relay, event("old", "moved")).await;
    until(folder, url, &[], |found| found.iter().any(|call| call["waiting_for"] == "retry")).await;
    relay.terminate();
    assert!(relay.ended().await.success());

    // One event waits, one is a dead letter, one was rejected, one was skipped, and one request was refused.
    let relay = Process::start(folder, &format!("{USUAL}{own}"), url).await;
    fault("ada", 500);
    fault("bob", 400);
    let waiting = post(&relay, event("ada", "waited")).await;
    post(&relay, event("bob", "died")).await;
    post(&relay, json!({"userId": "eve", "event": "rejected", "messageId": "m-4711"})).await;
    post(&relay, json!({"userId": "ada", "event": "Not Mapped"})).await;
    let refused = relay.post("/v1/track", &[("authorization", "Bearer wrong")], "{}").await;
    assert_eq!(refused.status, 401);
    let found = until(folder, url, &["--user", "ada"], |found| {
        found.iter().any(|call| call["waiting_for"] == "retry")
    })
    .await;
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    let dead = loop {
        if let Some(id) = ids(folder, url, "dead-letter").await.pop() {
            break id;
        }
        assert!(std::time::Instant::now() < deadline);
    };
    let reject = ids(folder, url, "reject").await[0];
    // The mapping is fixed: it reads the rejected event's name from the right member, and the trigger no longer skips
    // the other one.
    let fixed = MAPPING.replace("$.title", "$.event").replace(" and event != \"Not Mapped\"", "");
    std::fs::write(folder.join("own.toml"), fixed).unwrap();

    let program = Path::new(env!("CARGO_BIN_EXE_accoil-relay")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let admin = relay.admin_url("");
    let commands = commands();
    assert!(commands.len() > 20, "{commands:?}");
    for command in commands {
        let filled = command
            .replace("65wzsb800a000", &waiting)
            .replace("17.3", found[0]["id"].as_str().unwrap())
            .replace("42", &dead.to_string())
            .replace("43", &reject.to_string())
            .replace("http://127.0.0.1:8081", &admin)
            .replace("http://127.0.0.1:8080", &format!("http://{}", relay.address()))
            .replace("Bearer KEY", "Bearer web-key")
            .replace("Report Created", "Not Mapped");
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(&filled).current_dir(folder).env_clear().env("PATH", &path);
        shell.envs(test_variables(folder, url));
        let output = crate::child::output(shell).await;
        assert!(output.status.success(), "{filled}: {output:?}");
        let printed = [text(&output.stdout), text(&output.stderr)].concat();
        for (part, expected) in [
            ("events show", "What happened"),
            ("list --event", "EVENT-ID"),
            ("waiting list --user ada", "answered 500"),
            ("waiting show", "\"attempts\""),
            ("waiting retry --user", "1 user "),
            ("list --kind dead-letter", "answered 400"),
            ("dead-letters show", "\"reason_code\""),
            ("dead-letters replay", "1 replayed"),
            ("--message-id", "m-4711"),
            ("list --kind reject", "missing"),
            ("skipped", "skip.no_mapping"),
            ("refused_requests_total", "door.key"),
            ("/v1/track", "\"accepted\":1"),
            ("readyz", "ready"),
            ("waiting list --destination old", "answered 500"),
            ("waiting move", "1 calls moved"),
        ] {
            let is_meant = command.contains(part) && part != "--message-id";
            assert!(!is_meant || printed.contains(expected), "{filled}: {expected} is not in {printed}");
        }
    }

    // Everything is delivered.
    let deadline = std::time::Instant::now() + TEST_TIMEOUT;
    let events = loop {
        // Without the calls of `test-connection`, which are not events.
        let received = served.sandbox.received();
        let name =
            |call: &Received| Some(serde_json::to_value(&call.body).ok()?["event"].as_str()?.to_owned());
        let mut events: Vec<_> = received.iter().filter_map(name).collect();
        events.sort();
        if events.len() == 5 {
            break events;
        }
        assert!(std::time::Instant::now() < deadline, "{events:?}");
        tokio::task::yield_now().await;
    };
    assert_eq!(events, ["Not Mapped", "died", "moved", "rejected", "waited"]);
    until(folder, url, &[], <[Value]>::is_empty).await;
    let ready = send(Method::GET, &relay.admin_url("/readyz"), &[], "").await;
    assert_eq!(ready.status, 200);
}
