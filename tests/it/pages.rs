//! The dashboard over HTTP (log-in, form tokens, the content security policy), and in a real browser with axe-core.

use std::process::Command;

use accoil_relay::sandbox::Options;
use http::Method;

use crate::http::{Answer, send};
use crate::relay::{Process, USUAL};
use crate::sandbox::RunningSandbox;

const TOKENS: &str = "[admin]\ntoken = \"full-token\"\nviewer_token = \"viewer-token\"\n";
const PAGES: [&str; 13] = [
    "/",
    "/events",
    "/failures",
    "/failures/replays",
    "/tester",
    "/destinations/accoil",
    "/setup",
    "/mappings",
    "/failures/door",
    "/accounts",
    "/syncs",
    "/settings",
    "/api",
];

async fn get(relay: &Process, path: &str, cookie: &str) -> Answer {
    send(Method::GET, &relay.admin_url(path), &[("cookie", cookie)], "").await
}

async fn log_in(relay: &Process, token: &str) -> Answer {
    let form = format!("token={token}&to=%2Fsetup");
    send(Method::POST, &relay.admin_url("/login"), &[("sec-fetch-site", "same-origin")], form).await
}

async fn session(relay: &Process, token: &str) -> String {
    let answer = log_in(relay, token).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/setup"), "{}", answer.text());
    let cookie = answer.header("set-cookie");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    cookie.split(';').next().unwrap().to_owned()
}

fn form_token(page: &Answer) -> String {
    let (_, rest) = page.text().split_once("name=\"form_token\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn every_page_needs_a_session_and_has_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    let served = RunningSandbox::start(Options::default()).await;
    let relay = Process::start(folder.path(), &format!("{TOKENS}{USUAL}"), &served.url).await;
    for path in PAGES {
        let answer = get(&relay, path, "").await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").starts_with("/login?to=%2F"), "{path}");
        let foreign = [("sec-fetch-site", "cross-site")];
        let answer = send(Method::GET, &relay.admin_url(path), &foreign, "").await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("refresh")),
            (200, "0"),
            "{path}: it asks again, now with its cookie"
        );
    }
    let cookie = session(&relay, "full-token").await;
    for path in PAGES {
        let answer = get(&relay, path, &cookie).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none';") && policy.contains("trusted-types 'none'"),
            "{policy}"
        );
        assert_eq!(
            (answer.header("x-content-type-options"), answer.header("cache-control")),
            ("nosniff", "no-store")
        );
        assert!(!answer.text().contains("style=") && !answer.text().contains("accoil-key"), "{path}");
    }
    assert_eq!(get(&relay, "/api/version", &cookie).await.status, 200, "a session reads the API");
    assert_eq!(get(&relay, "/api/version", "").await.status, 401);
    get(&relay, "/logout", &cookie).await;
    assert_eq!(get(&relay, "/setup", &cookie).await.status, 303, "the session has ended");
}

#[tokio::test]
async fn only_a_form_of_this_session_and_site_changes_something() {
    let folder = tempfile::tempdir().unwrap();
    let served = RunningSandbox::start(Options::default()).await;
    let relay = Process::start(folder.path(), &format!("{TOKENS}{USUAL}"), &served.url).await;
    let (cookie, other) = (session(&relay, "full-token").await, session(&relay, "full-token").await);
    let viewer = session(&relay, "viewer-token").await;
    let url = relay.admin_url("/destinations/accoil");
    let own = form_token(&get(&relay, "/destinations/accoil", &cookie).await);
    let foreign = form_token(&get(&relay, "/destinations/accoil", &other).await);
    let page = get(&relay, "/destinations/accoil", &viewer).await;
    assert!(!page.text().contains("Pause sending"), "a viewer has no buttons");
    for (site, cookie, token, expected) in [
        ("cross-site", &cookie, &*own, 403),
        ("same-site", &cookie, &own, 403),
        ("same-origin", &cookie, "", 403),
        ("same-origin", &cookie, &foreign, 403),
        ("same-origin", &viewer, &own, 403),
        ("same-origin", &String::new(), &own, 401),
        ("same-origin", &cookie, &own, 303),
    ] {
        let form = format!("form_token={token}&do=pause");
        let answer = send(Method::POST, &url, &[("sec-fetch-site", site), ("cookie", cookie)], form).await;
        assert_eq!(answer.status, expected, "{site} {token}: {}", answer.text());
    }
    let paused = get(&relay, "/destinations/accoil", &cookie).await;
    assert!(paused.text().contains("Resume"), "{}", paused.text());
    let (url, headers) = (
        relay.admin_url("/api/destinations/accoil/resume"),
        [("sec-fetch-site", "same-origin"), ("cookie", &*cookie)],
    );
    let by_api = send(Method::POST, &url, &headers, "");
    assert_eq!(by_api.await.status, 401, "a session changes something by forms only");
}

/// Of the values that several proxies wrote, the first is that of the browser's own connection.
#[tokio::test]
async fn the_cookie_is_for_https_only_if_the_browser_uses_it() {
    let folder = tempfile::tempdir().unwrap();
    let served = RunningSandbox::start(Options::default()).await;
    let relay = Process::start(folder.path(), &format!("{TOKENS}{USUAL}"), &served.url).await;
    for (proto, is_secure) in [("HTTPS", true), ("https, http", true), ("http, https", false), ("", false)] {
        let headers = [("sec-fetch-site", "same-origin"), ("x-forwarded-proto", proto)];
        let answer = send(Method::POST, &relay.admin_url("/login"), &headers, "token=full-token").await;
        assert_eq!(answer.status, 303, "{proto}: {}", answer.text());
        assert_eq!(answer.header("set-cookie").contains("; Secure"), is_secure, "{proto}");
    }
}

#[tokio::test]
async fn log_in_pauses_after_five_wrong_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let served = RunningSandbox::start(Options::default()).await;
    let relay = Process::start(folder.path(), &format!("{TOKENS}{USUAL}"), &served.url).await;
    for _ in 0..5 {
        let answer = log_in(&relay, "wrong").await;
        assert_eq!(answer.status, 401);
        assert!(answer.text().contains("That is not the token."));
    }
    let answer = log_in(&relay, "full-token").await;
    assert_eq!(answer.status, 429);
    assert!(answer.text().contains("Try again in"), "{}", answer.text());
}

/// Runs `tests/browser/run.mjs`, for everything that only a browser can show. Each of its tests starts relays of its own.
#[tokio::test]
async fn a_browser_finds_no_fault_on_any_page() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");
    assert!(
        std::path::Path::new(folder).join("node_modules").exists(),
        "the browser tests are not installed: run tests/run, or tests/install.sh once"
    );
    let mut run = Command::new("node");
    run.current_dir(folder).args(["run.mjs", "--binary", env!("CARGO_BIN_EXE_accoil-relay")]);
    let output = crate::child::output(run).await;
    let found = String::from_utf8_lossy(&output.stdout);
    println!("{found}");
    assert!(output.status.success(), "{found}\n{}", String::from_utf8_lossy(&output.stderr));
}
