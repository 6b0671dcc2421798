//! What holds for any input: nothing panics, no item changes another, and the order of groups does not matter.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::super::*;
use super::{decoded, received_at};

const FORMS: [Form; 7] = [
    Form::SegmentWebhook,
    Form::SegmentCall(EventType::Track),
    Form::SegmentBatch,
    Form::AmplitudeStream,
    Form::AmplitudeUpload,
    Form::AmplitudeIdentify,
    Form::AmplitudeGroupIdentify,
];

/// Generates JSON of every kind, often with the keys and words that decoding looks for.
fn any_json() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "type",
        "track",
        "identify",
        "userId",
        "user_id",
        "timestamp",
        "sentAt",
        "context",
        "integrations",
        "json",
        "event_type",
        "$identify",
        "$groupidentify",
        "[Amplitude] Page Viewed",
        "groups",
        "group_properties",
        "groupTraits",
        "groupId",
        "traits",
        "user_properties",
        "$set",
        "$unset",
        "event_properties",
        "event_time",
        "time",
        "Account",
        "group_type",
        "group_value",
        "EMPTY",
        "2024-01-15T10:00:00Z",
        "-9999-01-01T00:00:00Z",
        "\\ud83d\\ude00",
    ]);
    let text = word.clone().prop_map(|word| format!("\"{word}\""));
    let number =
        prop_oneof![any::<i64>().prop_map(|n| n.to_string()), any::<f64>().prop_map(|n| format!("{n:e}"))];
    let leaf = prop_oneof![text, number, Just("null".to_owned()), Just("1e999".to_owned()), "\\PC{0,9}"];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        let member = (word.clone(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\":{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..8).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn no_input_panics(body in any_json(), noise in "\\PC*") {
        for form in FORMS {
            for body in [&body, &noise, &format!("{{\"batch\":[{body}],\"events\":[{body}],\"context\":{body}}}")] {
                decoded(form, body);
                body_key(body);
                first_element(body).and_then(unwrapped);
            }
        }
    }

    #[test]
    fn a_bad_item_never_changes_its_neighbours(bad in any_json().prop_filter("JSON", |text| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok())) {
        let good = r#"{"type":"track","userId":"u","event":"E","event_type":"E","user_id":"u"}"#;
        for (form, list) in [(Form::SegmentBatch, "batch"), (Form::AmplitudeUpload, "events")] {
            let alone = decoded(form, &format!("{{\"{list}\":[{good}]}}")).concat();
            let outcomes = decoded(form, &format!("{{\"{list}\":[{good},{bad},{good}]}}"));
            prop_assert_eq!(outcomes.len(), 3);
            prop_assert_eq!((&outcomes[0], &outcomes[2]), (&alone, &alone));
        }
    }

    #[test]
    fn the_primary_group_does_not_depend_on_the_order(ids in prop::collection::vec("[0-9a-z\u{1f600}\u{fffd}]{1,3}", 1..6)) {
        let list = |ids: &[String]| Value::Array(ids.iter().cloned().map(Value::from).collect());
        let (one, other) = ids.split_at(ids.len() / 2);
        let groups = |members: [(&'static str, &[String]); 2]| members.map(|(kind, ids)| (kind, list(ids))).into_iter().collect::<Object<'_>>();
        let (forth, back) = (groups([("Account", one), ("Team", other)]), groups([("Team", other), ("Account", one)]));
        let chosen = groups::primary(&forth, None).unwrap();
        prop_assert_eq!(&chosen, &groups::primary(&back, None).unwrap());
        prop_assert!(ids.iter().all(|id| chosen.id.encode_utf16().le(id.encode_utf16())));
    }

    #[test]
    fn the_corrected_time_is_receipt_minus_the_time_between_event_and_upload(ahead in -1_000_000_000_i64..1_000_000_000, age in 0..1_000_000_000_i64) {
        let sent = received_at() + TimeDelta::milliseconds(ahead);
        let original = sent - TimeDelta::milliseconds(age);
        let corrected = crate::times::corrected(original, sent, received_at());
        prop_assert_eq!(corrected, Some(received_at() - TimeDelta::milliseconds(age)));
    }
}
