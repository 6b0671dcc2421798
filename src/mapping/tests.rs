//! Tests of the stage through its public functions: fields by a table, files with their faults, presets, payloads.

use std::borrow::Cow;
use std::path::Path;

use proptest::prelude::*;
use serde::Deserialize;

use super::field::CheckResult;
use super::*;
use crate::event::{Dialect, Violation};
use crate::fault::{Fault, LocatedText};
use crate::json::Value;

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn load(names: &[&str]) -> Result<Mappings, Vec<Fault>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mappings");
    Mappings::load(&names.iter().copied().map(LocatedText::unplaced).collect::<Vec<_>>(), &folder)
}

fn lines<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn event(text: &str) -> Event<'_> {
    let received_at = "2024-01-15T10:00:00.007Z".parse().unwrap();
    Event { value: Value::parse(text).unwrap(), received_at, derived: false, warnings: Vec::new() }
}

/// Formats a payload as one line: the fields, then warnings or violations.
fn outcome(mapping: &Mapping, event: &str, dialect: Dialect, strict: bool) -> String {
    let listed = |violations: Vec<Violation>| -> String {
        violations
            .into_iter()
            .map(|Violation { field, reason, .. }| ["\n  ", &field, ": ", &reason].concat())
            .collect()
    };
    let event = self::event(event);
    match mapping.payload(&event, dialect, strict) {
        Ok(payload) => {
            let keys = mapping.action.fields.iter().map(|field| field.key.as_str());
            let values: Vec<_> =
                keys.filter_map(|key| payload.get(key).map(|value| format!("{key}={value}"))).collect();
            [values.join(" "), listed(payload.warnings)].concat()
        }
        Err(violations) => ["refused".to_owned(), listed(violations)].concat(),
    }
}

fn mapping<'m>(mappings: &'m Mappings, name: &str) -> &'m Mapping {
    mappings.iter().find(|mapping| *mapping.name == *name).unwrap()
}

fn field(kind: Type, format: Option<Format>, multiple: bool) -> Field {
    let text = String::new;
    Field {
        key: text(),
        label: text(),
        kind,
        required: false,
        multiple,
        format,
        description: text(),
        default: None,
        dialect: None,
        extension: false,
    }
}

#[test]
fn fields_are_read_as_segment_reads_them() {
    #[derive(Deserialize)]
    struct Case {
        r#type: Type,
        format: Option<Format>,
        #[serde(default)]
        multiple: bool,
        given: serde_json::Value,
        strict: serde_json::Value,
        /// Same as `strict` if the file has no value.
        lenient: Option<serde_json::Value>,
        /// A valid date-time in the v2 dialect.
        utc: Option<serde_json::Value>,
    }

    let text = fixture("fields.json");
    for case in serde_json::from_str::<Vec<Case>>(&text).unwrap() {
        let given = case.given.to_string();
        let field = field(case.r#type, case.format, case.multiple);
        let check = |strict| match field.check(Cow::Owned(Value::parse(&given).unwrap()), strict) {
            CheckResult::Absent => serde_json::json!("absent"),
            CheckResult::Valid(value) | CheckResult::Converted(value, _) => {
                serde_json::to_value(&*value).unwrap()
            }
            CheckResult::Invalid(reason) | CheckResult::Placeholder(reason) => serde_json::json!(reason),
        };
        let (strict, lenient) = (check(true), check(false));
        let loose =
            |value: &serde_json::Value| value.as_f64().map_or_else(|| value.to_string(), |n| n.to_string());
        assert_eq!(loose(&strict), loose(&case.strict), "{:?} {given} strict", case.r#type);
        let expected = case.lenient.as_ref().unwrap_or(&case.strict);
        assert_eq!(loose(&lenient), loose(expected), "{:?} {given} lenient", case.r#type);
        if let Some(expected) = case.utc {
            assert_eq!(utc(case.given.as_str().unwrap()).as_deref(), expected.as_str(), "{given}");
        }
    }
}

fn json() -> impl Strategy<Value = Value<'static>> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| Value::Number(number.into())),
        any::<String>().prop_map(Value::from),
        "[0-9]{0,4}-?[0-9]{2}-?[0-9]{2}[Tt \u{a0}é]?[0-9:.+Z-]{0,20}".prop_map(Value::from),
        "[+-]?[0-9xobeE._a-f]{0,9}".prop_map(Value::from),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec(("[a-c]", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_checked_value_has_its_type_and_passes_the_check_again(value in json(), strict: bool, multiple: bool) {
        for (kind, format) in [
            (Type::String, None),
            (Type::String, Some(Format::DateTime)),
            (Type::String, Some(Format::Email)),
            (Type::Number, None),
            (Type::Integer, None),
            (Type::Boolean, None),
            (Type::Object, None),
        ] {
            let field = field(kind, format, multiple);
            let (CheckResult::Valid(once) | CheckResult::Converted(once, _)) = field.check(Cow::Borrowed(&value), strict) else {
                continue;
            };
            prop_assert!(multiple || kind.holds(&once) || once.is_null());
            if let (false, Some(text), Some(format)) = (multiple, once.as_str(), format) {
                prop_assert!(format.accepts(text));
                prop_assert!(utc(text).is_none_or(|utc| self::utc(&utc).as_deref() == Some(&*utc)));
            }
            if let (false, CheckResult::Valid(twice)) = (multiple, field.check(Cow::Borrowed(&once), strict)) {
                prop_assert_eq!(&once, &twice);
            }
        }
    }
}

#[test]
fn the_embedded_tables_are_sound() {
    action::parse(include_str!("../../mappings/actions.toml"))
        .map(|actions| assert_eq!(actions.len(), 6))
        .unwrap();
    let mappings = load(&["segment", "amplitude"]).unwrap_or_else(|faults| panic!("{}", lines(&faults)));
    assert_eq!(mappings.iter().count(), 10);
    assert_eq!(lines(&mappings.warnings), "");
    for mapping in &mappings {
        assert_eq!(mapping.trigger.to_string(), mapping.action.trigger);
    }
}

const EVENTS: [&str; 5] = [
    r#"{"type":"identify","userId":"u1","timestamp":"2023-05-12T10:00:00+02:00","context":{"groupId":"g1"},
        "traits":{"email":"a@b.co","name":"Ada","createdAt":1683878400,"zip":null}}"#,
    r#"{"type":"group","userId":"u1","groupId":7,"anonymousId":"","timestamp":"2023-05-12T08:00:00Z",
        "traits":{"name":"Acme","mrr":"$99","plan":["pro"],"createdAt":"2021-03-15"}}"#,
    r#"{"type":"track","event":"Report Created","userId":"u1","timestamp":"2023-05-12T08:00:00Z",
        "properties":{"n":5},"groupTraits":[{"groupId":"g1","traits":{}}]}"#,
    r#"{"type":"page","name":"","category":"Docs","userId":"u1"}"#,
    r#"{"type":"screen","anonymousId":"a1","timestamp":"yesterday"}"#,
];

#[test]
fn payloads_of_the_presets() {
    let mappings = load(&["segment", "amplitude"]).unwrap();
    let mut printed = Vec::new();
    for (text, kind) in
        EVENTS.iter().flat_map(|text| [(text, SourceKind::Segment), (text, SourceKind::Amplitude)])
    {
        for mapping in mappings.iter().filter(|mapping| mapping.matches(kind, &event(text))) {
            let v2 = outcome(mapping, text, Dialect::V2, false);
            let strict = outcome(mapping, text, Dialect::Segment, true);
            printed.push(format!("{}\n v2: {v2}\n segment, strict: {strict}", mapping.name));
        }
    }
    insta::assert_snapshot!(lines(&printed), @r#"
    Identify Calls
     v2: userId="u1" email="a@b.co" name="Ada" createdAt="2023-05-12T08:00:00Z" traits={"email":"a@b.co","name":"Ada","createdAt":1683878400,"zip":null} timestamp="2023-05-12T10:00:00+02:00" groupId="g1"
      createdAt: was a number in another form; it is sent as RFC 3339
     segment, strict: refused
      createdAt: must be an ISO 8601 date-time such as 2023-05-12T08:00:00Z, but is a number
    Amplitude Identify Calls
     v2: userId="u1" email="a@b.co" name="Ada" createdAt="2023-05-12T08:00:00Z" traits={"email":"a@b.co","name":"Ada","createdAt":1683878400,"zip":null} timestamp="2023-05-12T10:00:00+02:00" groupId="g1"
      createdAt: was a number in another form; it is sent as RFC 3339
     segment, strict: refused
      createdAt: must be an ISO 8601 date-time such as 2023-05-12T08:00:00Z, but is a number
    Group Calls
     v2: userId="u1" groupId="7" name="Acme" createdAt="2021-03-15T00:00:00Z" plan="pro" traits={"name":"Acme","mrr":"$99","plan":["pro"],"createdAt":"2021-03-15"} timestamp="2023-05-12T08:00:00Z"
      createdAt: was a string in another form; it is sent as RFC 3339
      mrr: was left out: it must be a number, but is a string
     segment, strict: refused
      createdAt: must be an ISO 8601 date-time such as 2023-05-12T08:00:00Z, but is a string of another form
      mrr: must be a number, but is a string
    Amplitude Group Calls
     v2: userId="u1" groupId="7" name="Acme" createdAt="2021-03-15T00:00:00Z" plan="pro" traits={"name":"Acme","mrr":"$99","plan":["pro"],"createdAt":"2021-03-15"} timestamp="2023-05-12T08:00:00Z"
      createdAt: was a string in another form; it is sent as RFC 3339
      mrr: was left out: it must be a number, but is a string
     segment, strict: refused
      createdAt: must be an ISO 8601 date-time such as 2023-05-12T08:00:00Z, but is a string of another form
      mrr: must be a number, but is a string
    Track Calls
     v2: event="Report Created" userId="u1" timestamp="2023-05-12T08:00:00Z"
     segment, strict: event="Report Created" userId="u1" timestamp="2023-05-12T08:00:00Z"
    Amplitude Track Calls
     v2: event="Report Created" userId="u1" timestamp="2023-05-12T08:00:00Z" groupTraits=[{"groupId":"g1","traits":{}}]
     segment, strict: event="Report Created" userId="u1" timestamp="2023-05-12T08:00:00Z" groupTraits=[{"groupId":"g1","traits":{}}]
    Page Calls
     v2: userId="u1" timestamp="2024-01-15T10:00:00.007Z" event="Viewed Docs Page"
      timestamp: is missing; the time of receipt is sent instead
     segment, strict: refused
      timestamp: is required and must be a string, but `$.timestamp` is missing, null, empty or blank in this event
    Amplitude Page Calls
     v2: userId="u1" timestamp="2024-01-15T10:00:00.007Z" event="Viewed Docs Page"
      timestamp: is missing; the time of receipt is sent instead
     segment, strict: refused
      timestamp: is required and must be a string, but `$.timestamp` is missing, null, empty or blank in this event
    Screen Calls
     v2: timestamp="2024-01-15T10:00:00.007Z"
      timestamp: cannot be read; the time of receipt is sent instead
     segment, strict: refused
      timestamp: must be an ISO 8601 date-time such as 2023-05-12T08:00:00Z, but is a string of another form
    Amplitude Screen Calls
     v2: timestamp="2024-01-15T10:00:00.007Z"
      timestamp: cannot be read; the time of receipt is sent instead
     segment, strict: refused
      timestamp: must be an ISO 8601 date-time such as 2023-05-12T08:00:00Z, but is a string of another form
    "#);
}

#[test]
fn a_mapping_pasted_from_segment_equals_its_preset() {
    let (own, pasted) = (load(&["segment"]).unwrap(), load(&["segment-presets.json"]).unwrap());
    assert_eq!(lines(&pasted.warnings), "");
    for (own, pasted) in own.iter().zip(&pasted) {
        assert_eq!(
            (&own.name, own.enabled, own.source, own.trigger.to_string(), &own.action.slug),
            (&pasted.name, pasted.enabled, pasted.source, pasted.trigger.to_string(), &pasted.action.slug),
        );
        for event in EVENTS {
            for (dialect, strict) in [(Dialect::V2, false), (Dialect::Segment, true)] {
                assert_eq!(outcome(own, event, dialect, strict), outcome(pasted, event, dialect, strict));
            }
        }
    }
    assert_eq!(own.iter().count(), pasted.iter().count());
}

#[test]
fn segments_api_answers_are_read_as_they_are() {
    let mappings = load(&["segment-api.json"]).unwrap();
    insta::assert_snapshot!(lines(&mappings.warnings), @"
    segment-api.json:16:11: action track has no field anonymousId; it is ignored, as at Segment
    segment-api.json:28:33: no event has `id`; did you mean $.properties.id?
    segment-api.json:29:35: no event has `at`; did you mean $.properties.at?
    ");
    let groups = mapping(&mappings, "Accounts from properties");
    assert!(!groups.enabled);
    let track = r#"{"type":"track","timestamp":"2023-05-12T08:00:00Z","properties":{"account":"g7"}}"#;
    assert_eq!(
        outcome(groups, track, Dialect::V2, false),
        r#"groupId="g7" timestamp="2023-05-12T08:00:00Z""#
    );
}

#[test]
fn every_mistake_is_reported_with_its_place() {
    let faults_of = |names: &[&str]| load(names).err().map(|faults| lines(&faults)).unwrap_or_default();
    insta::assert_snapshot!(faults_of(&["mistakes.toml"]), @r#"
    mistakes.toml:1:1: a mapping file has no key sorce; did you mean source?
    mistakes.toml:2:10: source must be "segment" or "amplitude"
    mistakes.toml:6:11: enabled must be true or false
    mistakes.toml:7:11: trigger: no event has the type "trak"; did you mean "track"? (types are: identify, group, track, page, screen, alias)
    mistakes.toml:11:1: action track has no field evnt; did you mean event?
    mistakes.toml:12:12: @pat is not a directive; did you mean @path?
    mistakes.toml:13:1: an object with a directive has no other key, but here are @path, @template
    mistakes.toml:17:1: a mapping has no key triger; did you mean trigger?
    mistakes.toml:18:19: trigger: this text is never closed: end it with '
    mistakes.toml:19:10: there is no action trakc; did you mean track?
    mistakes.toml:22:8: name must be a non-empty string, but is an empty string
    mistakes.toml:23:11: trigger must be a non-empty string, but is a number
    mistakes.toml:25:47: @tempalte is not a directive; did you mean @template?
    mistakes.toml:25:78: needs `exists` or `blank`: a directive, or a value other than "", 0, false and null
    mistakes.toml:28:8: another mapping of this destination has the same name: choose another
    "#);
    insta::assert_snapshot!(faults_of(&["mistakes.json"]), @r"
    mistakes.json:5:34: trigger: this text is never closed: end it with '
    mistakes.json:9:5: a mapping must be an object, but is a number
    mistakes.json:10:76: there is no action trackk; did you mean track?
    mistakes.json:10:97: mapping must be an object: the action's fields, each with its value or directive, but is an array
    ");
    insta::assert_snapshot!(faults_of(&["segmnt", "missing.toml", "segment", "segment-presets.json"]), @r#"
    mappings: "segmnt" is neither a preset (segment, amplitude) nor a path ending in .toml or .json; did you mean segment?
    mappings: the file "missing.toml" cannot be read: No such file or directory (os error 2): check the path, which is relative to the configuration file, and its permissions
    "#);
}

#[test]
fn a_destination_has_fifty_mappings_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = |index| {
        format!("[[mappings]]\nname = 'm{index}'\ntrigger = 'type = \"page\"'\naction = 'postToAccoil'\n")
    };
    let load = |count: usize| {
        std::fs::write(folder.path().join("many.toml"), (0..count).map(mapping).collect::<String>()).unwrap();
        Mappings::load(&["segment", "many.toml"].map(LocatedText::unplaced), folder.path())
    };
    assert_eq!(load(45).map(|mappings| mappings.iter().count()).ok(), Some(50));
    insta::assert_snapshot!(lines(&load(60).err().unwrap_or_default()), @"many.toml:181:1: this is mapping 51: a destination can have 50 at most");
}

#[test]
fn mappings_are_found_in_every_shape_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let own = r#"{"name":"a","trigger":"type = \"track\"","action":"postToAccoil"}"#;
    let pasted =
        r#"{"name":"b","subscribe":"type = \"track\"","partnerAction":"postToAccoil","mapping":{},"id":"1"}"#;
    let exported = r#"{"name":"c","trigger":"type = \"track\"","actionSlug":"postToAccoil","enabled":null}"#;
    let (segment, amplitude) = (Some(SourceKind::Segment), Some(SourceKind::Amplitude));
    for (text, expected) in [
        (own.to_owned(), vec![None]),
        (pasted.to_owned(), vec![segment]),
        (format!("[{pasted},{own},{exported}]"), vec![segment, None, segment]),
        (format!(r#"{{"mappings":[{own}],"source":"amplitude","$schema":"x"}}"#), vec![amplitude]),
        (
            format!(r#"{{"presets":[{pasted}],"slug":"actions-accoil-analytics","actions":{{}}}}"#),
            vec![segment],
        ),
        (format!(r#"{{"data":{{"subscriptions":[{exported}],"pagination":{{}}}}}}"#), vec![segment]),
        (format!(r#"{{"data":[{exported}]}}"#), vec![segment]),
    ] {
        std::fs::write(folder.path().join("a.json"), &text).unwrap();
        let loaded = Mappings::load(&[LocatedText::unplaced("a.json")], folder.path())
            .unwrap_or_else(|faults| panic!("{text}: {}", lines(&faults)));
        assert_eq!(loaded.iter().map(|mapping| mapping.source).collect::<Vec<_>>(), expected, "{text}");
        assert!(loaded.iter().all(|mapping| mapping.enabled) && loaded.warnings.is_empty(), "{text}");
    }
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let faults_of = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        let loaded = Mappings::load(&[LocatedText::unplaced(name)], folder.path());
        loaded.err().map(|faults| lines(&faults)).unwrap_or_default()
    };
    let deep = format!("{{\"mappings\":{}", "[".repeat(100_000));
    insta::assert_snapshot!(faults_of("deep.json", &deep), @"deep.json:1:76: nested too deeply");
    insta::assert_snapshot!(faults_of("deep.toml", &format!("a = {}", "[".repeat(100_000))), @"deep.toml:1:85: this is not TOML (cannot recurse further; max recursion depth met): fix this line first; text goes in double quotes, a section's name in [brackets]");
    insta::assert_snapshot!(faults_of("large.toml", &" ".repeat(2 << 20)), @r#"mappings: the file "large.toml" cannot be read: it is larger than 1048576 bytes: check the path, which is relative to the configuration file, and its permissions"#);
    insta::assert_snapshot!(faults_of("cut.json", "{\"mappings\":[\n  {"), @"cut.json:2:3: EOF while parsing an object");
    insta::assert_snapshot!(faults_of("two.toml", "mappings = 1\nmappings = \n"), @"two.toml:2:1: this is not TOML (duplicate key): fix this line first; text goes in double quotes, a section's name in [brackets]");
    insta::assert_snapshot!(faults_of("empty.toml", ""), @"empty.toml:1:1: contains no list of mappings: write [[mappings]], or paste Segment's JSON");
    insta::assert_snapshot!(faults_of("empty.json", "\u{feff}{}"), @"empty.json:1:1: contains no list of mappings: write [[mappings]], or paste Segment's JSON");
    insta::assert_snapshot!(faults_of("none.json", "[]"), @"");
}

#[test]
fn the_schema_knows_every_action_and_field() {
    let schema = schema().to_string();
    for action in Action::all() {
        assert!(schema.contains(&format!("\"const\":\"{}\"", action.slug)), "{}", action.slug);
        for field in &action.fields {
            assert!(
                schema.contains(&format!("\"{}\":{{\"$ref\":\"#/$defs/value\",\"description\"", field.key)),
                "{}",
                field.key
            );
        }
    }
}

#[test]
fn presets_have_no_warning() {
    for preset in ["segment", "amplitude"] {
        assert_eq!(lines(&load(&[preset]).unwrap().warnings), "", "{preset}");
    }
}

#[test]
fn a_likely_mistake_is_a_warning_with_its_place() {
    insta::assert_snapshot!(lines(&load(&["hardly-meant.toml"]).unwrap().warnings), @r#"
    hardly-meant.toml:5:11: trigger: a track event has no `traits`; did you mean context.traits.plan?
    hardly-meant.toml:9:9: is sent as the text "$.event", not as the value there: write { "@path" = "$.event" }, or { "@literal" = "$.event" } if the text is meant
    hardly-meant.toml:10:22: no event has `userID`; did you mean $.userId?
    hardly-meant.toml:11:25: no event has `time`; did you mean $.timestamp?
    hardly-meant.toml:12:28: is sent as the text "$['context']['groupId']", not as the value there: write { "@path" = "$.context.groupId" }, or { "@literal" = "$['context']['groupId']" } if the text is meant
    hardly-meant.toml:12:73: is sent as the text "traits.plan", not as the value there: write { "@path" = "$.traits.plan" }, or { "@literal" = "traits.plan" } if the text is meant
    hardly-meant.toml:12:108: no event has `propertes`; did you mean $.properties.seats?
    hardly-meant.toml:13:32: a track event has no `traits`; did you mean $.context.traits.email?
    hardly-meant.toml:13:68: no event has `contxt`; did you mean $.context.ip?
    hardly-meant.toml:13:101: no event has `plan`; did you mean $.properties.plan?
    hardly-meant.toml:13:129: the context of events usually has no `groupID`; did you mean $.context.groupId?
    hardly-meant.toml:13:168: `event` is a text: it has no `name`
    hardly-meant.toml:13:202: no event has `page`; did you mean $.context.page.url?
    hardly-meant.toml:13:234: no event has `user_properties`; did you mean $.context.traits.role?
    hardly-meant.toml:13:278: a track event has no `groupId`; did you mean $.context.groupId?
    hardly-meant.toml:21:25: {{$.name}} is always empty: a template has no `$.`; write {{name}}
    hardly-meant.toml:22:26: no event has `usrId`; did you mean userId?
    hardly-meant.toml:23:8: is sent as the text "{{name}}": only `@template` fills in {{…}}; write { "@template" = "{{name}}" }
    hardly-meant.toml:24:13: timestamp must be an ISO 8601 date-time such as 2023-05-12T08:00:00Z, but is a string of another form: every event is refused
    hardly-meant.toml:24:29: names no {{path}}, so it is always the text "$.timestamp": write {{timestamp}}
    hardly-meant.toml:25:36: names no {{path}}, so it is always the text "${properties.title}": write {{properties.title}}
    hardly-meant.toml:25:79: no event has `propertees`; did you mean properties.title?
    hardly-meant.toml:25:170: is sent as the text "$.name", not as the value there: write { "@path" = "$.name" }, or { "@literal" = "$.name" } if the text is meant
    hardly-meant.toml:25:377: is sent as the text "properties.title", not as the value there: write { "@path" = "$.properties.title" }, or { "@literal" = "properties.title" } if the text is meant
    hardly-meant.toml:25:423: no event has `proprties`; did you mean $.properties.items?
    hardly-meant.toml:25:484: this is a text, not the directive @path: write it without quotes
    hardly-meant.toml:33:11: groupId is required, but this is empty: every event is refused
    hardly-meant.toml:35:8: name must be a string, but is an object: it is left out of every request
    hardly-meant.toml:36:13: createdAt must be an ISO 8601 date-time such as 2023-05-12T08:00:00Z, but is a string of another form: it is left out of every request
    hardly-meant.toml:37:8: plan is sent as the text "plan": write { "@path" = "$.plan" } for the event's own value
    hardly-meant.toml:39:7: mrr must be a number, but is a string: it is left out of every request
    hardly-meant.toml:40:10: traits must be an object, but is a string: it is left out of every request
    "#);
}
