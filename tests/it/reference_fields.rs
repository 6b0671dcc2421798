//! Compares strict validation with Segment's published engine (`tests/reference`), for the field table and for random
//! events.
//!
//! `ACCOIL_RELAY_SEED` repeats a run, `ACCOIL_RELAY_CASES` sets its length. Integers beyond 2^53 keep all their
//! digits here, unlike in JavaScript, and are not generated.

use accoil_relay::event::{Dialect, Event};
use accoil_relay::json::Value;
use accoil_relay::mapping::{Action, Field, Format, Mapping, Mappings, Type};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::json;

use crate::reference::ask;

#[test]
fn the_field_table_agrees_with_segment() {
    let table: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../fixtures/fields.json")).unwrap();
    let cases: Vec<serde_json::Value> = table
        .iter()
        .map(|case| {
            let field = json!({ "type": case["type"], "format": case["format"], "multiple": case["multiple"] });
            json!({ "fields": { "v": described(field) }, "mapping": { "v": { "@path": "$.v" } }, "event": { "v": case["given"] } })
        })
        .collect();
    for (case, answer) in table.iter().zip(answers(&cases)) {
        let theirs = match (answer.get("output"), &answer["output"]["v"]) {
            (None, _) => json!("must be"),
            (Some(output), _) if output.get("v").is_none() => json!("absent"),
            (Some(_), value) => value.clone(),
        };
        let result = match case["strict"].as_str() {
            Some(text) if text.starts_with("must be") => json!("must be"),
            _ => case["strict"].clone(),
        };
        assert!(same(&result, &theirs), "{case}\nSegment: {answer}");
    }
}

#[test]
fn random_events_give_the_payload_that_segment_gives() {
    let seed = number("ACCOIL_RELAY_SEED").unwrap_or_else(fresh_seed);
    let count = number("ACCOIL_RELAY_CASES").unwrap_or(5_000);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner =
        TestRunner::new_with_rng(ProptestConfig::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let mappings = Mappings::load(&[accoil_relay::fault::LocatedText::unplaced("segment")], ".".as_ref())
        .unwrap_or_else(|_| unreachable!());
    let mappings: Vec<&Mapping> = mappings.iter().collect();
    let strategy = (0..mappings.len(), event());
    let events: Vec<(&Mapping, serde_json::Value)> = (0..count)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .map(|(index, event)| (mappings[index], event))
        .collect();
    let cases: Vec<serde_json::Value> = events
        .iter()
        .map(|(mapping, event)| json!({ "fields": fields(mapping.action), "mapping": defaults(mapping.action), "event": event }))
        .collect();
    let mut valid = 0;
    for ((mapping, event), answer) in events.iter().zip(answers(&cases)) {
        let ours = ours(mapping, &event.to_string());
        let agree = match (&ours, answer.get("output")) {
            (Ok(ours), Some(theirs)) => same(ours, theirs),
            (Err(_), None) => true,
            _ => false,
        };
        valid += u64::from(ours.is_ok());
        assert!(
            agree,
            "ACCOIL_RELAY_SEED={seed}\n{} {event}\nours: {ours:?}\nSegment: {answer}",
            mapping.name
        );
    }
    assert!(valid > count / 10, "seed {seed}: only {valid} of {count} were valid, too few for a result");
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn fresh_seed() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().subsec_nanos().into()
}

/// Returns the mapped fields of the payload, or why there is none.
fn ours(mapping: &Mapping, event: &str) -> Result<serde_json::Value, String> {
    let event = Event {
        value: Value::parse(event).unwrap(),
        received_at: "2024-01-15T10:00:00Z".parse().unwrap(),
        derived: false,
        warnings: Vec::new(),
    };
    let payload =
        mapping.payload(&event, Dialect::Segment, true).map_err(|violations| format!("{violations:?}"))?;
    let keys = mapping.action.fields.iter().map(|field| &field.key);
    let values = keys.filter_map(|key| Some((key.clone(), serde_json::to_value(payload.get(key)?).unwrap())));
    Ok(serde_json::Value::Object(values.collect()))
}

fn answers(cases: &[serde_json::Value]) -> Vec<serde_json::Value> {
    let texts: Vec<String> = cases.iter().map(ToString::to_string).collect();
    let cases: Vec<Value<'_>> = texts.iter().map(|text| Value::parse(text).unwrap()).collect();
    ask("fields.mjs", cases.iter()).iter().map(|answer| serde_json::from_str(answer).unwrap()).collect()
}

/// Returns the action's own fields as the engine's input fields.
fn fields(action: &Action) -> serde_json::Value {
    let kind = |field: &Field| match field.kind {
        Type::String => "string",
        Type::Number => "number",
        Type::Integer => "integer",
        Type::Boolean => "boolean",
        Type::Object => "object",
    };
    let format = |field: &Field| {
        field.format.map(|format| if format == Format::Email { "email" } else { "date-time" })
    };
    own_fields(action)
        .map(|field| {
            let input = json!({ "type": kind(field), "format": format(field), "required": field.required });
            (field.key.clone(), described(input))
        })
        .collect()
}

/// Returns the default mapping of Segment's destination, which `mappings/segment.toml` must equal.
fn defaults(action: &Action) -> serde_json::Value {
    let trait_of = |key: &str| match (action.slug.as_str(), key) {
        (
            "group" | "identify",
            "name" | "email" | "role" | "accountStatus" | "createdAt" | "status" | "plan" | "mrr",
        ) => {
            format!("$.traits.{key}")
        }
        _ => format!("$.{key}"),
    };
    own_fields(action).map(|field| (field.key.clone(), json!({ "@path": trait_of(&field.key) }))).collect()
}

fn own_fields(action: &Action) -> impl Iterator<Item = &Field> {
    action.fields.iter().filter(|field| field.dialect.is_none() && !field.extension)
}

/// Adds what the engine requires and removes nulls.
fn described(mut input: serde_json::Value) -> serde_json::Value {
    let members = input.as_object_mut().unwrap();
    members.retain(|_, value| !value.is_null());
    members.insert("label".to_owned(), json!("a field"));
    members.insert("description".to_owned(), json!("a field"));
    input
}

/// Compares deeply, numbers by their value.
fn same(one: &serde_json::Value, other: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (one, other) {
        (Number(one), Number(other)) => one.as_f64() == other.as_f64(),
        (Array(one), Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        (Object(one), Object(other)) => {
            one.len() == other.len() && one.iter().all(|(key, a)| other.get(key).is_some_and(|b| same(a, b)))
        }
        _ => one == other,
    }
}

/// Generates any value, often close to what fields accept.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|bool| json!(bool)),
        (-1000..1000i32).prop_map(|number| json!(number)),
        (-1e22..1e22f64).prop_map(|number| json!(number)),
        (-10..10i32).prop_map(|number| json!(f64::from(number) / 4.0)),
        "\\PC{0,6}".prop_map(|text| json!(text)),
        "[ \u{a0}\u{feff}\u{85}]?[+-]?(Infinity|0[xob][0-9a-f]{0,3}|[0-9]{0,3}[.]?[0-9]{0,2}(e[+-]?[0-9]{1,3})?)[ \n]?"
            .prop_map(|text| json!(text)),
        email().prop_map(|text| json!(text)),
        time().prop_map(|text| json!(text)),
    ];
    scalar.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| json!(items)),
            prop::collection::hash_map("[a-c]", inner, 0..3).prop_map(|members| json!(members)),
        ]
    })
}

fn email() -> &'static str {
    "[a-zA-Z0-9!#'._+-]{1,5}(@[a-z0-9.-]{1,4}|@[a-z][a-z-]?)?([.][a-z0-9_-]{1,3}){0,2}"
}

fn time() -> &'static str {
    "(2023-(0[1-9]|1[0-3])-(0[1-9]|[123][0-9])|2024-02-29|0000-02-29|2023-5-1)([Tt  \u{a0}\u{3000}_]|  )([01][0-9]|2[0-4]):[0-6][0-9]:(60|[0-5][0-9]|[0-9])([.,][0-9]{0,4})?(Z|z|[+-][0-9]{2}|[+-][0-9]{2}:?[0-9]{2}|)( )?"
}

/// Generates mostly valid values, so that whole events are often valid.
fn mostly(
    wanted: impl Strategy<Value = serde_json::Value> + 'static,
) -> impl Strategy<Value = serde_json::Value> {
    prop_oneof![6 => wanted, 1 => value()]
}

fn event() -> impl Strategy<Value = serde_json::Value> {
    let text = || mostly("[a-z]{1,4}".prop_map(|text| json!(text)));
    let moment = || {
        mostly(prop_oneof![
            "2023-0[1-9]-[12][0-9][Tt ]1[0-9]:[0-5][0-9]:[0-5][0-9]([.][0-9]{1,4})?(Z|)"
                .prop_map(|text| json!(text)),
            time().prop_map(|text| json!(text)),
        ])
    };
    let traits = (moment(), mostly(email().prop_map(|text| json!(text))), text(), value(), value(), value()).prop_map(
        |(created_at, email, name, plan, mrr, role)| {
            json!({ "createdAt": created_at, "email": email, "name": name, "plan": plan, "mrr": mrr, "role": role, "status": role })
        },
    );
    (text(), text(), text(), text(), moment(), mostly(traits)).prop_map(|(user, group, event, name, timestamp, traits)| {
        json!({ "userId": user, "groupId": group, "event": event, "name": name, "timestamp": timestamp, "traits": traits })
    })
}
