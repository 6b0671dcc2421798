//! `events show`: what became of an event, why, and what to do; each call with its attempts.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::Value;

use super::format;
use crate::cli::print_message;
use crate::cli::relay::{RelayApi, RelayRefusal, path_with};
use crate::event_id::EventId;
use crate::plain::{one_line, plain};

/// The most events that are listed for a user.
const LISTED: &str = "20";

pub(super) async fn run(id: &str, json: bool, relay: &RelayApi) -> anyhow::Result<ExitCode> {
    let (event, others) = match find(id, relay).await {
        Ok(found) => found,
        Err(error) => match error.downcast_ref::<RelayRefusal>() {
            Some(refused) if refused.code() == "not_here" => return missing(refused, json),
            _ => return Err(error),
        },
    };
    let mut out = io::stdout().lock();
    if json {
        writeln!(out, "{event}")?;
        return Ok(ExitCode::SUCCESS);
    }
    write!(out, "{}", readable(&event))?;
    if !others.is_empty() {
        writeln!(out, "\nThe events of {}, the newest first; the first is shown above:\n", plain(id, 80))?;
        others.iter().try_for_each(|event| writeln!(out, "{}", format::line(event)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the event, and, if there are several, all with this user, message or group id.
async fn find(id: &str, relay: &RelayApi) -> anyhow::Result<(Value, Vec<Value>)> {
    if id.parse::<EventId>().is_err() {
        let mut page =
            relay.fetch(&path_with("/api/events", &[("any", Some(id)), ("most", Some(LISTED))])).await?;
        let events = match page["events"].take() {
            Value::Array(events) => events,
            _ => Vec::new(),
        };
        if let Some(newest) = events.first().and_then(|event| event["id"].as_str()) {
            let event = one(newest, relay).await?;
            return Ok((event, if events.len() > 1 { events } else { Vec::new() }));
        }
    }
    Ok((one(id, relay).await?, Vec::new()))
}

async fn one(id: &str, relay: &RelayApi) -> anyhow::Result<Value> {
    let id = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC);
    relay.fetch(&format!("/api/events/{id}")).await
}

/// The relay does not know the event: shows what may lead to it.
fn missing(refused: &RelayRefusal, json: bool) -> anyhow::Result<ExitCode> {
    let answer = &refused.answer;
    if json {
        writeln!(io::stdout(), "{answer}")?;
        return Ok(ExitCode::FAILURE);
    }
    print_message(&one_line(answer["error"].as_str().unwrap_or_default()));
    for source in answer["sources"].as_array().into_iter().flatten() {
        let name = source["name"].as_str().unwrap_or_default();
        match source["last_heard"].as_str() {
            Some(at) => print_message(&format!("source {name}: its last event came at {at}")),
            None => print_message(&format!("source {name}: no event of it is on record")),
        }
    }
    for group in answer["turned_away_groups"].as_array().into_iter().flatten() {
        let text = |key: &str| plain(group[key].as_str().unwrap_or_default(), 300);
        print_message(&format!(
            "refused at {}: {} times, {} ({}); {}",
            text("route"),
            group["count"],
            text("title"),
            text("code"),
            text("to_do")
        ));
    }
    Ok(ExitCode::FAILURE)
}

/// Formats the event for a person.
fn readable(event: &Value) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write_event(&mut text, event);
    text
}

fn write_event(out: &mut String, event: &Value) -> std::fmt::Result {
    let of = |value: &Value, key: &str| plain(value[key].as_str().unwrap_or_default(), 600);
    let name = if of(event, "name").is_empty() { of(event, "type") } else { of(event, "name") };
    let name = if name.is_empty() { "an event".to_owned() } else { name };
    let reason = &event["reason"];
    let code = if reason.is_object() { format!("  {}", of(reason, "code")) } else { String::new() };
    writeln!(out, "{}{code}  {name}  {}", of(event, "status"), of(event, "id"))?;
    for (label, key) in [
        ("received", "at"),
        ("source", "source"),
        ("type", "type"),
        ("user", "user"),
        ("group", "group"),
        ("message id", "message_id"),
        ("copy of", "first"),
        ("mappings", "mappings_version"),
    ] {
        if !of(event, key).is_empty() {
            writeln!(out, "  {label:<11} {}", of(event, key))?;
        }
    }
    if event["replays"].as_u64().unwrap_or_default() > 0 {
        writeln!(out, "  {:<11} {} times", "sent again", event["replays"])?;
    }
    writeln!(out, "\nWhat happened: {}", of(event, "happened"))?;
    if !of(event, "to_do").is_empty() {
        writeln!(out, "What to do: {}", of(event, "to_do"))?;
    }
    for refusal in event["refusals"].as_array().into_iter().flatten() {
        let mapping = of(refusal, "mapping");
        let mapping = if mapping.is_empty() { "the event as a whole".to_owned() } else { mapping };
        let number =
            refusal["reject"].as_i64().map(|number| format!(" (reject {number})")).unwrap_or_default();
        let code = of(&refusal["reason"], "code");
        writeln!(
            out,
            "\nRefused by {mapping}{number}: {} {}  {code}",
            of(refusal, "field"),
            of(refusal, "text")
        )?;
    }
    for (index, call) in event["calls"].as_array().into_iter().flatten().enumerate() {
        write_call(out, index + 1, call)?;
    }
    if event["original"].is_null() {
        return Ok(());
    }
    writeln!(out, "\nReceived: {}", plain(&event["original"].to_string(), 4000))
}

fn write_call(out: &mut String, number: usize, call: &Value) -> std::fmt::Result {
    let of = |value: &Value, key: &str| plain(value[key].as_str().unwrap_or_default(), 600);
    let reason = of(&call["reason"], "code");
    let again = if call["is_replay"] == true { ", sent again" } else { "" };
    writeln!(
        out,
        "\nCall {number}: POST {} to {} by {}{again}  {}  {reason}",
        of(call, "path"),
        of(call, "destination"),
        of(call, "mapping"),
        of(call, "status")
    )?;
    for attempt in call["attempts"].as_array().into_iter().flatten() {
        let took = attempt["took_ms"].as_u64().map(|took| format!(" in {took} ms")).unwrap_or_default();
        let status =
            attempt["status"].as_u64().map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let why = of(attempt, "reason");
        let why = if why.is_empty() { why } else { format!(": {why}") };
        writeln!(out, "  {}  {status}{took}{why}", of(attempt, "at"))?;
    }
    for (label, key) in [
        ("left out or changed", "warnings"),
        ("next attempt", "next_attempt_at"),
        ("waiting call", "waiting"),
    ] {
        if !of(call, key).is_empty() {
            writeln!(out, "  {label}: {}", of(call, key))?;
        }
    }
    if call["behind"].is_object() {
        writeln!(
            out,
            "  waits behind call {} of event {}",
            of(&call["behind"], "id"),
            of(&call["behind"], "event_id")
        )?;
    }
    if let Some(number) = call["dead_letter"].as_i64() {
        writeln!(out, "  dead letter {number}")?;
    }
    if !call["body"].is_null() {
        writeln!(out, "  sent: {}", plain(&call["body"].to_string(), 4000))?;
    }
    Ok(())
}
