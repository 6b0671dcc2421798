//! `events show` of each outcome: what happened, its reason code, and what to do next.

use accoil_relay::sandbox::{Fault, Options};
use serde_json::{Value, json};

use crate::relay::{Process, TEST_TIMEOUT, USUAL};
use crate::sandbox::RunningSandbox;
use crate::waiting::{run, text};

/// Failed calls wait for up to an hour.
const SLOW: &str = "[deliver]\nretry_initial = \"1h\"\nretry_max = \"1h\"\n";

const TIME: &str = "2026-01-02T03:04:05Z";

fn track(user: &str, event: &str) -> String {
    json!({"type": "track", "userId": user, "event": event, "messageId": format!("{user} {event}"), "timestamp": TIME})
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

/// A second mapping refuses orders without a buyer, so that such an event is partly rejected.
fn configuration(folder: &std::path::Path) -> String {
    let orders = "[[mappings]]\nname = 'Orders'\ntrigger = 'event = \"Order\"'\naction = 'track'\n[mappings.fields]\n\
        event = { '@path' = '$.event' }\nuserId = { '@path' = '$.properties.buyer' }\n\
        timestamp = { '@path' = '$.timestamp' }\n";
    std::fs::write(folder.join("orders.toml"), orders).unwrap();
    let mappings = "[[destinations]]\nmappings = ['segment', 'amplitude', 'orders.toml']";
    format!("{}{SLOW}", USUAL.replace("[[destinations]]", mappings))
}

/// An event that a sender posts, and what `events show` must say of it.
struct Case {
    /// Names it if the test fails.
    what: &'static str,
    route: &'static str,
    body: String,
    status: &'static str,
    /// Empty if it was delivered whole.
    code: &'static str,
    happened: &'static str,
    to_do: &'static str,
}

fn case(what: &'static str, body: String, status: &'static str, says: [&'static str; 3]) -> Case {
    let [code, happened, to_do] = says;
    Case { what, route: "/segment", body, status, code, happened, to_do }
}

fn cases() -> Vec<Case> {
    let hostile = "<script>\u{1b}[31m\u{202e}' onmouseover='";
    // An untitled page is skipped, so that only the call of the user's properties is left.
    let untitled = |insert_id: &str| {
        json!({"event_type": "[Amplitude] Page Viewed", "user_id": "held", "device_id": "d", "insert_id": insert_id,
            "time": 1_767_323_045_000_u64, "user_properties": {"plan": "pro"}})
        .to_string()
    };
    let warned = |more: Value| {
        let mut event = json!({"type": "identify", "userId": "warned", "timestamp": TIME});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event.to_string()
    };
    let mut cases = vec![
        case("delivered", track("ada", "E"), "delivered", ["", "202 in", ""]),
        case(
            "duplicate",
            track("ada", "E"),
            "duplicate",
            ["duplicate", "accepted from this source before", "Nothing"],
        ),
        case(
            "left out",
            warned(json!({"traits": {"createdAt": "no time"}})),
            "delivered",
            ["warn.left_out", "createdAt was left out", "Fix the field at the sender"],
        ),
        case(
            "another time",
            warned(json!({"timestamp": "soon"})),
            "delivered",
            [
                "warn.time",
                "timestamp cannot be read; the time of receipt is sent instead",
                "Send an ISO 8601 time",
            ],
        ),
        case(
            "skipped",
            json!({"type": "alias", "userId": "a", "previousId": "b"}).to_string(),
            "skipped",
            ["skip.alias", "no such call", "Nothing"],
        ),
        case(
            "partly rejected",
            track("ada", "Order"),
            "delivered",
            ["reject.missing", "refused by Orders: userId", "Send the field, or change the mapping"],
        ),
        case("first of two alike", untitled("1"), "delivered", ["", "202 in", ""]),
        case("held", untitled("2"), "held", ["held", "same content as the last one delivered", "Nothing"]),
        case(
            "rejected",
            json!({"type": "track", "event": "E", "properties": {"user_id": "u-7"}}).to_string(),
            "rejected",
            ["reject.missing", "userId", "$.properties.user_id"],
        ),
        case(
            "unreadable",
            "{\"type\":\"track\",".to_owned(),
            "rejected",
            ["unreadable", "not a JSON document", "Send one whole JSON document"],
        ),
        case("waiting", track("waits", "first"), "waiting", ["wait.5xx", "no such report", "Nothing"]),
        case(
            "waiting behind",
            track("waits", "second"),
            "waiting",
            ["wait.behind", "waits behind call", "waiting list"],
        ),
        case(
            "dead",
            track("dies", "E"),
            "dead",
            ["dead.refused", "no such report", "replay the dead letter"],
        ),
        case(
            "hostile",
            json!({"type": "nothing", "userId": hostile, "event": hostile, "messageId": hostile}).to_string(),
            "rejected",
            ["reject.event_type", "", "lower case"],
        ),
    ];
    for case in &mut cases {
        if case.body.contains("event_type\"") {
            case.route = "/amplitude";
        }
    }
    cases
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
    let relay = Process::start(folder, &configuration(folder), url).await;

    // Before anything was refused.
    let output = run(folder, url, &["events", "show", "6h1gq1xcc0000"]).await;
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error.contains("reached this relay") && error.contains("GET /api/setup"), "{error}");

    let mut waiting = String::new();
    for Case { what, route, body, status, code, happened, to_do } in cases() {
        let key = if route == "/segment" { "web-key" } else { "product-key" };
        let answer = relay.post(route, &[("x-api-key", key)], body).await;
        let id = answer.header("relay-event").to_owned();
        assert!(!id.is_empty(), "{what}: {answer:?}");
        let event = shown(folder, url, &id, status).await;
        assert_eq!(event["code"], code, "{what}: {event:#}");
        assert_eq!(event["reason"]["code"].as_str().unwrap_or_default(), code, "{what}: {event:#}");
        assert!(event["happened"].as_str().unwrap().contains(happened), "{what}: {event:#}");
        let advice = event["to_do"].as_str().unwrap();
        assert!(advice.contains(to_do) && (advice.is_empty() == to_do.is_empty()), "{what}: {event:#}");
        let readable = run(folder, url, &["events", "show", &id]).await;
        let readable = text(&readable.stdout);
        assert!(readable.starts_with(status) && readable.contains("What happened: "), "{what}: {readable}");
        assert_eq!(readable.contains("What to do: "), !to_do.is_empty(), "{what}: {readable}");
        assert!(!readable.contains(['\u{1b}', '\u{202e}']), "{what}: {readable}");
        if what == "waiting" {
            waiting = id;
        }
    }
    let failures = run(folder, url, &["failures", "--json"]).await;
    let groups: Vec<Value> =
        text(&failures.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(groups.len(), 5, "{groups:#?}");

    // A request that is turned away leaves no event, but the answer for an unknown one tells of the refused requests.
    assert_eq!(relay.post("/segment", &[("x-api-key", "wrong")], track("ada", "E")).await.status, 401);
    let output = run(folder, url, &["events", "show", "6h1gq1xcc0000"]).await;
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let advice = "Copy the source's write_key into the sender";
    assert!(error.contains("a wrong write key (door.key)") && error.contains(advice), "{error}");
    let output = run(folder, url, &["events", "show", "6h1gq1xcc0000", "--json"]).await;
    let missing: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&missing["code"], &missing["turned_away"]), (&json!("not_here"), &json!(2)), "{missing:#}");

    // The call that failed is tried again, and arrives.
    assert!(run(folder, url, &["waiting", "retry", "--user", "waits"]).await.status.success());
    let event = shown(folder, url, &waiting, "delivered").await;
    assert_eq!((&event["code"], &event["to_do"]), (&json!(""), &json!("")), "{event:#}");
    assert!(event["happened"].as_str().unwrap().contains("attempt 2"), "{event:#}");
    assert_eq!(event["calls"][0]["attempts"][0]["reason"], "no such report", "{event:#}");

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
    let before = served.sandbox.total();
    let replayed = run(folder, url, &["replay", "--dead-letters", "--as-sent"]).await;
    assert!(replayed.status.success() && text(&replayed.stdout).contains("1 of 1 done"), "{replayed:?}");
    assert!(served.sandbox.wait_for(before + 1, TEST_TIMEOUT).await, "it arrives now");
    let empty = run(folder, url, &["replay", "--dead-letters"]).await;
    assert!(empty.status.success() && text(&empty.stderr).contains("nothing is selected"), "{empty:?}");
}
