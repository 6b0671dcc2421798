//! Hostile text in every field of an event: it is recorded, answered as JSON, and printed without characters that control a terminal.

use accoil_relay::sandbox::Options;
use serde_json::{Value, json};

use super::*;
use crate::http::send;
use crate::relay::Process;
use crate::sandbox::RunningSandbox;
use crate::waiting::{run, text};

const CONTROLS: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\u{0}\r\n\u{9b}31m\u{202e}\u{2066}</script><img src=x onerror=alert(1)>'\"{{7*7}}";

/// Events that try to break what shows them, by the name of the attack.
fn attacks() -> Vec<(&'static str, Value)> {
    let event = |user: &str, name: &str, properties: Value| {
        json!({"type": "track", "event": name, "userId": user, "messageId": name, "timestamp": "2026-01-02T03:04:05Z",
            "properties": properties})
    };
    let keys: serde_json::Map<String, Value> =
        (0..10_000).map(|number| (format!("{number}\u{1b}\u{202e}<"), number.into())).collect();
    let mut deep = json!("x");
    for _ in 0..60 {
        deep = json!([deep]);
    }
    vec![
        ("controls", event(&format!("u{CONTROLS}"), &format!("E{CONTROLS}"), json!({CONTROLS: CONTROLS}))),
        ("a megabyte", event("u-long", "Long", json!({"text": "\u{202e}x".repeat(250_000)}))),
        ("long names", event(&"u\u{1f600}".repeat(300), &"E\u{1f600}".repeat(300), json!({}))),
        ("many keys", event("u-keys", "Keys", Value::Object(keys))),
        ("deep", event("u-deep", "Deep", deep)),
    ]
}

#[tokio::test]
async fn hostile_text_is_recorded_and_shown_without_effect() {
    let (folder, served) = (tempfile::tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let (path, url) = (folder.path(), served.url.as_str());
    let process = Process::start(path, USUAL, url).await;
    let reader = of_file(path);
    let mut ids = Vec::new();
    for (name, event) in attacks() {
        let answer = process.post("/segment", &[("x-api-key", "web-key")], event.to_string()).await;
        let id = id_of(&answer);
        let found = until(&format!("{name} is not recorded: {answer:?}"), || {
            reader.event(id, Show::Whole).ok().flatten()
        })
        .await;
        let payload = found.records[0].payload.as_ref().map(|payload| payload.original.to_string());
        assert!(payload == Some(event.to_string()), "{name}: the payload is not as it was sent");
        ids.push((name, id));
    }

    let is_clean = |text: &str| {
        !text.chars().any(|sign| {
            (sign.is_control() && sign != '\n' && sign != '\t')
                || matches!(sign, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        })
    };
    for (name, id) in &ids {
        for route in ["", "/explain", "/original", "/support"] {
            let answer =
                send(http::Method::GET, &process.admin_url(&format!("/api/events/{id}{route}")), &[], "")
                    .await;
            let is_json = serde_json::from_slice::<Value>(&answer.body).is_ok();
            assert!(answer.status == 200 && is_json, "{name}: {route}: {}", answer.status);
        }
        let page = send(http::Method::GET, &process.admin_url(&format!("/events/{id}")), &[], "").await;
        assert!(page.status == 200 && !page.text().contains("<img src=x"), "{name}: {}", page.status);
        let shown = run(path, url, &["events", "show", &id.to_string()]).await;
        assert!(shown.status.success() && is_clean(text(&shown.stdout)), "{name}: {shown:?}");
    }
    for route in ["/api/events", "/api/events?text=onerror", "/events", "/", "/failures"] {
        let answer = send(http::Method::GET, &process.admin_url(route), &[], "").await;
        // JSON keeps the text as it is: its content type keeps a browser from reading it as a page.
        let is_json = answer.header("content-type") == "application/json";
        let is_harmless = is_json || !answer.text().contains("<img src=x");
        assert!(answer.status == 200 && is_harmless, "{route}: {answer:?}");
    }
    for command in [
        &["events", "list"][..],
        &["events", "list", "--text", "onerror"],
        &["failures"],
        &["waiting", "list"],
        &["dead-letters", "list"],
        &["replay", "--events", "--dry-run"],
    ] {
        let shown = run(path, url, command).await;
        let (out, err) = (text(&shown.stdout), text(&shown.stderr));
        assert!(shown.status.success() && is_clean(out) && is_clean(err), "{command:?}: {shown:?}");
    }
    process.terminate();
    assert!(process.ended().await.success());
}
