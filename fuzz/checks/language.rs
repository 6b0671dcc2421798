//! Texts: triggers, paths, templates, JSON, and the bodies that senders post.

use accoil_relay::decode::{self, Anonymous, Context, EventType, Form, Limits, SourceSettings};
use accoil_relay::event::DecodeResult;
use accoil_relay::json::{MAX_DEPTH, Value, same_length};
use accoil_relay::mapping::directive::Directive;
use accoil_relay::mapping::trigger::Trigger;

const EVENT: &str = r#"{"type":"track","event":"Signed Up","userId":"u1","a":{"b":[{"c":1},"x"],"d e":null},
    "properties":{"n":5,"list":[1,2],"and":true,"s":"text é😀"},"context":{"page":{"url":"https://example.com/"}}}"#;

const FORMS: [Form; 7] = [
    Form::SegmentWebhook,
    Form::SegmentCall(EventType::Track),
    Form::SegmentBatch,
    Form::AmplitudeStream,
    Form::AmplitudeUpload,
    Form::AmplitudeIdentify,
    Form::AmplitudeGroupIdentify,
];

/// A trigger that parses prints as an equal one, and has failing conditions exactly if it does not match.
pub(crate) fn trigger(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(trigger) = Trigger::parse(text) else { return };
    assert_eq!(Trigger::parse(&trigger.to_string()).as_ref(), Ok(&trigger));
    let event = Value::parse(EVENT).expect("the event is JSON");
    assert_eq!(trigger.matches(&event), trigger.failing_conditions(&event).is_empty());
    let _ = (trigger.differences(), trigger.impossible(&["track"]));
}

/// A path, and a template, gives the same each time.
pub(crate) fn path(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let event = Value::parse(EVENT).expect("the event is JSON");
    for directive in ["@path", "@template"] {
        let written = [(directive, Value::from(text))].into_iter().collect();
        let Ok(directive) = Directive::compile(&Value::Object(written)) else { continue };
        assert_eq!(directive.resolve(&event), directive.resolve(&event));
    }
}

/// A liquid template gives the same each time.
pub(crate) fn liquid(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let event = Value::parse(EVENT).expect("the event is JSON");
    let written = [("@liquid", Value::from(text))].into_iter().collect();
    if let Ok(directive) = Directive::compile(&Value::Object(written)) {
        assert_eq!(directive.resolve(&event), directive.resolve(&event));
    }
}

/// The lenient reader reads everything that the strict reader reads, with the same result; written JSON is read as the same value.
pub(crate) fn json(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lenient = Value::parse_lenient(text, MAX_DEPTH);
    if let Ok(strict) = Value::parse(text) {
        let (same, replaced) = lenient.as_ref().expect("the lenient reader reads it too");
        assert_eq!((&strict, replaced.listed.len(), replaced.others), (same, 0, 0));
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok(), "serde_json reads it too");
    }
    if let Ok((value, _)) = &lenient {
        let written = write(value);
        let again = Value::parse(&written).expect("what is written is JSON");
        assert_eq!(write(&again), written);
    }
    if let Some(same) = same_length(text) {
        assert_eq!(same.len(), text.len());
    }
}

fn write(value: &Value<'_>) -> String {
    let mut written = Vec::new();
    value.write(&mut written);
    String::from_utf8(written).expect("JSON is UTF-8")
}

/// The first byte chooses the form of the body that follows. Every event is an object with a type.
pub(crate) fn decode(bytes: &[u8]) {
    let Some((form, body)) = bytes.split_first() else { return };
    let Ok(body) = std::str::from_utf8(body) else { return };
    let form = FORMS[usize::from(*form) % FORMS.len()];
    let context = Context {
        received_at: chrono::DateTime::UNIX_EPOCH,
        source: &SourceSettings::new(Anonymous::Reject),
        limits: Limits { event_bytes: 64 << 10, events: 100, depth: 64 },
        is_text_repaired: false,
    };
    let Ok(items) = decode::decode(form, body, context) else { return };
    for item in items {
        if let DecodeResult::Events(events) = item.outcome {
            assert!(events.iter().all(|event| event.value.get("type").and_then(Value::as_str).is_some()));
        }
    }
}
