//! `eval`: runs the mapping language alone. Each line of stdin is an event with a mapping or a trigger; each line of stdout is
//! the result that Segment's engine would give, or an error.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Subcommand;
use serde::Serialize;
use serde_json::value::RawValue;

use super::documents;
use crate::json::{MAX_DEPTH, Value};
use crate::mapping::directive::{self, Directive};
use crate::mapping::trigger::Trigger;

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Eval {
    /// Lines {"mapping":{…},"event":{…}} in, {"output":{…}} or {"error":"…"} out
    Mapping,
    /// Lines {"trigger":"…","event":{…}} in, {"matches":true|false} or {"error":"…"} out
    Trigger,
}

/// One line of stdout.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Output(Box<RawValue>),
    Matches(bool),
    Error(String),
}

/// Exits 0 after every line was answered. An error is an answer, too.
pub fn run(what: Eval) -> anyhow::Result<ExitCode> {
    let answer = match what {
        Eval::Mapping => mapping,
        Eval::Trigger => trigger,
    };
    documents::answer_each(&[], io::stdout().lock(), |line, out| {
        let answer = line.and_then(answer).unwrap_or_else(Answer::Error);
        serde_json::to_writer(&mut *out, &answer)?;
        Ok(out.write_all(b"\n")?)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn mapping(line: &str) -> Result<Answer, String> {
    let case = parse(line)?;
    let mapping = Directive::compile_mapping(member(&case, "mapping")?).map_err(|error| error.to_string())?;
    let output = directive::transform(&mapping, event(&case)?).map_err(|error| error.to_string())?;
    RawValue::from_string(output.to_string()).map(Answer::Output).map_err(|error| error.to_string())
}

fn trigger(line: &str) -> Result<Answer, String> {
    let case = parse(line)?;
    let text = member(&case, "trigger")?;
    let text = text.as_str().ok_or_else(|| format!("trigger must be a string (this is: {})", text.kind()))?;
    let trigger = Trigger::parse(text).map_err(|error| error.to_string())?;
    Ok(Answer::Matches(trigger.matches(event(&case)?)))
}

/// Allows one level more than for the mapping and the event inside.
fn parse(line: &str) -> Result<Value<'_>, String> {
    Value::parse_within(line, MAX_DEPTH + 1).map_err(|error| format!("the line is not JSON: {error}"))
}

fn member<'c>(case: &'c Value<'c>, key: &str) -> Result<&'c Value<'c>, String> {
    case.get(key)
        .ok_or_else(|| format!("the line has no {key}; a line holds a mapping or a trigger, and an event"))
}

fn event<'c>(case: &'c Value<'c>) -> Result<&'c Value<'c>, String> {
    let event = member(case, "event")?;
    match event.as_object() {
        Some(_) => Ok(event),
        None => Err(format!("event must be an object (this is: {})", event.kind())),
    }
}
