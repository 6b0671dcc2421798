//! Reloads mappings while the relay runs, through the admin API and by SIGHUP: all of them or none.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use accoil_relay::sandbox::{Options, Received};
use http::Method;
use serde_json::json;
use tempfile::tempdir;

use crate::http::{Answer, send};
use crate::relay::{Process, TEST_TIMEOUT, TestRelay};
use crate::sandbox::RunningSandbox;

const KEY: (&str, &str) = ("x-api-key", "web-key");

/// Writes a mapping that sends tracks with this name.
fn write_mapping(folder: &Path, file: &str, name: &str) {
    let mapping = format!(
        "[[mappings]]\nname = 'Tracks'\ntrigger = 'type = \"track\"'\naction = 'track'\n[mappings.fields]\n\
         event = '{name}'\nuserId = {{ '@path' = '$.userId' }}\ntimestamp = {{ '@path' = '$.timestamp' }}\n"
    );
    std::fs::write(folder.join(file), mapping).unwrap();
}

/// Two destinations with a mapping file each.
fn configuration(folder: &Path) -> String {
    let mut text = "[[sources]]\nname = 'web'\nkind = 'segment'\nwrite_key = 'web-key'\n".to_owned();
    for name in ["one", "two"] {
        let file = folder.join(format!("{name}.toml"));
        writeln!(text, "[[destinations]]\nname = '{name}'\napi_key = 'key'\nbase_url = '${{SANDBOX}}'")
            .unwrap();
        writeln!(text, "mappings = ['{}']", file.display()).unwrap();
    }
    text
}

fn track(user: &str) -> String {
    json!({"type": "track", "event": "E", "userId": user, "timestamp": "2026-01-02T03:04:05Z"}).to_string()
}

fn event_name(call: &Received) -> String {
    text(call, "event").to_owned()
}

fn text<'c>(call: &'c Received, key: &str) -> &'c str {
    call.body.get(key).and_then(accoil_relay::json::Value::as_str).unwrap()
}

async fn admin(relay: &TestRelay, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(method, &format!("http://{}{path}", relay.relay.admin_address), headers, "").await
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_valid_files_are_used() {
    let folder = tempdir().unwrap();
    write_mapping(folder.path(), "one.toml", "Before");
    write_mapping(folder.path(), "two.toml", "Before");
    let relay = TestRelay::start(&configuration(folder.path())).await;
    let reload = || admin(&relay, Method::POST, "/api/reload", &[]);
    relay.post("/segment", &[KEY], track("u1")).await;
    let calls = relay.calls(2).await;
    assert!(calls.iter().all(|call| event_name(call) == "Before"));

    // One file is valid and the other is not: neither is used.
    write_mapping(folder.path(), "one.toml", "After");
    std::fs::write(folder.path().join("two.toml"), "[[mappings]]\nname = 'x'\naction = 'trak'\n").unwrap();
    let answer = reload().await;
    assert_eq!(answer.status, 400);
    let shown = answer.text().replace(folder.path().to_str().unwrap(), "FOLDER");
    insta::assert_snapshot!(shown, @r#"{"code":"invalid_mappings","error":"the mapping files have faults; the previous mappings stay in force; fix the files and reload","faults":[{"column":1,"file":"FOLDER/two.toml","line":1,"message":"the mapping has no trigger"},{"column":10,"file":"FOLDER/two.toml","line":3,"message":"there is no action trak; did you mean track?"}]}"#);
    relay.post("/segment", &[KEY], track("u2")).await;
    let calls = relay.calls(4).await;
    assert!(calls.iter().all(|call| event_name(call) == "Before"));

    write_mapping(folder.path(), "two.toml", "After");
    let answer = reload().await;
    assert_eq!((answer.status.as_u16(), answer.json()), (200, json!({"mappings": 2, "warnings": []})));
    relay.post("/segment", &[KEY], track("u3")).await;
    let calls = relay.calls(6).await;
    assert_eq!(calls.iter().filter(|call| event_name(call) == "After").count(), 2);
    relay.stop().await;
}

/// Every batch is mapped by one state of the files, although they change all the time.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_the_mappings_it_began_with() {
    const BATCHES: usize = 20;
    const EVENTS: usize = 40;
    let folder = tempdir().unwrap();
    write_mapping(folder.path(), "one.toml", "A");
    write_mapping(folder.path(), "two.toml", "A");
    let relay = TestRelay::start(&configuration(folder.path())).await;
    let (mut reloads, mut posts) = (0, tokio::task::JoinSet::new());
    for batch in 0..BATCHES {
        let events: Vec<String> = (0..EVENTS).map(|event| track(&format!("{batch}-{event}"))).collect();
        let (url, body) = (relay.url("/segment"), format!("[{}]", events.join(",")));
        posts.spawn(async move { send(Method::POST, &url, &[KEY], body).await });
    }
    while let Some(answer) = posts.join_next().await {
        assert_eq!(answer.unwrap().status, 200);
        reloads += 1;
        let name = if reloads % 2 == 0 { "A" } else { "B" };
        write_mapping(folder.path(), "one.toml", name);
        write_mapping(folder.path(), "two.toml", name);
        assert_eq!(admin(&relay, Method::POST, "/api/reload", &[]).await.status, 200);
    }
    let calls = relay.calls((BATCHES * EVENTS * 2) as u64).await;
    let names_of = |batch: usize| {
        let calls = calls.iter().filter(|call| text(call, "userId").starts_with(&format!("{batch}-")));
        calls.map(event_name).collect::<std::collections::HashSet<_>>()
    };
    assert!((0..BATCHES).all(|batch| names_of(batch).len() == 1));
    relay.stop().await;
}

#[tokio::test]
async fn the_admin_api_needs_the_token_and_is_never_public() {
    let token = "[admin]\ntoken = 'an-admin-token-of-some-length'\n[[sources]]\nname = 'web'\nkind = 'segment'\n\
                 write_key = 'web-key'\n[[destinations]]\nname = 'accoil'\napi_key = 'key'\nbase_url = '${SANDBOX}'\n";
    let relay = TestRelay::start(token).await;
    let right = [("authorization", "Bearer an-admin-token-of-some-length")];
    let wrong = [("authorization", "Bearer an-admin-token-of-some-other-length")];
    for (method, path, headers, expected) in [
        (Method::GET, "/api/mappings", &right[..], 200),
        (Method::GET, "/api/mappings", &wrong[..], 401),
        (Method::GET, "/api/mappings", &[], 401),
        (Method::POST, "/api/reload", &right[..], 200),
        (Method::POST, "/api/reload", &[], 401),
        (Method::GET, "/api/reload", &right[..], 405),
        (Method::GET, "/healthz", &[], 200),
        (Method::GET, "/readyz", &[], 200),
        (Method::POST, "/segment", &right[..], 404),
    ] {
        let answer = admin(&relay, method.clone(), path, headers).await;
        assert_eq!(answer.status.as_u16(), expected, "{method} {path} {headers:?}: {answer:?}");
        assert!(answer.json().is_object());
        let public = send(method, &relay.url(path), headers, "").await;
        assert!(!path.starts_with("/api") || public.status == 404, "{path} on the public port: {public:?}");
    }
    let rows = admin(&relay, Method::GET, "/api/mappings", &right).await.json();
    assert_eq!(rows["mappings"].as_array().unwrap().len(), 10);
    insta::assert_json_snapshot!(rows["mappings"][2], @r#"
    {
      "action": "track",
      "destination": "accoil",
      "enabled": true,
      "mapping": "Track Calls",
      "origin": "preset segment",
      "source": "segment",
      "trigger": "type = \"track\""
    }
    "#);
    relay.stop().await;
}

#[tokio::test]
async fn without_a_token_pages_of_other_sites_are_refused() {
    let relay = TestRelay::usual().await;
    for (headers, expected) in [
        (&[][..], 200),
        (&[("origin", "https://evil.example")][..], 403),
        (&[("host", "evil.example")][..], 403),
    ] {
        let answer = admin(&relay, Method::POST, "/api/reload", headers).await;
        assert_eq!(answer.status.as_u16(), expected, "{headers:?}: {answer:?}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn sighup_reloads_the_mappings() {
    let folder = tempdir().unwrap();
    let sandbox = RunningSandbox::start(Options::default()).await;
    write_mapping(folder.path(), "one.toml", "Before");
    write_mapping(folder.path(), "two.toml", "Before");
    let process = Process::start(folder.path(), &configuration(folder.path()), &sandbox.url).await;
    let logged = async |text: &str| {
        let logged = async {
            while !process.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, logged).await.unwrap_or_else(|_| panic!("{}", process.log()));
    };

    std::fs::write(folder.path().join("one.toml"), "mappings = 1").unwrap();
    process.signal("HUP");
    logged("one.toml:1:12: contains no list of mappings").await;
    logged("the previous mappings stay in force").await;
    process.post("/segment", &[KEY], track("u1")).await;
    assert!(sandbox.sandbox.wait_for(2, TEST_TIMEOUT).await);

    write_mapping(folder.path(), "one.toml", "After");
    process.signal("HUP");
    logged("are in force").await;
    logged("\"mapping.count\":2").await;
    process.post("/segment", &[KEY], track("u2")).await;
    assert!(sandbox.sandbox.wait_for(4, TEST_TIMEOUT).await);
    let mut names: Vec<String> = sandbox.sandbox.received().iter().map(event_name).collect();
    names.sort();
    assert_eq!(names, ["After", "Before", "Before", "Before"]);
    process.terminate();
    assert_eq!(process.ended().await.code(), Some(0));
}
