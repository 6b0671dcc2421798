//! A published validator checks the JSON Schema of mapping files with files that load and files that do not.

use accoil_relay::json::Value;
use accoil_relay::mapping::schema;

use crate::docs_mappings;
use crate::reference::ask;

/// Returns a mapping with these members beside a name and a trigger.
fn file(rest: &str) -> String {
    format!(r#"{{"mappings":[{{"name":"a","trigger":"type = \"track\"",{rest}}}]}}"#)
}

fn from_toml(text: &str) -> String {
    toml::from_str::<serde_json::Value>(text).unwrap().to_string()
}

#[test]
fn the_schema_accepts_valid_files_and_refuses_mistakes() {
    let mut documents = vec![
        (true, from_toml(include_str!("../../mappings/segment.toml"))),
        (true, from_toml(include_str!("../../mappings/amplitude.toml"))),
        (true, file(r#""action":"postToAccoil","enabled":false"#)),
        (true, file(r#""action":"track","fields":{"event":{"@path":"$.event","_metadata":{}},"userId":5}"#)),
        (true, file(r#""action":"group","fields":{"traits":{"a":[{"@path":"$.b"}],"c":null}}"#)),
        (false, from_toml(include_str!("../fixtures/mappings/mistakes.toml"))),
        (false, file(r#""action":"trakc""#)),
        (false, file(r#""action":"track","fields":{"evnt":1}"#)),
        (false, file(r#""action":"track","fields":{"event":{"@pth":"$.event"}}"#)),
        (false, file(r#""action":"track","fields":{"event":{"@path":"$.event","@literal":1}}"#)),
        (false, file(r#""action":"track","fields":{"event":{"@path":"$.event","beside":1}}"#)),
        (false, file(r#""action":"group","fields":{"traits":{"a":[{"@pth":"$.b"}]}}"#)),
        (false, file(r#""action":"track","enabled":"yes""#)),
        (false, r#"{"mappings":[{"name":"a","action":"track"}]}"#.to_owned()),
        (false, r#"{"sorce":"segment","mappings":[]}"#.to_owned()),
        (false, format!(r#"{{"mappings":[{}]}}"#, vec!["{}"; 51].join(","))),
    ];
    documents.extend(docs_mappings::files().iter().map(|text| (true, from_toml(text))));
    let schema = schema().to_string();
    let cases: Vec<String> = documents
        .iter()
        .map(|(_, document)| format!(r#"{{"schema":{schema},"document":{document}}}"#))
        .collect();
    let cases: Vec<Value<'_>> = cases.iter().map(|case| Value::parse(case).unwrap()).collect();
    let answers = ask("schema.mjs", cases.iter());
    for ((valid, document), answer) in documents.iter().zip(answers) {
        assert!(answer.starts_with(&format!(r#"{{"valid":{valid}"#)), "{document}: {answer}");
    }
}
