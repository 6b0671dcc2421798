//! A value that `[privacy] redact` names is in no answer of the API, on no page and in no command's output, wherever the event is
//! stored.

use std::path::Path;

use accoil_relay::sandbox::Fault;
use http::Method;
use serde_json::json;

use super::{get, until, url};
use crate::http::send;
use crate::relay::{TestRelay, USUAL, command, test_variables};

const VALUE: &str = "hush-hush-secret";
const COMMANDS: [&str; 8] = [
    "dead-letters list",
    "dead-letters list --json",
    "dead-letters show 1 2",
    "dead-letters export",
    "waiting list",
    "waiting list --json",
    "waiting show --user waiting",
    "failures",
];

async fn output(folder: &Path, sandbox: &str, arguments: &str) -> String {
    let mut command = command();
    command.args(arguments.split(' ')).current_dir(folder).envs(test_variables(folder, sandbox));
    let output = crate::child::output(command).await;
    assert!(output.status.success(), "{arguments}: {output:?}");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

#[tokio::test]
async fn a_hidden_value_is_shown_nowhere() {
    let toml = format!("{USUAL}[privacy]\nredact = [\"properties.secret\", \"traits.email\"]\n");
    let relay = TestRelay::start(&toml).await;
    for (user, status) in [("dead", 422), ("waiting", 503)] {
        let fault = Fault {
            status: Some(status),
            user: Some(user.to_owned()),
            times: 1_000_000,
            body: Some(format!("no {VALUE} here")),
            ..Fault::default()
        };
        relay.sandbox.faults().add(fault).unwrap();
    }
    let mut ids = Vec::new();
    for user in [None, Some("ada"), Some("dead"), Some("waiting")] {
        let event = json!({"type": "identify", "userId": user, "traits": {"email": VALUE, "plan": "pro"},
            "properties": {"secret": VALUE}, "writeKey": "web-key"});
        let answer = relay.post("/v1/identify", &[], event.to_string()).await;
        ids.push(answer.header("relay-event").to_owned());
    }
    for (id, status) in ids.iter().zip(["rejected", "delivered", "dead", "waiting"]) {
        until(&relay, &format!("/api/events/{id}"), |event| event["status"] == status).await;
    }
    let mut paths = vec![
        "/api/waiting?payload=true".to_owned(),
        "/api/events".to_owned(),
        "/api/events?status=waiting".to_owned(),
        "/api/events?status=rejected,dead".to_owned(),
        "/api/failures".to_owned(),
        "/api/overview".to_owned(),
        "/failures".to_owned(),
        "/events".to_owned(),
        "/destinations/accoil".to_owned(),
    ];
    for id in &ids {
        paths.extend(["", "/explain", "/original", "/support"].map(|part| format!("/api/events/{id}{part}")));
        paths.extend([format!("/events/{id}"), format!("/tester?event={id}")]);
    }
    let shown = |path: &str, text: &str| assert!(!text.contains(VALUE), "{path}: {text}");
    for path in &paths {
        let answer = get(&relay, path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        shown(path, answer.text());
    }
    let failures = get(&relay, "/api/failures").await.json();
    assert!(failures.to_string().contains("no [redacted] here"), "{failures:#}");
    for kind in ["reject", "dead-letter"] {
        let order = json!({"select": {"kind": kind}, "dry_run": true}).to_string();
        let answer = send(Method::POST, &url(&relay, "/api/replays"), &[], order).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        shown("/api/replays", answer.text());
    }
    for group in failures["groups"].as_array().unwrap() {
        let path = format!("/api/failures/{}", group["key"].as_str().unwrap());
        shown(&path, get(&relay, &path).await.text());
    }
    let sandbox = relay.sandbox_url().to_owned();
    for command in COMMANDS {
        shown(command, &output(relay.folder(), &sandbox, command).await);
    }
    let listed = output(relay.folder(), &sandbox, "dead-letters list").await;
    assert!(listed.contains("no [redacted] here"), "{listed}");
    let folder = relay.stop_and_keep().await;
    for command in COMMANDS.iter().filter(|command| **command != "failures") {
        shown(command, &output(folder.path(), &sandbox, command).await);
    }
}
