//! What each mapping made of an event, as a page shows it. It is read from the API's own explanation, so that both cannot differ.

use serde::Deserialize;
use serde_json::Value;

use super::markup::Markup;
use crate::admin::api::events::ExplainView;

/// The most characters of a value in a table.
const MAX_SHOWN: usize = 80;

/// A mapping and one event.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExplainedMapping {
    pub(super) destination: String,
    pub(super) mapping: String,
    pub(super) trigger: String,
    action: String,
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

impl ExplainedMapping {
    /// Returns those that matched, then those that did not.
    pub(super) fn of(view: &ExplainView) -> (Vec<Self>, Vec<Self>) {
        let all = view.events.iter().flat_map(|event| &event.mappings);
        let all = all.filter_map(|mapping| Self::deserialize(mapping).ok());
        all.partition(|mapping| mapping.matched)
    }

    /// Returns whether the mapping is for the other kind of source, so that it is not expected to match.
    pub(super) fn is_of_other_sources(&self) -> bool {
        self.unmatched.first().is_some_and(|reason| reason.starts_with("it is for "))
    }

    /// Returns the paths whose values the mapping could not use.
    pub(super) fn faulty_paths(&self) -> impl Iterator<Item = String> {
        let faulty = self.fields.iter().filter(|field| ["fail", "wait"].contains(&field.tone()));
        faulty.map(ExplainedField::written).filter(|written| written.starts_with("$."))
    }

    /// Returns the mapping in the form of a file, to be changed in the tester.
    pub(super) fn draft(&self) -> String {
        let mut text = format!(
            "[[mappings]]\nname = {}\naction = {}\ntrigger = {}\n\n[mappings.fields]\n",
            quoted(&self.mapping),
            quoted(&self.action),
            literal(&self.trigger)
        );
        for field in self.fields.iter().filter(|field| !field.from.is_null()) {
            text.extend([&field.field, " = ", &toml(&field.from), "\n"]);
        }
        text
    }
}

/// Returns a value as TOML on one line.
fn toml(value: &Value) -> String {
    let list = |items: Vec<String>| items.join(", ");
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            let members = members.map(|(key, value)| format!("{} = {}", key_of(key), toml(value)));
            format!("{{ {} }}", list(members.collect()))
        }
        Value::Array(items) => format!("[{}]", list(items.iter().map(toml).collect())),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// Returns a key, quoted only if necessary.
fn key_of(key: &str) -> String {
    let is_bare = |sign: char| sign.is_ascii_alphanumeric() || sign == '_' || sign == '-';
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { quoted(key) }
}

/// JSON's escapes are valid in TOML, too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// Avoids escapes where possible, because triggers have many quotes.
fn literal(text: &str) -> String {
    if text.contains(|sign: char| sign == '\'' || sign.is_control()) {
        quoted(text)
    } else {
        format!("'{text}'")
    }
}

impl ExplainedField {
    /// Returns what the mapping has for the field: a path as `$.userId`, anything else as it is written.
    pub(super) fn written(&self) -> String {
        match &self.from {
            Value::Null => String::new(),
            Value::Object(directive) if directive.len() == 1 && directive.contains_key("@path") => {
                directive.get("@path").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            other => shown(other),
        }
    }

    pub(super) fn given(&self) -> String {
        if self.value.is_null() { "nothing".to_owned() } else { shown(&self.value) }
    }

    /// Returns the sent value, if it differs from the given one.
    pub(super) fn sent(&self) -> String {
        if self.sent.is_null() { String::new() } else { shown(&self.sent) }
    }

    /// Returns the outcome as one word.
    pub(super) fn result(&self) -> &str {
        match self.outcome.as_str() {
            "mended" => "converted",
            "omitted" => "left out",
            other => other,
        }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_draft_is_the_mapping_as_a_file_has_it() {
        let explained = ExplainedMapping {
            mapping: "Track \"all\"".to_owned(),
            trigger: "type = \"track\"".to_owned(),
            action: "track".to_owned(),
            fields: vec![
                ExplainedField {
                    field: "userId".to_owned(),
                    from: json!({"@if": {"exists": {"@path": "$.a"}, "then": [1, true, "x\ny"], "else": null}}),
                    ..ExplainedField::default()
                },
                ExplainedField { field: "event".to_owned(), ..ExplainedField::default() },
            ],
            ..ExplainedMapping::default()
        };
        let draft = explained.draft();
        assert_eq!(
            draft,
            "[[mappings]]\nname = \"Track \\\"all\\\"\"\naction = \"track\"\ntrigger = 'type = \"track\"'\n\n[mappings.fields]\n\
             userId = { \"@if\" = { exists = { \"@path\" = \"$.a\" }, then = [1, true, \"x\\ny\"] } }\n"
        );
        assert!(draft.parse::<::toml::Table>().is_ok());
    }
}
