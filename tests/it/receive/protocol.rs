//! HTTP as odd senders use it: old versions, missing and contradicting headers, bodies that never arrive.

use std::fmt::Write as _;

use super::{TRACK, raw};
use crate::relay::{TestRelay, USUAL};

/// Returns the status and, if there is one, the body's `code` or `reason`.
fn summary(answer: &str) -> String {
    let status = answer.split(' ').nth(1).unwrap_or("closed without an answer");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    format!("{status} {}", body.get("code").unwrap_or(&"-".into()))
}

#[tokio::test]
async fn odd_requests_are_answered() {
    let relay = TestRelay::usual().await;
    let length = TRACK.len();
    let key = "X-Api-Key: web-key\r\n";
    let cases = [
        ("HTTP/1.0", format!("POST /segment HTTP/1.0\r\n{key}Content-Length: {length}\r\n\r\n{TRACK}")),
        ("HTTP/1.0 without a length", format!("POST /segment HTTP/1.0\r\n{key}\r\n{TRACK}")),
        (
            "no Host",
            format!(
                "POST /segment HTTP/1.1\r\n{key}Connection: close\r\nContent-Length: {length}\r\n\r\n{TRACK}"
            ),
        ),
        (
            "an absolute target",
            format!(
                "POST http://relay/segment HTTP/1.1\r\nHost: relay\r\n{key}Connection: close\r\nContent-Length: {length}\r\n\r\n{TRACK}"
            ),
        ),
        (
            "a query",
            format!(
                "POST /segment?debug=1 HTTP/1.1\r\nHost: h\r\n{key}Connection: close\r\nContent-Length: {length}\r\n\r\n{TRACK}"
            ),
        ),
        (
            "neither length nor chunks",
            format!("POST /segment HTTP/1.1\r\nHost: h\r\n{key}Connection: close\r\n\r\n"),
        ),
        (
            "a lower-case method",
            format!(
                "post /segment HTTP/1.1\r\nHost: h\r\n{key}Connection: close\r\nContent-Length: 2\r\n\r\n{{}}"
            ),
        ),
        (
            "two lengths",
            format!(
                "POST /segment HTTP/1.1\r\nHost: h\r\n{key}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}} "
            ),
        ),
        (
            "a negative length",
            format!("POST /segment HTTP/1.1\r\nHost: h\r\n{key}Content-Length: -1\r\n\r\n{{}}"),
        ),
        ("no HTTP at all", "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n".to_owned()),
        ("a head without end", format!("GET /healthz HTTP/1.1\r\nHost: h\r\nX: {}", "x".repeat(1_000_000))),
    ];
    let mut text = String::new();
    for (name, request) in cases {
        writeln!(text, "{name}: {}", summary(&raw(&relay, request).await)).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    HTTP/1.0: 200 "-"
    HTTP/1.0 without a length: 400 "unreadable"
    no Host: 400 "door.request"
    an absolute target: 200 "-"
    a query: 200 "-"
    neither length nor chunks: 400 "unreadable"
    a lower-case method: 405 405
    two lengths: 400 "-"
    a negative length: 400 "-"
    no HTTP at all: 400 "-"
    a head without end: 431 "-"
    "#);
    relay.stop().await;
}

/// The bytes after a request on the same connection are the next request, which is answered next.
#[tokio::test]
async fn requests_on_one_connection_are_answered_in_turn() {
    let relay = TestRelay::usual().await;
    let first = format!(
        "POST /segment HTTP/1.1\r\nHost: h\r\nX-Api-Key: web-key\r\nContent-Length: {}\r\n\r\n{TRACK}",
        TRACK.len()
    );
    let second = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answers = raw(&relay, format!("{first}{first}{second}")).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert!(answers.ends_with(r#"{"status":"ok"}"#), "{answers}");
    relay.calls(2).await;
    relay.stop().await;
}

/// Paths with percent signs that encode no text, and a large body for a route that expects none.
#[tokio::test]
async fn odd_paths_are_answered_in_json() {
    let relay = TestRelay::usual().await;
    let mut text = String::new();
    for path in ["/v1/%ff", "/v1/%zz", "/v1/projects/%ff/settings", "/%00", "//", "/v1/track%2f", "/nowhere"]
    {
        for (method, length) in [("GET", 0), ("POST", 5_000_000)] {
            let body = "x".repeat(length);
            let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n");
            let answer = raw(&relay, format!("{head}Content-Length: {length}\r\n\r\n{body}")).await;
            writeln!(text, "{method} {path}: {}", summary(&answer)).unwrap();
        }
    }
    insta::assert_snapshot!(text, @r#"
    GET /v1/%ff: 405 405
    POST /v1/%ff: 404 404
    GET /v1/%zz: 405 405
    POST /v1/%zz: 404 404
    GET /v1/projects/%ff/settings: 404 "door.key"
    POST /v1/projects/%ff/settings: 405 405
    GET /%00: 404 404
    POST /%00: 404 404
    GET //: 405 405
    POST //: 413 413
    GET /v1/track%2f: 405 405
    POST /v1/track%2f: 404 404
    GET /nowhere: 404 404
    POST /nowhere: 404 404
    "#);
    relay.stop().await;
}

/// The relay waits for a body that never arrives no longer than the time limit.
#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let relay = TestRelay::start(&format!("[server]\nrequest_timeout = \"50ms\"\n{USUAL}")).await;
    let head = "POST /v1/track HTTP/1.1\r\nHost: h\r\nX-Api-Key: web-key\r\nContent-Length: 100\r\n\r\n{";
    let answer = raw(&relay, head).await;
    assert_eq!(summary(&answer), "408 \"door.timeout\"", "{answer}");
    assert!(relay.rejects().await.is_empty());
    relay.stop().await;
}
