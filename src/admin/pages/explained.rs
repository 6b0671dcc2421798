//! What mappings made of an event, as a page shows it: read from the API's own explanation, so that both cannot differ.

use serde::Deserialize;
use serde_json::Value;

use super::markup::Markup;
use crate::admin::api::events::ExplainView;

/// Characters of a value in a table.
const MAX_SHOWN: usize = 80;

/// A mapping and one event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Explained {
    pub(super) destination: String,
    pub(super) mapping: String,
    pub(super) trigger: String,
    pub(super) matched: bool,
    pub(super) unmatched: Vec<String>,
    pub(super) fields: Vec<ExplainedField>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExplainedField {
    pub(super) field: String,
    from: Value,
    value: Value,
    sent: Value,
    /// `kept`, `coerced`, `mended`, `absent`, `omitted` or `refused`.
    pub(super) outcome: String,
    pub(super) reason: String,
}

impl Explained {
    /// Those that matched, then those that did not.
    pub(super) fn of(view: &ExplainView) -> (Vec<Self>, Vec<Self>) {
        let all = view.events.iter().flat_map(|event| &event.mappings);
        let all = all.filter_map(|mapping| Self::deserialize(mapping).ok());
        all.partition(|mapping| mapping.matched)
    }
}

impl ExplainedField {
    /// What the mapping says: a path as `$.userId`, anything else as it is written.
    pub(super) fn says(&self) -> String {
        match &self.from {
            Value::Null => String::new(),
            Value::Object(directive) if directive.len() == 1 && directive.contains_key("@path") => {
                directive.get("@path").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            other => shown(other),
        }
    }

    pub(super) fn gave(&self) -> String {
        if self.value.is_null() { "nothing".to_owned() } else { shown(&self.value) }
    }

    /// What goes on, where it is not what was given.
    pub(super) fn sends(&self) -> String {
        if self.sent.is_null() { String::new() } else { shown(&self.sent) }
    }

    pub(super) fn tone(&self) -> &'static str {
        match self.outcome.as_str() {
            "kept" | "coerced" => "ok",
            "mended" | "omitted" => "wait",
            "refused" => "fail",
            _ => "skip",
        }
    }
}

/// The event as mappings see it.
pub(super) fn as_events(view: &ExplainView) -> Vec<Markup> {
    view.events.iter().map(|event| Markup::json(&event.event)).collect()
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Object(members) => return format!("{{ {} }}", members.len()),
        Value::Array(items) => return format!("[ {} ]", items.len()),
        other => other.to_string(),
    };
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
