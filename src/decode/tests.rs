//! The decode stage by its public door: every fixture, every kind of fault, and what must hold for any input.

use std::fmt::Write as _;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::*;
use crate::event::Event;

const LIMITS: Limits = Limits { event_bytes: 32_768, events: 2_000, depth: 64 };

const FORMS: [Form; 7] = [
    Form::SegmentWebhook,
    Form::SegmentCall(EventType::Track),
    Form::SegmentBatch,
    Form::AmplitudeStream,
    Form::AmplitudeUpload,
    Form::AmplitudeIdentify,
    Form::AmplitudeGroupIdentify,
];

fn received_at() -> DateTime<Utc> {
    "2024-01-15T10:30:02Z".parse().unwrap()
}

fn settings(form: Form) -> SourceSettings {
    SourceSettings::new(match form {
        Form::SegmentWebhook | Form::SegmentCall(_) | Form::SegmentBatch => Anonymous::Reject,
        _ => Anonymous::Skip,
    })
}

/// The outcome of each item, or the one error.
fn decoded_with(form: Form, body: &str, source: &SourceSettings, limits: Limits) -> Vec<String> {
    let context = Context { received_at: received_at(), source, limits };
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
        Decoded::Events(events) => {
            events.iter().map(|event| event.value.to_string()).collect::<Vec<_>>().join("\n")
        }
        Decoded::Skipped(reason) => format!("skipped: {reason}"),
        Decoded::Rejected(Violation { field, reason }) => format!("rejected: {field}: {reason}"),
    }
}

/// The one event that the body's one item stands for.
fn only_event(form: Form, body: &str) -> Value<'static> {
    let [text] = <[String; 1]>::try_from(decoded(form, body)).unwrap();
    Value::parse(&text).unwrap().into_owned()
}

fn fixture(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/events");
    std::fs::read_to_string(root.join(path)).unwrap()
}

/// A fixture's folder is its form; a call's file begins with its type.
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

/// One line an event: what it is, about whom and which group, and when.
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
fn every_fixture_becomes_what_it_stands_for() {
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
        let context = Context { received_at: received_at(), source: &source, limits: LIMITS };
        writeln!(seen, "{folder}/{file}").unwrap();
        for item in decode(form, &body, context).unwrap() {
            match &item.outcome {
                Decoded::Events(events) => {
                    events.iter().for_each(|event| writeln!(seen, "  {}", summary(event)).unwrap());
                }
                _ => writeln!(seen, "  {}", outcome(&item)).unwrap(),
            }
        }
    }
    insta::assert_snapshot!(seen, @"");
}
