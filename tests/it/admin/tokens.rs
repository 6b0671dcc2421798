//! The viewer token reads everything except the events' values, and changes nothing.

use http::Method;

use super::url;
use crate::http::send;
use crate::relay::{TestRelay, USUAL};

const FULL: &str = "an-admin-token-of-some-length";
const VIEWER: &str = "a-viewer-token-of-some-length";

async fn status(relay: &TestRelay, method: Method, path: &str, token: &str) -> u16 {
    let bearer = format!("Bearer {token}");
    let answer = send(method, &url(relay, path), &[("authorization", &bearer)], "{}").await;
    let is_error = answer.status.as_u16() >= 400;
    assert!(!is_error || answer.json()["error"].is_string(), "{path}: {answer:?}");
    answer.status.as_u16()
}

fn configuration(more: &str) -> String {
    format!("[admin]\ntoken = '{FULL}'\nviewer_token = '{VIEWER}'\n{more}{USUAL}")
}

#[tokio::test]
async fn a_viewer_reads_and_changes_nothing() {
    let relay = TestRelay::start(&configuration("")).await;
    for (method, path, full, viewer) in [
        (Method::GET, "/api/waiting", 200, 200),
        (Method::GET, "/api/destinations", 200, 200),
        (Method::GET, "/metrics", 200, 200),
        (Method::GET, "/openapi.json", 200, 200),
        (Method::GET, "/api/waiting?payload=true", 200, 403),
        (Method::POST, "/api/waiting/retry", 200, 403),
        (Method::POST, "/api/dead-letters/purge", 200, 403),
        (Method::POST, "/api/reload", 200, 403),
    ] {
        assert_eq!(status(&relay, method.clone(), path, FULL).await, full, "{path}");
        assert_eq!(status(&relay, method.clone(), path, VIEWER).await, viewer, "{path}");
        assert_eq!(status(&relay, method, path, "a-wrong-token-of-some-length").await, 401, "{path}");
    }
    relay.stop().await;
}

/// The routes are those of the document, so a new route cannot be forgotten.
#[tokio::test]
async fn without_a_token_every_route_but_health_and_log_in_is_401() {
    let relay = TestRelay::start(&configuration("")).await;
    let bearer = format!("Bearer {FULL}");
    let document = send(Method::GET, &url(&relay, "/openapi.json"), &[("authorization", &bearer)], "").await;
    let (document, mut open) = (document.json(), Vec::new());
    for (path, item) in document["paths"].as_object().unwrap() {
        let place = ["{direction}", "{name}", "{id}", "{key}"];
        let path = place.iter().fold(path.clone(), |path, name| path.replace(name, "x"));
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = send(method, &url(&relay, &path), &[], "{}").await;
            if answer.status != 401 {
                open.push(path.clone());
            }
        }
    }
    open.dedup();
    assert_eq!(open, ["/healthz", "/login", "/logout", "/readyz"]);
    relay.stop().await;
}

#[tokio::test]
async fn a_viewer_sees_payloads_if_the_configuration_says_so() {
    let relay = TestRelay::start(&configuration("viewer_sees_payloads = true\n")).await;
    assert_eq!(status(&relay, Method::GET, "/api/waiting?payload=true", VIEWER).await, 200);
    assert_eq!(status(&relay, Method::POST, "/api/reload", VIEWER).await, 403);
    relay.stop().await;
}
