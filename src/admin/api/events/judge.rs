//! Says in sentences what became of an event as a whole, and what to do. It judges by the event's calls and refusals.

use super::known::KnownEvent;
use super::one::{CallView, EventView};
use crate::admin::api::shared::ReasonView;
use crate::history::Status;

/// Returns what became of the event as a whole. The outbox is the authority on waiting calls and failures.
pub(super) fn judge(event: &mut EventView, known: &KnownEvent) {
    let of =
        |event: &EventView, status: Status| event.calls.iter().position(|call| call.status == status.name());
    if !known.waiting.is_empty() {
        Status::Waiting.name().clone_into(&mut event.line.status);
    } else if !known.letters.is_empty() {
        Status::Dead.name().clone_into(&mut event.line.status);
    }
    let call = match Status::named(&event.line.status) {
        Some(status @ (Status::Waiting | Status::Dead)) => of(event, status),
        _ => None,
    };
    let reason = match call.and_then(|index| event.calls.get(index)) {
        Some(call) => call.reason.clone(),
        None => ReasonView::of_code(&event.line.code),
    };
    if let Some(call) = call.and_then(|index| event.calls.get(index)) {
        event.line.outcome = call_outcome(call);
    }
    event.line.code = reason.as_ref().map(|reason| reason.code.clone()).unwrap_or_default();
    event.happened = match &reason {
        Some(reason) => format!("{} {}", sentence(&event.line.outcome), reason.happened),
        None => sentence(&event.line.outcome),
    };
    let suggestion = event.refusals.iter().find_map(|refusal| refusal.suggestion.clone());
    let to_do = reason.as_ref().map(|reason| reason.to_do.clone()).unwrap_or_default();
    [to_do, suggestion.unwrap_or_default()].join(" ").trim().clone_into(&mut event.to_do);
    event.reason = reason;
}

/// Returns why a call is not delivered.
fn call_outcome(call: &CallView) -> String {
    if let Some(behind) = &call.behind {
        return format!("it waits behind call {} of event {}", behind.id, behind.event_id);
    }
    let tries = call.attempts.len();
    let Some(last) = call.attempts.last() else {
        return call
            .reason
            .as_ref()
            .map_or_else(|| "it waits for its turn".to_owned(), |reason| reason.title.clone());
    };
    let again = call.next_attempt_at.map(|at| format!("; again at {}", at.format("%Y-%m-%d %H:%M:%SZ")));
    format!("attempt {tries} failed: {}{}", last.reason, again.unwrap_or_default())
}

/// Returns the text as a sentence: with a capital letter and a full stop.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return String::new() };
    let text: String = first.to_uppercase().chain(characters).collect();
    if text.ends_with(['.', '!', '?']) { text } else { format!("{text}.") }
}
