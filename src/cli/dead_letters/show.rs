//! How dead letters and rejects are shown: a line for people, an object for programs.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::outbox::{DeadLetter, StoredReject};
use crate::plain::plain;

/// Of a reason so much is listed; `show` has the whole.
const MOST_SHOWN: usize = 160;

pub(super) fn letter_line(letter: &DeadLetter) -> String {
    let reason = letter.attempts.last().map_or("", |attempt| attempt.reason.as_str());
    let DeadLetter { id, destination, user, mapping, .. } = letter;
    line(&[&id.to_string(), &time(letter.at), destination, user, mapping, reason])
}

pub(super) fn reject_line(reject: &StoredReject) -> String {
    line(&[&reject.id.to_string(), &time(reject.at), &reject.source, &reasons(&reject.reasons)])
}

pub(super) fn letter(letter: &DeadLetter) -> Value {
    json!({
        "kind": "dead-letter", "id": letter.id, "at": time(letter.at), "destination": letter.destination,
        "user": letter.user, "source": letter.source, "mapping": letter.mapping, "action": letter.action,
        "path": letter.path, "body": raw(&letter.body), "warnings": letter.warnings, "attempts": letter.attempts,
        "original": raw(&letter.original),
    })
}

pub(super) fn reject(reject: &StoredReject) -> Value {
    json!({
        "kind": "reject", "id": reject.id, "at": time(reject.at), "source": reject.source, "form": reject.form,
        "reasons": raw(reject.reasons.as_bytes()), "original": raw(&reject.original),
    })
}

/// The reasons in one line.
pub(super) fn reasons(json: &str) -> String {
    let reasons: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    let text =
        |reason: &Value, key: &str| reason.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let one = |reason: &Value| {
        let parts = ["mapping", "field", "reason"].map(|key| text(reason, key));
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    reasons.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What is JSON as it is, anything else as text.
fn raw(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes)))
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Columns apart by tabs. What senders and Accoil wrote is shown without its control characters: a terminal obeys
/// them.
fn line(columns: &[&str]) -> String {
    columns.iter().map(|text| plain(text, MOST_SHOWN)).collect::<Vec<_>>().join("\t")
}
