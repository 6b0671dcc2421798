//! Tests of the decode stage through its public functions: every fixture, every kind of fault. `properties` tests
//! what holds for any input.

mod properties;

use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, Utc};

use super::*;
use crate::event::Event;

const LIMITS: Limits = Limits { event_bytes: 32_768, events: 2_000, depth: 64 };

fn received_at() -> DateTime<Utc> {
    "2024-01-15T10:30:02Z".parse().unwrap()
}

fn settings(form: Form) -> SourceSettings {
    SourceSettings::new(match form {
        Form::SegmentWebhook | Form::SegmentCall(_) | Form::SegmentBatch => Anonymous::Reject,
        _ => Anonymous::Skip,
    })
}

/// Returns the outcome of each item, or the one error.
fn decoded_with(form: Form, body: &str, source: &SourceSettings, limits: Limits) -> Vec<String> {
    let context = Context { received_at: received_at(), source, limits, is_text_repaired: false };
    match decode(form, body, context) {
        Ok(items) => items.map(|item| outcome(&item)).collect(),
        Err(error) => vec![format!("error: {error}")],
    }
}

fn decoded(form: Form, body: &str) -> Vec<String> {
    decoded_with(form, body, &settings(form), LIMITS)
}

fn outcome(item: &Item<'_>) -> String {
    match &item.outcome {
        DecodeResult::Events(events) => {
            events.iter().map(|event| event.value.to_string()).collect::<Vec<_>>().join("\n")
        }
        DecodeResult::Skipped(reason) => format!("skipped: {reason}"),
        DecodeResult::Rejected(Violation { field, reason, .. }) => format!("rejected: {field}: {reason}"),
    }
}

/// Returns the one event that the body's one item becomes.
fn only_event(form: Form, body: &str) -> Value<'static> {
    let [text] = <[String; 1]>::try_from(decoded(form, body)).unwrap();
    Value::parse(&text).unwrap().into_owned()
}

fn fixture(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// A fixture's folder names its form. The name of a single call's file begins with its type.
fn form_of(folder: &str, file: &str) -> Form {
    match folder {
        "segment-webhook" => Form::SegmentWebhook,
        "segment-call" => Form::of_tracking_path(file.split('-').next().unwrap()).unwrap(),
        "segment-batch" => Form::SegmentBatch,
        "amplitude-stream" => Form::AmplitudeStream,
        "amplitude-upload" => Form::AmplitudeUpload,
        "amplitude-identify" => Form::AmplitudeIdentify,
        "amplitude-group-identify" => Form::AmplitudeGroupIdentify,
        other => panic!("no form for the folder {other}"),
    }
}

/// Describes an event in one line: what it is, its user and group, and its time.
fn summary(event: &Event<'_>) -> String {
    let text = |key: &str| event.value.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    let label = ["event", "name", "groupId"].into_iter().find_map(|key| event.value.get(key)?.as_str());
    let mark = if event.derived { "*" } else { "" };
    format!(
        "{mark}{} {:?} of {} at {}",
        text("type"),
        label.unwrap_or_default(),
        text("userId"),
        text("timestamp")
    )
}

#[test]
fn every_fixture_decodes_to_its_events() {
    let mut seen = String::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    let mut paths: Vec<_> = std::fs::read_dir(&root)
        .unwrap()
        .flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        let relative = path.strip_prefix(&root).unwrap();
        let (folder, file) =
            (relative.parent().unwrap().to_str().unwrap(), path.file_stem().unwrap().to_str().unwrap());
        let form = form_of(folder, file);
        let (body, source) = (std::fs::read_to_string(&path).unwrap(), settings(form));
        let context =
            Context { received_at: received_at(), source: &source, limits: LIMITS, is_text_repaired: false };
        writeln!(seen, "{folder}/{file}").unwrap();
        for item in decode(form, &body, context).unwrap() {
            match &item.outcome {
                DecodeResult::Events(events) => {
                    for event in events {
                        writeln!(seen, "  {}", summary(event)).unwrap();
                    }
                }
                _ => writeln!(seen, "  {}", outcome(&item)).unwrap(),
            }
        }
    }
    insta::assert_snapshot!(seen);
}

#[test]
fn the_seeds_group_traits() {
    let events = decoded(Form::AmplitudeStream, &fixture("amplitude-stream/track-group.json")).join("\n");
    let track = Value::parse(events.lines().last().unwrap()).unwrap();
    let expected = r#"[{"groupId":"210000","traits":{"domain":"accoil.com","name":"Released Import Test","group_type":"Account"}}]"#;
    assert_eq!(track.get("groupTraits").unwrap().to_string(), expected);
}

#[test]
fn an_amplitude_event_is_its_identify_its_group_and_itself() {
    let body = r#"{"event_type":"Report Created","user_id":7,"device_id":"d","time":1705314598123,"insert_id":"i",
        "event_properties":{"rows":3,"kept":true},"user_properties":{"$set":{"email":"jane@example.com"}},
        "groups":{"Account":["9","100000"],"Team":"55"},
        "group_properties":{"Account":{"9":{"name":"Nine"},"100000":{"name":"Big"}}},"platform":"Web"}"#;
    let source = SourceSettings {
        event_properties: vec!["kept".into(), "absent".into()],
        ..settings(Form::AmplitudeStream)
    };
    insta::assert_snapshot!(decoded_with(Form::AmplitudeStream, body, &source, LIMITS).join("\n"), @r#"
{"type":"identify","userId":"7","timestamp":"2024-01-15T10:29:58.123Z","traits":{"email":"jane@example.com"},"context":{"groupId":"100000"}}
{"type":"group","userId":"7","timestamp":"2024-01-15T10:29:58.123Z","groupId":"100000","traits":{"name":"Big","group_type":"Account"}}
{"type":"track","userId":"7","timestamp":"2024-01-15T10:29:58.123Z","event":"Report Created","properties":{"rows":3,"kept":true},"selected":{"kept":true},"groupTraits":[{"groupId":"100000","traits":{"name":"Big","group_type":"Account"}}],"messageId":"i","anonymousId":"d","context":{"groupId":"100000","traits":{"email":"jane@example.com"},"groups":{"Account":["9","100000"],"Team":"55"},"amplitude":{"event_type":"Report Created","user_id":7,"device_id":"d","time":1705314598123,"insert_id":"i","platform":"Web"}}}
"#);
    let preferring = SourceSettings { prefer_group_type: Some("Team".into()), ..source };
    let events = decoded_with(Form::AmplitudeStream, body, &preferring, LIMITS).join("\n");
    insta::assert_snapshot!(events.lines().nth(1).unwrap(), @r#"{"type":"group","userId":"7","timestamp":"2024-01-15T10:29:58.123Z","groupId":"55","traits":{"group_type":"Team"}}"#);
}

#[test]
fn an_sdk_event_gets_its_times_and_the_members_of_its_batch() {
    let body = r#"{"sentAt":"2024-01-15T10:31:00Z","context":{"ip":"1","library":{"name":"batch"}},"integrations":{"All":false},
        "batch":[{"type":"track","userId":"u","event":"A","timestamp":"2024-01-15T11:30:58+01:00","context":{"ip":"2"},"messageId":"m"}]}"#;
    insta::assert_snapshot!(only_event(Form::SegmentBatch, body), @r#"{"type":"track","userId":"u","event":"A","timestamp":"2024-01-15T10:30:00.000Z","context":{"ip":"2","library":{"name":"batch"}},"messageId":"m","integrations":{"All":false},"originalTimestamp":"2024-01-15T11:30:58+01:00","sentAt":"2024-01-15T10:31:00.000Z","receivedAt":"2024-01-15T10:30:02.000Z"}"#);
}

#[test]
fn a_fault_of_the_body_refuses_the_whole_body() {
    let brackets = "[".repeat(200_000);
    for (form, body, expected) in [
        (Form::SegmentWebhook, "", "not valid JSON: EOF while parsing a value at line 1, column 0"),
        (
            Form::SegmentWebhook,
            "{\"type\":\"tra",
            "not valid JSON: EOF while parsing a string at line 1, column 12",
        ),
        (Form::SegmentWebhook, "[{},\n{]", "not valid JSON: key must be a string at line 2, column 2"),
        (Form::SegmentWebhook, brackets.as_str(), "not valid JSON: EOF while parsing"),
        (Form::SegmentWebhook, "{\"a\":\"\u{0}\"}", "not valid JSON: control character"),
        (Form::SegmentWebhook, "{} {}", "not valid JSON: trailing characters at line 1, column 4"),
        (
            Form::SegmentWebhook,
            "\n \"a secret\"",
            "wrong shape at line 2, column 11: expected an event as an object",
        ),
        (
            Form::SegmentCall(EventType::Track),
            "[{}]",
            "wrong shape at line 1, column 0: expected an event as an object",
        ),
        (Form::SegmentBatch, "[]", "expected an object with an array `batch`"),
        (Form::SegmentBatch, "{\"events\":[]}", "expected an object with an array `batch`"),
        (
            Form::SegmentBatch,
            "{\"batch\":\"a secret\"}",
            "line 1, column 19: expected an object with an array `batch`",
        ),
        (
            Form::SegmentBatch,
            "{\"batch\":[],\"integrations\":[]}",
            "`integrations` of a batch must be objects",
        ),
        (Form::AmplitudeUpload, "{\"api_key\":\"k\"}", "expected an object with an array `events`"),
        (Form::AmplitudeStream, "{\"events\":[1,2,3,4]}", "more than 3 events, seen at line 1, column 19"),
    ] {
        let outcome = decoded_with(form, body, &settings(form), Limits { events: 3, ..LIMITS }).join("\n");
        assert!(outcome.starts_with("error: ") && outcome.contains(expected), "{body:.40}: {outcome}");
        assert!(!outcome.contains("secret"), "{outcome}");
    }
}

#[test]
fn a_bad_item_is_rejected_alone() {
    let (deep, long) = (
        format!("{{\"a\":{}{}}}", "[".repeat(90_000), "]".repeat(90_000)),
        format!("[\"{}\"]", "x".repeat(200_000)),
    );
    for (item, expected) in [
        (deep.as_str(), "cannot be read: nested too deeply at line 1, column 69 of the event"),
        (long.as_str(), "has 200004 bytes, more than the 200000 allowed"),
        ("null", "is of kind null; send each as a JSON object"),
        (r#"{"type":"Track"}"#, "rejected: type: is not one of the spec's event types"),
        (r#"{"type":5}"#, "rejected: type: is of kind number"),
        ("{}", "rejected: type: is missing"),
    ] {
        let limits = Limits { event_bytes: 200_000, ..LIMITS };
        let alone =
            decoded_with(Form::SegmentWebhook, item, &settings(Form::SegmentWebhook), limits).concat();
        let good = r#"{"type":"page","userId":"u"}"#;
        let body = format!("[{good}, {item} ,{good}]");
        let [first, faulty, last] = <[String; 3]>::try_from(decoded_with(
            Form::SegmentWebhook,
            &body,
            &settings(Form::SegmentWebhook),
            limits,
        ))
        .unwrap();
        assert!(faulty.starts_with("rejected: ") && faulty.contains(expected), "{faulty}");
        assert_eq!((first.as_str(), last.as_str()), (good, good));
        let is_body_fault = ["null", "{}", long.as_str()].contains(&item);
        assert!(is_body_fault || alone == faulty, "{alone}");
    }
}

#[test]
fn placeholder_user_ids_count_as_no_user() {
    let amplitude = |id: &str| {
        decoded(Form::AmplitudeStream, &format!(r#"{{"event_type":"A","user_id":{id}}}"#)).concat()
    };
    for id in ["null", "\"\"", "\" N/A \"", "0", "-1", "\"LMY47D\"", "true", "[\"u\"]"] {
        assert_eq!(amplitude(id), "skipped: no user id", "{id}");
    }
    for (id, expected) in [
        ("42", "42"),
        ("12345678901234567890", "12345678901234567890"),
        ("\"none@example.com\"", "none@example.com"),
    ] {
        assert_eq!(Value::parse(&amplitude(id)).unwrap().get("userId").unwrap().as_str(), Some(expected));
    }
    let rejecting =
        SourceSettings { user_id: "user_properties.email".into(), ..settings(Form::SegmentWebhook) };
    let upload = |event: &str| decoded_with(Form::AmplitudeStream, event, &rejecting, LIMITS).concat();
    assert!(upload(r#"{"event_type":"A","user_id":"u"}"#).starts_with("rejected: userId: is missing"));
    assert!(
        upload(r#"{"event_type":"$identify","user_properties":{"$set":{"email":"e"}}}"#)
            .contains(r#""userId":"e""#)
    );

    let skipping = settings(Form::AmplitudeStream);
    let segment = |event: &str| decoded_with(Form::SegmentWebhook, event, &skipping, LIMITS).concat();
    assert_eq!(segment(r#"{"type":"page","anonymousId":"a","userId":" "}"#), "skipped: no user id");
    assert!(segment(r#"{"type":"group","groupId":"g"}"#).contains("groupId"));
}

#[test]
fn event_types_are_chosen_by_the_source() {
    let source = SourceSettings {
        events: vec!["A".into(), "B".into()],
        exclude_events: vec!["B".into()],
        ..settings(Form::AmplitudeStream)
    };
    let body = r#"[{"event_type":"A","user_id":"u"},{"event_type":"B","user_id":"u"},{"event_type":"C","user_id":"u"},
        {"type":"track","event":"C","userId":"u"},{"event_type":"$identify","user_id":"u","user_properties":{"a":1}}]"#;
    let is_skipped: Vec<bool> = decoded_with(Form::AmplitudeStream, body, &source, LIMITS)
        .iter()
        .map(|outcome| outcome == "skipped: excluded by the source's settings")
        .collect();
    assert_eq!(is_skipped, [false, true, true, true, false]);
}

#[test]
fn ids_for_de_duplication() {
    let long = format!(r#"{{"messageId":"{}"}}"#, "x".repeat(257));
    for (form, body, expected) in [
        (Form::SegmentCall(EventType::Track), r#"{"messageId":"m"}"#, Some("m")),
        (Form::SegmentCall(EventType::Track), r#"{"messageId":12}"#, Some("12")),
        (Form::SegmentCall(EventType::Track), r#"{"messageId":" "}"#, None),
        (Form::SegmentCall(EventType::Track), long.as_str(), None),
        (Form::SegmentWebhook, r#"{"json":{"type":"track","messageId":"m"}}"#, Some("m")),
        (Form::AmplitudeStream, r#"{"uuid":"u","insert_id":"","$insert_id":null}"#, Some("u")),
        (Form::AmplitudeStream, r#"{"uuid":"u","insert_id":"i","$insert_id":"d"}"#, Some("d")),
    ] {
        let source = settings(form);
        let item = decode_item(
            form,
            body,
            None,
            Context { received_at: received_at(), source: &source, limits: LIMITS, is_text_repaired: false },
        );
        assert_eq!(item.message_id.as_deref(), expected, "{body}");
        assert_eq!(item.original, body);
    }
}

#[test]
fn the_write_key_and_the_signed_bytes_are_found_in_the_raw_body() {
    assert_eq!(body_key(r#"{"a":{"writeKey":"no"},"writeKey":"yes","batch":[1e999"#).as_deref(), Some("yes"));
    assert_eq!(body_key(r#"{"api_key":7,"api\u005fkey":"yes"}"#).as_deref(), Some("yes"));
    assert_eq!(body_key(r#"[{"writeKey":"no"}]"#), None);
    assert_eq!(first_element(" [ {\"a\": 1.0 } , broken"), Some("{\"a\": 1.0 }"));
    assert_eq!((first_element("[]"), first_element("{}"), first_element("[{")), (None, None, None));
    assert_eq!(unwrapped(r#"{ "json" : {"a": 1} }"#), Some(r#"{"a": 1}"#));
    assert_eq!(unwrapped(r#"{"type":"track"}"#), None);
}

#[test]
fn an_impossible_sent_at_corrects_nothing() {
    for (timestamp, sent_at, expected) in [
        ("2024-01-15T10:00:00Z", "garbage", "2024-01-15T10:00:00.000Z"),
        ("2024-01-15T10:00:00Z", "1970-01-01T00:00:00Z", "2024-01-15T10:00:00.000Z"),
        ("2024-01-15T10:00:00Z", "9999-01-01T00:00:00Z", "2024-01-15T10:00:00.000Z"),
        ("1970-01-01T00:01:00Z", "1970-01-01T00:02:00Z", "2024-01-15T10:29:02.000Z"),
        ("2010-01-15T10:00:00Z", "2024-01-15T10:30:00Z", "2010-01-15T10:00:02.000Z"),
        ("some day", "2024-01-15T10:30:00Z", "some day"),
    ] {
        let body = format!(r#"{{"timestamp":"{timestamp}","sentAt":"{sent_at}"}}"#);
        let event = only_event(Form::SegmentCall(EventType::Track), &body);
        assert_eq!(event.get("timestamp").unwrap().as_str(), Some(expected), "{body}");
        assert_eq!(event.get("originalTimestamp").unwrap().as_str(), Some(timestamp));
    }
}
