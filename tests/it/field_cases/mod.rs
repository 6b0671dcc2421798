//! Inputs from the field: the output of real senders, exports and SDKs, each with the right result. The files are in
//! `tests/fixtures/field`; each test names its file.

mod map;
mod posts;

use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/field");

fn field(name: &str) -> String {
    std::fs::read_to_string(format!("{FOLDER}/{name}")).unwrap()
}

/// Returns the answers of `map` to the lines of a file.
fn mapped(arguments: &[&str], name: &str) -> Vec<Value> {
    let arguments = [&["map"], arguments].concat();
    crate::commands::answers(&arguments, &field(name))
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Formats an answer with one line per request: its path, body and warnings, or why there is none.
fn shown(answer: &Value) -> String {
    let mut lines = Vec::new();
    for request in answer["requests"].as_array().unwrap() {
        let warnings = request.get("warnings").and_then(Value::as_str).unwrap_or_default();
        let mut body = request["body"].clone();
        if let Some(time) = body["timestamp"].as_str()
            && is_recent(time)
        {
            body["timestamp"] = "RECEIVED".into();
        }
        lines.push(format!(
            "{} {body}{}{warnings}",
            request["path"].as_str().unwrap(),
            if warnings.is_empty() { "" } else { " ! " }
        ));
    }
    for refusal in answer["rejected"].as_array().unwrap() {
        lines.push(format!(
            "rejected {}: {}",
            refusal["field"].as_str().unwrap(),
            refusal["reason"].as_str().unwrap()
        ));
    }
    if let Some(why) = answer["skipped"].as_str() {
        lines.push(format!("skipped: {why}"));
    }
    lines.join("\n")
}

fn is_recent(time: &str) -> bool {
    let time: chrono::DateTime<chrono::Utc> = time.parse().unwrap();
    chrono::Utc::now().signed_duration_since(time) < chrono::TimeDelta::hours(1)
}

fn all(answers: &[Value]) -> String {
    answers.iter().map(shown).collect::<Vec<_>>().join("\n")
}
