//! Formats the output of `map` for a terminal: each event with its calls, warnings and reasons.

use std::io::Write;

use serde_json::Value as Json;

use super::EventOutput;
use crate::event::DecodeResult;
use crate::json::Value;
use crate::plain::one_line;

/// One title per event, such as `track "Report Created" by me`.
pub(super) fn titles(decoded: &DecodeResult<'_>) -> Vec<String> {
    let DecodeResult::Events(events) = decoded else { return Vec::new() };
    let title = |event: &crate::event::Event<'_>| {
        let text = |key: &str| event.value.get(key).and_then(Value::as_str);
        let label = text("event").or_else(|| text("name"));
        let who = text("userId").or_else(|| text("groupId"));
        let kind = text("type").unwrap_or("event").to_owned();
        let label = label.map_or_else(String::new, |label| format!(" {label:?}"));
        kind + &label + &who.map_or_else(String::new, |who| format!(" by {who:?}"))
    };
    events.iter().filter(|event| !event.derived).map(title).collect()
}

pub(super) fn write(
    out: &mut impl Write,
    number: usize,
    titles: &[String],
    shown: &EventOutput<'_>,
) -> anyhow::Result<()> {
    writeln!(out, "{number}. {}", if titles.is_empty() { "event".to_owned() } else { titles.join(", ") })?;
    for request in &shown.requests {
        let (path, destination, mapping) = (request.path, request.destination, one_line(request.mapping));
        writeln!(out, "   POST {path} to {destination}, by the mapping {mapping}")?;
        let body = Value::parse(request.body.get()).map_err(|error| anyhow::anyhow!("{error}"))?;
        indent(out, 6, &serde_json::to_string_pretty(&body)?)?;
        if !request.warnings.is_empty() {
            writeln!(out, "      warning: {}", one_line(request.warnings))?;
        }
    }
    for refusal in shown.rejected {
        let mapping =
            if refusal.mapping.is_empty() { String::new() } else { format!(" by {}", refusal.mapping) };
        let reason = format!("rejected{mapping}: {} {}", refusal.field, refusal.reason);
        writeln!(out, "   {}", one_line(&reason))?;
    }
    shown.skipped.iter().try_for_each(|why| writeln!(out, "   skipped: {why}"))?;
    for event in shown.explain.iter().flatten() {
        explain(out, &serde_json::from_str(event.get())?)?;
    }
    Ok(writeln!(out)?)
}

/// Explains for one event why each mapping matched or not, and what each field became.
fn explain(out: &mut impl Write, explained: &Json) -> anyhow::Result<()> {
    let text = |value: &Json| one_line(value.as_str().unwrap_or_default());
    for mapping in explained["mappings"].as_array().into_iter().flatten() {
        let (name, origin) = (text(&mapping["mapping"]), text(&mapping["origin"]));
        let is_match = if mapping["matched"] == true { "matches" } else { "does not match" };
        writeln!(out, "   mapping {name} ({origin}) {is_match}: {}", text(&mapping["trigger"]))?;
        for reason in mapping["unmatched"].as_array().into_iter().flatten() {
            writeln!(out, "      {}", text(reason))?;
        }
        for field in mapping["fields"].as_array().into_iter().flatten() {
            let given = field.get("sent").or_else(|| field.get("value"));
            let value = given.map_or_else(String::new, Json::to_string);
            let reason = text(&field["reason"]);
            let line =
                format!("{:<14} {:<9} {value}  {reason}", text(&field["field"]), text(&field["outcome"]));
            writeln!(out, "      {}", line.trim_end())?;
        }
    }
    Ok(())
}

fn indent(out: &mut impl Write, columns: usize, text: &str) -> std::io::Result<()> {
    text.lines().try_for_each(|line| writeln!(out, "{:columns$}{line}", ""))
}

#[cfg(test)]
mod tests {
    use super::super::{EventOutput, Mapper, shown};
    use super::*;
    use crate::config::{Config, Environment};

    /// Returns the text that a terminal shows for one document.
    fn text(document: &str, explain: bool) -> String {
        let config = Config::load(None, &Environment::new("/no", [("ACCOIL_API_KEY", "key")])).unwrap();
        let mapper = Mapper::of(&config, "segment").unwrap();
        let (mut headings, mut explanations) = (Vec::new(), Vec::new());
        let plan = mapper.look(document, |decoded| {
            headings.extend(titles(decoded));
            explanations.extend(mapper.explain(decoded));
        });
        let shown: EventOutput<'_> = shown(&plan, explain.then_some(explanations)).unwrap();
        let mut out = Vec::new();
        write(&mut out, 1, &headings, &shown).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_terminal_shows_calls_and_reasons_to_read() {
        let track = r#"{"type":"track","event":"Report\u001b[2J Created","userId":"me","timestamp":"2026-01-02T03:04:05Z"}"#;
        insta::assert_snapshot!(text(track, false), @r#"
        1. track "Report\u{1b}[2J Created" by "me"
           POST /v2/track to accoil, by the mapping Track Calls
              {
                "userId": "me",
                "event": "Report\u001b[2J Created",
                "timestamp": "2026-01-02T03:04:05Z"
              }
        "#);
        let group = r#"{"type":"group","userId":"me","groupId":"g","timestamp":"2026-01-02T03:04:05Z","traits":{"mrr":99.5}}"#;
        insta::assert_snapshot!(text(group, false), @r#"
        1. group by "me"
           POST /v2/group to accoil, by the mapping Group Calls
              {
                "groupId": "g",
                "userId": "me",
                "traits": {
                  "mrr": 99.5
                },
                "timestamp": "2026-01-02T03:04:05Z"
              }
              warning: mrr is not a whole number of cents: if it is in dollars, set mrr_unit = "dollars" on the destination
        "#);
        insta::assert_snapshot!(text(r#"{"type":"identify","traits":{},"timestamp":"2026-01-02T03:04:05Z"}"#, true), @r#"
        1. identify
           rejected by Identify Calls: userId is required and must be a string, but `$.userId` is missing, null, empty or blank in this event
           mapping Identify Calls (preset segment) matches: type = "identify"
              userId         refused     is required and must be a string, but `$.userId` is missing, null, empty or blank in this event
              email          absent
              name           absent
              role           absent
              accountStatus  absent
              createdAt      absent
              traits         kept      {}
              timestamp      kept      "2026-01-02T03:04:05Z"
              groupId        absent
           mapping Page Calls (preset segment) does not match: type = "page"
              type = "page" does not hold: the event has "identify" there
           mapping Track Calls (preset segment) does not match: type = "track"
              type = "track" does not hold: the event has "identify" there
           mapping Screen Calls (preset segment) does not match: type = "screen"
              type = "screen" does not hold: the event has "identify" there
           mapping Group Calls (preset segment) does not match: type = "group"
              type = "group" does not hold: the event has "identify" there
           mapping Amplitude Identify Calls (preset amplitude) does not match: type = "identify"
              it is for amplitude sources; this one is segment
           mapping Amplitude Page Calls (preset amplitude) does not match: type = "page"
              it is for amplitude sources; this one is segment
              type = "page" does not hold: the event has "identify" there
           mapping Amplitude Track Calls (preset amplitude) does not match: type = "track"
              it is for amplitude sources; this one is segment
              type = "track" does not hold: the event has "identify" there
           mapping Amplitude Screen Calls (preset amplitude) does not match: type = "screen"
              it is for amplitude sources; this one is segment
              type = "screen" does not hold: the event has "identify" there
           mapping Amplitude Group Calls (preset amplitude) does not match: type = "group"
              it is for amplitude sources; this one is segment
              type = "group" does not hold: the event has "identify" there
        "#);
    }
}
