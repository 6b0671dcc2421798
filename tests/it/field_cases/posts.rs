//! The files that are posted to a real listener, and the calls that must arrive at Accoil.

use accoil_relay::decode::{self, Anonymous, Context, Form, Limits, SourceSettings};
use accoil_relay::event::DecodeResult;
use chrono::Utc;

use super::field;
use crate::relay::TestRelay;

const SEGMENT: (&str, &str) = ("x-api-key", "web-key");
const AMPLITUDE: (&str, &str) = ("x-api-key", "product-key");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Posts a body and returns its calls, each as path, name, user and time.
async fn posted(
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<bytes::Bytes>,
    count: u64,
) -> Vec<String> {
    let relay = TestRelay::usual().await;
    let answer = relay.post(path, headers, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let calls = relay.calls(count).await;
    relay.stop().await;
    let mut calls: Vec<String> = calls.iter().map(|call| format!("{} {}", call.path, call.body)).collect();
    // Calls of different users have no order.
    calls.sort();
    calls
}

/// Returns the warnings of a batch's events: field and reason.
fn warnings(form: Form, body: &str) -> Vec<String> {
    let source = SourceSettings::new(Anonymous::Reject);
    let limits = Limits { event_bytes: 32_768, events: 100, depth: 64 };
    let context = Context { received_at: Utc::now(), source: &source, limits, is_text_repaired: false };
    let mut found = Vec::new();
    for item in decode::decode(form, body, context).unwrap() {
        let DecodeResult::Events(events) = item.outcome else { panic!("{:?}", item.outcome) };
        for event in events {
            found
                .extend(event.warnings.iter().map(|warning| format!("{} {}", warning.field, warning.reason)));
        }
    }
    found
}

async fn all_three_arrive(name: &str, warning: &str) {
    let calls = posted("/v1/batch", &[SEGMENT], field(name), 3).await;
    assert!(calls.iter().all(|call| call.starts_with("/v2/track")), "{calls:?}");
    assert_eq!(warnings(Form::SegmentBatch, &field(name)), [warning]);
}

#[tokio::test]
async fn file_01_half_an_emoji() {
    let warning =
        "properties.excerpt had half of a surrogate pair, as when an emoji is cut in two; it became U+FFFD";
    all_three_arrive("01-half-emoji.json", warning).await;
}

#[tokio::test]
async fn file_02_nan() {
    let warning =
        "properties.ratio was NaN, an infinity or undefined, which JSON does not have; it became null";
    all_three_arrive("02-nan.json", warning).await;
}

#[tokio::test]
async fn file_03_a_number_beyond_a_double() {
    all_three_arrive(
        "03-number-too-large.json",
        "properties.v was a number beyond the range of a double; it became null",
    )
    .await;
}

#[test]
fn an_unreadable_time_of_the_batch_costs_only_the_correction() {
    let batch =
        |time: &str| format!(r#"{{"sentAt":{time},"batch":[{{"type":"track","event":"E","userId":"u"}}]}}"#);
    for time in ["NaN", "\"soon\"", "7"] {
        let warning = "sentAt of the batch cannot be read; the sender's clock is not corrected";
        assert_eq!(warnings(Form::SegmentBatch, &batch(time)), [warning], "{time}");
    }
    for time in ["null", "\"\"", "\"2026-01-02T03:04:05Z\""] {
        assert_eq!(warnings(Form::SegmentBatch, &batch(time)), [""; 0], "{time}");
    }
}

/// Each kind of fault in an envelope, a key, a form field and a text inside, on every route.
#[tokio::test]
async fn files_01_to_03_on_every_route() {
    let relay = TestRelay::usual().await;
    let track = r#"{"type":"track","event":"E","userId":"u","n":NaN,"\ud83d":1e400,"t":"\udc00"}"#;
    let amplitude = r#"{"event_type":"E","user_id":"user1","device_id":"ID","event_properties":{"n":-Infinity,"t":"\ud83d"}}"#;
    let user = r#"{"user_id":"user1","user_properties":{"n":NaN,"t":"\ud83d"}}"#;
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let mut count = 0;
    for (path, key, body) in [
        ("/segment", SEGMENT, track.to_owned()),
        ("/segment", SEGMENT, format!("[{track},{track}]")),
        ("/v1/track", SEGMENT, track.to_owned()),
        (
            "/v1/batch",
            SEGMENT,
            format!(r#"{{"context":{{"n":NaN}},"x":Infinity,"\ud83d":1,"batch":[{track}],"sentAt":NaN}}"#),
        ),
        ("/amplitude", AMPLITUDE, amplitude.replace("ID", "1")),
        ("/amplitude", AMPLITUDE, format!(r#"{{"n":NaN,"events":[{}]}}"#, amplitude.replace("ID", "2"))),
        ("/2/httpapi", AMPLITUDE, format!(r#"{{"n":NaN,"events":[{}]}}"#, amplitude.replace("ID", "3"))),
        ("/batch", AMPLITUDE, format!(r#"{{"events":[{}],"n":NaN}}"#, amplitude.replace("ID", "4"))),
        ("/identify", AMPLITUDE, format!("identification={}", encoded(user))),
        ("/", AMPLITUDE, format!("client=product-key&e={}", encoded(&amplitude.replace("ID", "5")))),
    ] {
        count += if body.starts_with('[') { 2 } else { 1 };
        let answer = relay.post(path, &[key], body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        relay.calls(count).await;
    }
    // The key comes after a value that is not JSON.
    let answer =
        relay.post("/v1/track", &[], r#"{"n":NaN,"writeKey":"web-key","event":"E","userId":"u"}"#).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    relay.calls(count + 1).await;
    relay.stop().await;
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_cost_a_character() {
    let body =
        [b"{\"event\":\"E\",\"userId\":\"u\",\"properties\":{\"t\":\"a".as_slice(), b"\xed\xa0\xbd", b"\"}}"]
            .concat();
    assert_eq!(posted("/v1/track", &[SEGMENT], body, 1).await.len(), 1);
}

#[tokio::test]
async fn file_04_timestamps() {
    let calls = posted("/v1/batch", &[SEGMENT], field("04-timestamps.json"), 8).await;
    assert_eq!(calls.len(), 8);
}

#[tokio::test]
async fn file_09_rudderstack_identify() {
    let calls = posted("/v1/batch", &[SEGMENT], field("09-rudder-identify.json"), 1).await;
    assert!(calls[0].contains(r#""traits":{"email":"ada@example.com","name":"Ada"}"#), "{calls:?}");
}

#[tokio::test]
async fn file_10_rudderstack_screen() {
    let calls = posted("/v1/batch", &[SEGMENT], field("10-rudder-screen.json"), 1).await;
    assert!(calls[0].contains(r#""event":"Viewed HomeScreen Screen""#), "{calls:?}");
}

#[tokio::test]
async fn file_11_rudderstack_webhook() {
    let calls = posted("/segment", &[SEGMENT], field("11-rudder-webhook.json"), 1).await;
    assert!(calls[0].contains(r#""event":"Wrapped""#), "{calls:?}");
}

#[tokio::test]
async fn file_14_one_insert_id_of_two_devices() {
    let body = field("14-insert-id-two-devices.json");
    assert_eq!(posted("/2/httpapi", &[AMPLITUDE], body.clone(), 2).await.len(), 2);
    assert_eq!(posted("/amplitude", &[AMPLITUDE], body, 2).await.len(), 2);
}

/// React Native's SDK packs 500 KiB of events and adds the envelope.
#[tokio::test]
async fn a_batch_of_512_583_bytes() {
    let event = format!(
        r#"{{"type":"track","event":"E","userId":"u","properties":{{"t":"{}"}}}}"#,
        "x".repeat(20_000)
    );
    let mut body = format!("{{\"batch\":[{}]", vec![event; 25].join(","));
    let padding = 512_583 - body.len() - "  }".len();
    body.push_str(&" ".repeat(padding + 2));
    body.push('}');
    assert_eq!(body.len(), 512_583);
    assert_eq!(posted("/v1/batch", &[SEGMENT], body, 25).await.len(), 25);
}

#[tokio::test]
async fn doubled_slashes() {
    let relay = TestRelay::usual().await;
    let batch = r#"{"batch":[{"type":"track","event":"E","userId":"u"}]}"#;
    let events = r#"{"events":[{"event_type":"E","user_id":"user1"}]}"#;
    for (path, key, body) in [
        ("//v1/batch", SEGMENT, batch),
        ("/v1//batch", SEGMENT, batch),
        ("//2/httpapi", AMPLITUDE, events),
        ("//2//httpapi//", AMPLITUDE, events),
    ] {
        let answer = relay.post(path, &[key], body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    assert_eq!(relay.post("//v1/nothing", &[SEGMENT], batch).await.status, 404);
    relay.calls(4).await;
    relay.stop().await;
}

#[tokio::test]
async fn forms_of_amplitudes_older_apis() {
    let relay = TestRelay::usual().await;
    let event = r#"[{"event_type":"E","user_id":"user1","timestamp":1700000000000}]"#;
    let user = r#"{"user_id":"user1","user_properties":{"plan":"pro"}}"#;
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let multipart = |key: &str, name: &str, value: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"{key}\"\r\n\r\nproduct-key\r\n--b\r\n\
             Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--b--\r\n"
        )
    };
    let of_parts = ("content-type", "multipart/form-data; boundary=b");
    for (path, header, body) in [
        (
            "/",
            FORM,
            format!("checksum=1&client=product-key&e={}&upload_time=1700000000000&v=2", encoded(event)),
        ),
        ("/httpapi", FORM, format!("api_key=product-key&event={}", encoded(&event[1..event.len() - 1]))),
        ("/", of_parts, multipart("client", "e", event)),
        (
            "/httpapi",
            ("content-type", "application/json"),
            format!(r#"{{"api_key":"product-key","events":{event}}}"#),
        ),
    ] {
        let answer = relay.post(path, &[header], body).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "success"), "{path}");
    }
    for (header, body) in [
        (of_parts, multipart("api_key", "identification", user)),
        (FORM, format!("client=product-key&identification={}", encoded(user))),
    ] {
        let answer = relay.post("/identify", &[header], body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    relay.calls(6).await;
    // The answer names the real fault, and never calls a right key wrong.
    let answer = relay.post("/", &[FORM], "client=product-key&v=2").await;
    assert_eq!((answer.status.as_u16(), answer.json()["reason"].as_str()), (400, Some("door.field")));
    relay.stop().await;
}

/// Amplitude's Swift SDK looks for these words.
#[tokio::test]
async fn a_wrong_amplitude_key_is_repeated_to_its_sender() {
    let relay = TestRelay::usual().await;
    for (path, body) in [
        ("/2/httpapi", r#"{"api_key":"wrong-1","events":[]}"#),
        ("/identify", "api_key=wrong-1&identification=%7B%7D"),
        ("/", "client=wrong-1&e=%5B%5D"),
    ] {
        let answer = relay.post(path, &[], body).await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"], "Invalid API key: wrong-1", "{path}");
    }
    relay.stop().await;
}
