//! Formats a dead letter or a reject: as a table row for people, or as a JSON object for programs. Never shows a value that
//! `[privacy]` names.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::history::{HiddenValues, Redactor};
use crate::outbox::{DeadLetter, StoredReject};
use crate::reasons::Reason;

pub(super) const HEADER: [&str; 9] =
    ["ID", "KIND", "TIME", "EVENT-ID", "EVENT", "USER", "SOURCE", "DESTINATION", "REASON"];

/// A dead letter or a reject.
pub(super) enum Row {
    Letter(DeadLetter),
    Reject(StoredReject),
}

impl Row {
    pub(super) const fn id(&self) -> i64 {
        match self {
            Self::Letter(letter) => letter.id,
            Self::Reject(reject) => reject.id,
        }
    }

    /// Hides the values that `[privacy]` names.
    pub(super) fn without_hidden(mut self, redactor: &Redactor) -> Self {
        if redactor.is_off() {
            return self;
        }
        match &mut self {
            Self::Letter(letter) => {
                let values = redactor.find_in(&[&letter.original, &letter.body]);
                for payload in [&mut letter.original, &mut letter.body] {
                    hide_payload(payload, redactor, &values);
                }
                let reasons = letter.attempts.iter_mut().map(|attempt| &mut attempt.reason);
                let texts =
                    [&mut letter.name, &mut letter.user, &mut letter.message_id, &mut letter.warnings];
                reasons.chain(texts).for_each(|text| values.hide_in(text));
            }
            Self::Reject(reject) => {
                let envelope = reject.envelope.as_deref().unwrap_or_default();
                let values = redactor.find_in(&[&reject.original, envelope.as_bytes()]);
                if let Some(hidden) = redactor.hidden(envelope, &values) {
                    reject.envelope = Some(hidden);
                }
                hide_payload(&mut reject.original, redactor, &values);
                if let Some(hidden) = redactor.hidden(&reject.reasons, &values) {
                    reject.reasons = hidden;
                }
                let texts = [&mut reject.name, &mut reject.user, &mut reject.message_id];
                for text in texts {
                    values.hide_in(text);
                }
            }
        }
        self
    }

    pub(super) fn cells(&self) -> [String; 9] {
        match self {
            Self::Letter(letter) => {
                let reason = match letter.attempts.last() {
                    _ if letter.is_damaged => Reason::WaitDamaged.title(),
                    last => last.map_or("", |attempt| attempt.reason.as_str()),
                };
                [
                    letter.id.to_string(),
                    "dead-letter".to_owned(),
                    time(letter.at),
                    letter.event.to_string(),
                    letter.name.clone(),
                    letter.user.clone(),
                    letter.source.clone(),
                    letter.destination.clone(),
                    reason.to_owned(),
                ]
            }
            Self::Reject(reject) => [
                reject.id.to_string(),
                "reject".to_owned(),
                time(reject.at),
                reject.event.to_string(),
                reject.name.clone(),
                reject.user.clone(),
                reject.source.clone(),
                String::new(),
                if reject.is_damaged {
                    Reason::WaitDamaged.title().to_owned()
                } else {
                    reasons(&reject.reasons)
                },
            ],
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Letter(letter) => json!({
                "kind": "dead-letter", "id": letter.id, "at": time(letter.at), "event_id": letter.event,
                "event": letter.name, "message_id": letter.message_id, "user": letter.user,
                "destination": letter.destination, "source": letter.source, "mapping": letter.mapping,
                "action": letter.action, "reason_code": letter.code, "path": letter.path, "body": raw(&letter.body),
                "warnings": letter.warnings, "attempts": letter.attempts, "original": raw(&letter.original),
                "damaged": letter.is_damaged,
            }),
            Self::Reject(reject) => json!({
                "kind": "reject", "id": reject.id, "at": time(reject.at), "event_id": reject.event,
                "event": reject.name, "message_id": reject.message_id, "user": reject.user, "source": reject.source,
                "form": reject.form, "reason_code": reject.code, "reasons": raw(reject.reasons.as_bytes()),
                "envelope": reject.envelope.as_ref().map(|text| raw(text.as_bytes())),
                "original": raw(&reject.original), "damaged": reject.is_damaged,
            }),
        }
    }
}

fn hide_payload(payload: &mut Vec<u8>, redactor: &Redactor, values: &HiddenValues) {
    if let Some(hidden) = redactor.hidden(&String::from_utf8_lossy(payload), values) {
        *payload = hidden.into_bytes();
    }
}

/// The reasons on one line.
fn reasons(json: &str) -> String {
    let reasons: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    let text =
        |reason: &Value, key: &str| reason.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let one = |reason: &Value| {
        let parts = ["mapping", "field", "reason"].map(|key| text(reason, key));
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
    };
    reasons.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// JSON unchanged, anything else as a text.
fn raw(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(bytes)))
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
