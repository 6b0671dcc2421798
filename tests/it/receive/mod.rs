//! The public listener: what each sender posts, the answer that it gets, and the calls that arrive at Accoil.

mod amplitude;
mod authentication;
mod bad_input;
mod browser;
mod connections;
mod duplicates;
mod encoding;
mod hostile;
mod limits;
mod protocol;
mod random;
mod refusals;
mod routes;
mod signature;
mod wire;

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::Answer;
use crate::relay::{TEST_TIMEOUT, TestRelay};

const SEGMENT: (&str, &str) = ("x-api-key", "web-key");
const AMPLITUDE: (&str, &str) = ("x-api-key", "product-key");

const TRACK: &str =
    r#"{"type":"track","userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05Z"}"#;
const EVENT: &str = r#"{"user_id":"u1","event_type":"Report Created","time":1767323045000}"#;

/// The routes that accept events, each with a body and the header of its key.
const ROUTES: [(&str, (&str, &str), &str); 13] = [
    ("/segment", SEGMENT, TRACK),
    (
        "/v1/identify",
        SEGMENT,
        r#"{"userId":"u1","traits":{"name":"Ada"},"timestamp":"2026-01-02T03:04:05Z"}"#,
    ),
    ("/v1/track", SEGMENT, TRACK),
    ("/v1/page", SEGMENT, r#"{"userId":"u1","name":"Home","timestamp":"2026-01-02T03:04:05Z"}"#),
    ("/v1/screen", SEGMENT, r#"{"userId":"u1","name":"Home","timestamp":"2026-01-02T03:04:05Z"}"#),
    (
        "/v1/group",
        SEGMENT,
        r#"{"userId":"u1","groupId":"g1","traits":{"name":"Acme"},"timestamp":"2026-01-02T03:04:05Z"}"#,
    ),
    ("/v1/alias", SEGMENT, r#"{"userId":"u1","previousId":"u0","timestamp":"2026-01-02T03:04:05Z"}"#),
    (
        "/v1/batch",
        SEGMENT,
        r#"{"batch":[{"type":"track","userId":"u1","event":"Report Created","timestamp":"2026-01-02T03:04:05Z"}]}"#,
    ),
    ("/amplitude", AMPLITUDE, EVENT),
    (
        "/2/httpapi",
        AMPLITUDE,
        r#"{"events":[{"user_id":"u1","event_type":"Report Created","time":1767323045000}]}"#,
    ),
    (
        "/batch",
        AMPLITUDE,
        r#"{"events":[{"user_id":"u1","event_type":"Report Created","time":1767323045000}]}"#,
    ),
    (
        "/identify",
        AMPLITUDE,
        "identification=%7B%22user_id%22%3A%22u1%22%2C%22time%22%3A1767323045000%2C%22user_properties%22%3A%7B%22name%22%3A%22Ada%22%7D%7D",
    ),
    (
        "/groupidentify",
        AMPLITUDE,
        "identification=%7B%22group_type%22%3A%22Account%22%2C%22group_value%22%3A%22g2%22%2C%22time%22%3A1767323045000%2C%22group_properties%22%3A%7B%22name%22%3A%22Acme%22%7D%7D",
    ),
];

/// Returns the promised parts of an answer: status, headers, body, with fixed times.
fn shown(answer: &Answer) -> String {
    let mut text = answer.status.as_u16().to_string();
    for name in ["retry-after", "allow"] {
        if !answer.header(name).is_empty() {
            write!(text, " {name}: {}", answer.header(name)).unwrap();
        }
    }
    assert_eq!(answer.header("content-type"), "application/json", "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), "*", "{answer:?}");
    let mut body = answer.json();
    assert!(body.is_object(), "{answer:?}");
    // These differ from run to run.
    if let Some(ids) = body.as_object_mut().unwrap().remove("ids") {
        assert!(ids.as_array().unwrap().iter().all(|id| id.as_str().unwrap().len() == 13), "{ids}");
    }
    if let Some(time) = body.get_mut("server_upload_time") {
        assert!(time.is_i64());
        *time = "TIME".into();
    }
    // Segment's SDKs read one of these two.
    if let Some(message) = body.as_object_mut().unwrap().remove("message") {
        assert_eq!(message, body["error"]);
    }
    write!(text, " {body}").unwrap();
    text
}

/// Posts, and returns the answer and then the calls, of which there must be this number. They are sorted by user; each user's
/// calls keep their order.
async fn exchange(
    relay: &TestRelay,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
    count: u64,
) -> String {
    let before = relay.sandbox.total();
    let mut text = shown(&relay.post(path, headers, body).await);
    let mut calls = relay.calls(before + count).await.split_off(usize::try_from(before).unwrap());
    calls.sort_by_key(|call| ["userId", "groupId"].iter().find_map(|id| call.body.get(id).map(json)));
    for call in calls {
        assert_eq!(call.problems, [""; 0], "{call:?}");
        write!(text, "\n  -> {} {}", call.path, json(&call.body)).unwrap();
    }
    text
}

fn json(value: &accoil_relay::json::Value<'_>) -> String {
    value.to_string()
}

/// Sends bytes and reads until the relay closes the connection, for requests that no HTTP client would send.
async fn raw(relay: &TestRelay, request: impl AsRef<[u8]>) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(relay.relay.address).await.unwrap();
        stream.write_all(request.as_ref()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    tokio::time::timeout(TEST_TIMEOUT, exchange).await.expect("an answer in time")
}
