//! Bad input gets a clear answer, is kept as a reject, and never costs its neighbours.

use std::fmt::Write as _;

use super::{AMPLITUDE, ROUTES, SEGMENT, exchange, shown};
use crate::relay::TestRelay;

/// Bodies that cannot be read at all, for any route.
fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", Vec::new()),
        ("blank", b" \n ".to_vec()),
        ("truncated", br#"{"type":"track","userId":"u1","eve"#.to_vec()),
        ("open brackets", "[".repeat(200_000).into_bytes()),
        ("open objects", r#"{"a":"#.repeat(80_000).into_bytes()),
        ("NUL bytes", vec![0; 100]),
        ("a raw NUL in a text", b"{\"type\":\"tr\0ack\"}".to_vec()),
        ("not UTF-8", vec![0xff, 0xfe, b'{', 0, b'}', 0]),
        ("a number", b"7".to_vec()),
        ("a text", br#""track""#.to_vec()),
        ("null", b"null".to_vec()),
        ("two documents", b"{} {}".to_vec()),
    ]
}

/// The exact texts of the answer on each kind of route. The beginning of the body is kept as a reject.
#[tokio::test]
async fn an_unreadable_body_is_refused_with_the_place_and_kept() {
    let relay = TestRelay::usual().await;
    let mut text = String::new();
    let (mut rejects, mut kept) = (Vec::new(), Vec::new());
    for (name, body) in unreadable() {
        for (path, key) in [("/segment", SEGMENT), ("/v1/batch", SEGMENT), ("/2/httpapi", AMPLITUDE)] {
            writeln!(text, "{name} {path}: {}", shown(&relay.post(path, &[key], body.clone()).await))
                .unwrap();
            kept.push(String::from_utf8_lossy(&body).chars().take(100).collect::<String>());
        }
    }
    insta::assert_snapshot!(text, @r#"
    empty /segment: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a value at line 1, column 0; send one complete JSON document","success":false}
    empty /v1/batch: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a value at line 1, column 0; send one complete JSON document","success":false}
    empty /2/httpapi: 400 {"code":400,"error":"the body is not valid JSON: EOF while parsing a value at line 1, column 0; send one complete JSON document","reason":"unreadable"}
    blank /segment: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a value at line 2, column 1; send one complete JSON document","success":false}
    blank /v1/batch: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a value at line 2, column 1; send one complete JSON document","success":false}
    blank /2/httpapi: 400 {"code":400,"error":"the body is not valid JSON: EOF while parsing a value at line 2, column 1; send one complete JSON document","reason":"unreadable"}
    truncated /segment: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a string at line 1, column 34; send one complete JSON document","success":false}
    truncated /v1/batch: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a string at line 1, column 34; send one complete JSON document","success":false}
    truncated /2/httpapi: 400 {"code":400,"error":"the body is not valid JSON: EOF while parsing a string at line 1, column 34; send one complete JSON document","reason":"unreadable"}
    open brackets /segment: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a list at line 1, column 200000; send one complete JSON document","success":false}
    open brackets /v1/batch: 400 {"code":"unreadable","error":"the body has the wrong shape at line 1, column 0: expected an object with an array `batch`","success":false}
    open brackets /2/httpapi: 400 {"code":400,"error":"the body has the wrong shape at line 1, column 0: expected an object with an array `events`","reason":"unreadable"}
    open objects /segment: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a value at line 1, column 400000; send one complete JSON document","success":false}
    open objects /v1/batch: 400 {"code":"unreadable","error":"the body is not valid JSON: EOF while parsing a value at line 1, column 400000; send one complete JSON document","success":false}
    open objects /2/httpapi: 400 {"code":400,"error":"the body is not valid JSON: EOF while parsing a value at line 1, column 400000; send one complete JSON document","reason":"unreadable"}
    NUL bytes /segment: 400 {"code":"unreadable","error":"the body is not valid JSON: expected value at line 1, column 1; send one complete JSON document","success":false}
    NUL bytes /v1/batch: 400 {"code":"unreadable","error":"the body is not valid JSON: expected value at line 1, column 1; send one complete JSON document","success":false}
    NUL bytes /2/httpapi: 400 {"code":400,"error":"the body is not valid JSON: expected value at line 1, column 1; send one complete JSON document","reason":"unreadable"}
    a raw NUL in a text /segment: 400 {"code":"unreadable","error":"the body is not valid JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1, column 11; send one complete JSON document","success":false}
    a raw NUL in a text /v1/batch: 400 {"code":"unreadable","error":"the body is not valid JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1, column 11; send one complete JSON document","success":false}
    a raw NUL in a text /2/httpapi: 400 {"code":400,"error":"the body is not valid JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1, column 11; send one complete JSON document","reason":"unreadable"}
    not UTF-8 /segment: 400 {"code":"unreadable","error":"the body is not UTF-8 from its byte 0 on; send JSON as UTF-8","success":false}
    not UTF-8 /v1/batch: 400 {"code":"unreadable","error":"the body is not UTF-8 from its byte 0 on; send JSON as UTF-8","success":false}
    not UTF-8 /2/httpapi: 400 {"code":400,"error":"the body is not UTF-8 from its byte 0 on; send JSON as UTF-8","reason":"unreadable"}
    a number /segment: 400 {"code":"unreadable","error":"the body has the wrong shape at line 1, column 1: expected an event as an object","success":false}
    a number /v1/batch: 400 {"code":"unreadable","error":"the body has the wrong shape at line 1, column 1: expected an object with an array `batch`","success":false}
    a number /2/httpapi: 400 {"code":400,"error":"the body has the wrong shape at line 1, column 1: expected an object with an array `events`","reason":"unreadable"}
    a text /segment: 400 {"code":"unreadable","error":"the body has the wrong shape at line 1, column 7: expected an event as an object","success":false}
    a text /v1/batch: 400 {"code":"unreadable","error":"the body has the wrong shape at line 1, column 7: expected an object with an array `batch`","success":false}
    a text /2/httpapi: 400 {"code":400,"error":"the body has the wrong shape at line 1, column 7: expected an object with an array `events`","reason":"unreadable"}
    null /segment: 400 {"code":"unreadable","error":"the body has the wrong shape at line 1, column 4: expected an event as an object","success":false}
    null /v1/batch: 400 {"code":"unreadable","error":"the body has the wrong shape at line 1, column 4: expected an object with an array `batch`","success":false}
    null /2/httpapi: 400 {"code":400,"error":"the body has the wrong shape at line 1, column 4: expected an object with an array `events`","reason":"unreadable"}
    two documents /segment: 400 {"code":"unreadable","error":"the body is not valid JSON: trailing characters at line 1, column 4; send one complete JSON document","success":false}
    two documents /v1/batch: 400 {"code":"unreadable","error":"the body is not valid JSON: trailing characters at line 1, column 4; send one complete JSON document","success":false}
    two documents /2/httpapi: 400 {"code":400,"error":"the body is not valid JSON: trailing characters at line 1, column 4; send one complete JSON document","reason":"unreadable"}
    "#);
    for reject in relay.rejects().await.into_iter().rev() {
        assert!(reject.reasons.starts_with(r#"[{"mapping":"","field":"","reason":"#), "{reject:?}");
        rejects.push(String::from_utf8_lossy(&reject.original).chars().take(100).collect::<String>());
    }
    assert_eq!(rejects, kept);
    relay.stop().await;
}

#[tokio::test]
async fn no_route_fails_on_an_unreadable_body() {
    let relay = TestRelay::usual().await;
    for (path, key, good) in ROUTES {
        for (name, body) in unreadable() {
            let answer = relay.post(path, &[key, ("content-type", "application/json")], body).await;
            let shown = shown(&answer);
            assert!(answer.status.is_client_error() && shown.contains("error"), "{name} {path}: {shown}");
        }
        assert_eq!(relay.post(path, &[key], good).await.status, 200, "{path} goes on");
    }
    relay.stop().await;
}

const GOOD: &str = r#"{"type":"track","userId":"u1","event":"Good","timestamp":"2026-01-02T03:04:05Z"}"#;

/// Items that are refused one by one, with the reason that the answer and the reject give.
fn bad_items() -> Vec<Vec<u8>> {
    let deep = format!(
        r#"{{"type":"track","properties":{}{}}}"#,
        r#"{"a":"#.repeat(70),
        "1".to_owned() + &"}".repeat(70)
    );
    let items = [
        "7",
        r#""text""#,
        "null",
        "[]",
        "{}",
        r#"{"type":"video","userId":"u1"}"#,
        r#"{"type":7,"userId":"u1"}"#,
        r#"{"type":"track","userId":{"id":1},"event":"E"}"#,
        r#"{"type":"identify","userId":"","traits":{}}"#,
        r#"{"type":"group","userId":"u1"}"#,
        &deep,
    ];
    items.map(|item| item.as_bytes().to_vec()).into()
}

fn list(items: &[Vec<u8>]) -> Vec<u8> {
    let mut list = format!("[{GOOD}").into_bytes();
    for item in items {
        list.push(b',');
        list.extend_from_slice(item);
    }
    list.extend_from_slice(format!(",{GOOD}]").as_bytes());
    list
}

/// Each refused item is kept as it was sent, with its reasons; the good items on both sides are delivered.
#[tokio::test]
async fn a_bad_item_never_costs_its_neighbours() {
    let relay = TestRelay::usual().await;
    let items = bad_items();
    let answer = relay.post("/segment", &[SEGMENT], list(&items)).await;
    let mut reasons = String::new();
    for reason in answer.json()["reasons"].as_array().unwrap() {
        writeln!(reasons, "{reason}").unwrap();
    }
    insta::assert_snapshot!(reasons, @r#"
    {"code":"reject.unreadable","field":"","index":1,"mapping":"","reason":"the event is of kind number; send each as a JSON object"}
    {"code":"reject.unreadable","field":"","index":2,"mapping":"","reason":"the event is of kind string; send each as a JSON object"}
    {"code":"reject.unreadable","field":"","index":3,"mapping":"","reason":"the event is of kind null; send each as a JSON object"}
    {"code":"reject.unreadable","field":"","index":4,"mapping":"","reason":"the event is of kind array; send each as a JSON object"}
    {"code":"reject.event_type","field":"type","index":5,"mapping":"","reason":"is missing; it must be identify, track, page, screen, group or alias, in lower case"}
    {"code":"reject.event_type","field":"type","index":6,"mapping":"","reason":"is not one of the spec's event types; it must be identify, track, page, screen, group or alias, in lower case"}
    {"code":"reject.event_type","field":"type","index":7,"mapping":"","reason":"is of kind number; it must be identify, track, page, screen, group or alias, in lower case"}
    {"code":"reject.type","field":"userId","index":8,"mapping":"Track Calls","reason":"must be a string, but is an object"}
    {"code":"reject.missing","field":"userId","index":9,"mapping":"Identify Calls","reason":"is required and must be a string, but `$.userId` is missing, null, empty or blank in this event"}
    {"code":"reject.missing","field":"groupId","index":10,"mapping":"Group Calls","reason":"is required and must be a string, but `$.groupId` is missing, null, empty or blank in this event"}
    {"code":"reject.unreadable","field":"","index":11,"mapping":"","reason":"the event cannot be read: nested too deeply at line 1, column 345 of the event; fix the value there"}
    "#);
    relay.calls(2).await;
    let kept: Vec<_> = relay.rejects().await.into_iter().rev().map(|reject| reject.original).collect();
    let expected: Vec<_> =
        items.iter().map(|item| String::from_utf8_lossy(item).into_owned().into_bytes()).collect();
    assert_eq!(kept, expected);

    let batch = [b"{\"batch\":".to_vec(), list(&items), b"}".to_vec()].concat();
    let sdk = relay.post("/v1/batch", &[SEGMENT], batch).await.json();
    assert_eq!((&sdk["accepted"], &sdk["rejected"]), (&2.into(), &items.len().into()), "{sdk}");
    assert_eq!(sdk["success"], true, "after a refusal an SDK would send the good events again: {sdk}");
    relay.calls(4).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_bad_item_never_costs_its_neighbours_of_amplitude() {
    let relay = TestRelay::usual().await;
    let good = r#"{"user_id":"u1","event_type":"Good","time":1767323045000}"#;
    let bad = [
        "7",
        "[]",
        "{}",
        r#"{"user_id":"u1","event_type":7}"#,
        r#"{"user_id":"u1","event_type":"E","time":1767323045000,"event_properties":{"n":1e999}}"#,
        r#"{"user_id":"u1","event_type":"E","time":1767323045000,"groups":7,"group_properties":"x","user_properties":[]}"#,
    ];
    let events = format!("[{good},{},{good}]", bad.join(","));
    let mut text = String::new();
    for (path, body) in [
        ("/amplitude", events.clone()),
        ("/amplitude", format!(r#"{{"events":{events}}}"#)),
        ("/2/httpapi", format!(r#"{{"events":{events}}}"#)),
    ] {
        writeln!(text, "{path}: {}", exchange(&relay, path, &[AMPLITUDE], body, 4).await).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    /amplitude: 200 {"accepted":4,"code":200,"duplicates":0,"events_ingested":8,"payload_size_bytes":353,"reasons":[{"code":"reject.unreadable","field":"","index":1,"mapping":"","reason":"the event is of kind number; send each as a JSON object"},{"code":"reject.unreadable","field":"","index":2,"mapping":"","reason":"the event is of kind array; send each as a JSON object"},{"code":"reject.event_type","field":"event_type","index":3,"mapping":"","reason":"is missing; send the event's name as `event_type`"},{"code":"reject.event_type","field":"event_type","index":4,"mapping":"","reason":"is of kind number; send the event's name as text"}],"rejected":4,"server_upload_time":"TIME","skipped":0,"warnings":[{"index":5,"mapping":"Amplitude Track Calls","warning":"event_properties.n was a number beyond the range of a double; it became null"},{"index":6,"mapping":"Amplitude Track Calls","warning":"groups was left out: it is of kind number; send an object; group_properties was left out: it is a text, but not a JSON object; send an object"}]}
      -> /v2/track {"userId":"u1","event":"Good","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"Good","timestamp":"2026-01-02T03:04:05.000Z"}
    /amplitude: 200 {"accepted":4,"code":200,"duplicates":0,"events_ingested":8,"payload_size_bytes":364,"reasons":[{"code":"reject.unreadable","field":"","index":1,"mapping":"","reason":"the event is of kind number; send each as a JSON object"},{"code":"reject.unreadable","field":"","index":2,"mapping":"","reason":"the event is of kind array; send each as a JSON object"},{"code":"reject.event_type","field":"event_type","index":3,"mapping":"","reason":"is missing; send the event's name as `event_type`"},{"code":"reject.event_type","field":"event_type","index":4,"mapping":"","reason":"is of kind number; send the event's name as text"}],"rejected":4,"server_upload_time":"TIME","skipped":0,"warnings":[{"index":5,"mapping":"Amplitude Track Calls","warning":"event_properties.n was a number beyond the range of a double; it became null"},{"index":6,"mapping":"Amplitude Track Calls","warning":"groups was left out: it is of kind number; send an object; group_properties was left out: it is a text, but not a JSON object; send an object"}]}
      -> /v2/track {"userId":"u1","event":"Good","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"Good","timestamp":"2026-01-02T03:04:05.000Z"}
    /2/httpapi: 200 {"accepted":4,"code":200,"duplicates":0,"events_ingested":8,"payload_size_bytes":364,"reasons":[{"code":"reject.unreadable","field":"","index":1,"mapping":"","reason":"the event is of kind number; send each as a JSON object"},{"code":"reject.unreadable","field":"","index":2,"mapping":"","reason":"the event is of kind array; send each as a JSON object"},{"code":"reject.event_type","field":"event_type","index":3,"mapping":"","reason":"is missing; send the event's name as `event_type`"},{"code":"reject.event_type","field":"event_type","index":4,"mapping":"","reason":"is of kind number; send the event's name as text"}],"rejected":4,"server_upload_time":"TIME","skipped":0,"warnings":[{"index":5,"mapping":"Amplitude Track Calls","warning":"event_properties.n was a number beyond the range of a double; it became null"},{"index":6,"mapping":"Amplitude Track Calls","warning":"groups was left out: it is of kind number; send an object; group_properties was left out: it is a text, but not a JSON object; send an object"}]}
      -> /v2/track {"userId":"u1","event":"Good","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05.000Z"}
      -> /v2/track {"userId":"u1","event":"Good","timestamp":"2026-01-02T03:04:05.000Z"}
    "#);
    relay.stop().await;
}

/// Odd input that can be read: the last of two equal keys counts, a number is an id, large numbers keep their digits, and a byte
/// order mark is not part of the text.
#[tokio::test]
async fn odd_input_is_read_as_it_is_meant() {
    let relay = TestRelay::usual().await;
    let mut text = String::new();
    for (path, key, body) in [
        (
            "/segment",
            SEGMENT,
            r#"{"type":"page","type":"track","userId":"a","userId":"b","event":"E","timestamp":"2026-01-02T03:04:05Z"}"#,
        ),
        (
            "/segment",
            SEGMENT,
            r#"{"type":"track","userId":42,"event":"E","timestamp":"2026-01-02T03:04:05Z"}"#,
        ),
        (
            "/segment",
            SEGMENT,
            r#"{"type":"track","userId":12345678901234567890,"event":"E","timestamp":"2026-01-02T03:04:05Z"}"#,
        ),
        (
            "/segment",
            SEGMENT,
            r#"{"type":"identify","userId":"u\u0000\ud83d\ude00","traits":{"n":0.1,"e":1e3,"big":9007199254740993},"timestamp":"2026-01-02T03:04:05Z"}"#,
        ),
        (
            "/segment",
            SEGMENT,
            concat!(
                "\u{feff}",
                r#"{"type":"track","userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05Z"}"#
            ),
        ),
        ("/amplitude", AMPLITUDE, r#"{"user_id":42,"event_type":"E","time":1767323045000}"#),
    ] {
        writeln!(text, "{}", exchange(&relay, path, &[key], body, 1).await).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"b","event":"E","timestamp":"2026-01-02T03:04:05Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"42","event":"E","timestamp":"2026-01-02T03:04:05Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"12345678901234567890","event":"E","timestamp":"2026-01-02T03:04:05Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/identify {"userId":"u\u0000😀","traits":{"n":0.1,"e":1000,"big":9007199254740993},"timestamp":"2026-01-02T03:04:05Z"}
    200 {"accepted":1,"duplicates":0,"rejected":0,"skipped":0,"success":true}
      -> /v2/track {"userId":"u1","event":"E","timestamp":"2026-01-02T03:04:05Z"}
    200 {"accepted":1,"code":200,"duplicates":0,"events_ingested":1,"payload_size_bytes":52,"rejected":0,"server_upload_time":"TIME","skipped":0}
      -> /v2/track {"userId":"42","event":"E","timestamp":"2026-01-02T03:04:05.000Z"}
    "#);
    relay.stop().await;
}

/// If the outbox cannot store, senders get 503 with `Retry-After`, and nothing of a post is stored.
#[tokio::test]
async fn a_closed_outbox_asks_senders_to_retry() {
    let relay = TestRelay::usual().await;
    relay.relay.outbox.close().await;
    let mut text = String::new();
    for (path, key, body) in [ROUTES[0], ROUTES[2], ROUTES[8], ROUTES[9]] {
        writeln!(text, "{path}: {}", shown(&relay.post(path, &[key], body).await)).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    /segment: 503 retry-after: 5 {"code":"door.failed","error":"the outbox could not store to disk and is closed until the relay is restarted; see its log","success":false}
    /v1/track: 503 retry-after: 5 {"code":"door.failed","error":"the outbox could not store to disk and is closed until the relay is restarted; see its log","success":false}
    /amplitude: 503 retry-after: 5 {"code":503,"error":"the outbox could not store to disk and is closed until the relay is restarted; see its log","reason":"door.failed"}
    /2/httpapi: 503 retry-after: 5 {"code":503,"error":"the outbox could not store to disk and is closed until the relay is restarted; see its log","reason":"door.failed"}
    "#);
    assert_eq!(relay.sandbox.total(), 0);
    relay.stop().await;
}
