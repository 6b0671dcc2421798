//! HTTP as odd senders speak it: old versions, missing and contradicting headers, bodies that never come.

use std::fmt::Write as _;

use super::{TRACK, raw};
use crate::relay::TestRelay;

/// The status line's code and, if there is one, the body's `code` or `reason`.
fn told(answer: &str) -> String {
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
        writeln!(text, "{name}: {}", told(&raw(&relay, request).await)).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    HTTP/1.0: 200 "-"
    HTTP/1.0 without a length: 400 "invalid_json"
    no Host: 200 "-"
    an absolute target: 200 "-"
    a query: 200 "-"
    neither length nor chunks: 400 "invalid_json"
    a lower-case method: 405 405
    two lengths: 400 "-"
    a negative length: 400 "-"
    no HTTP at all: 400 "-"
    a head without end: 431 "-"
    "#);
    relay.stop().await;
}

/// What stands behind a request on the same connection is a request of its own, and is answered in turn.
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
