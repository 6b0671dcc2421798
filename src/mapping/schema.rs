//! The JSON Schema of a mapping file in our own form, so that editors complete and check it.
//!
//! Made from the action tables; never used to read a file.

use serde_json::{Map, Value, json};

use super::action::Action;
use super::load::MOST_MAPPINGS;

/// JSON Schema, draft 2020-12.
pub fn schema() -> Value {
    let slugs: Vec<&str> = Action::all().iter().map(|action| action.slug.as_str()).collect();
    let fields: Vec<Value> = Action::all().iter().map(fields_of).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "accoil-relay mappings",
        "type": "object",
        "required": ["mappings"],
        "additionalProperties": false,
        "properties": {
            "$schema": { "type": "string" },
            "source": {
                "description": "Only events from this kind of source; without it, from either.",
                "enum": ["segment", "amplitude"],
            },
            "mappings": {
                "type": "array",
                "maxItems": MOST_MAPPINGS,
                "items": {
                    "type": "object",
                    "required": ["name", "trigger", "action"],
                    "additionalProperties": false,
                    "properties": {
                        "name": { "description": "Unique within the destination.", "type": "string", "minLength": 1 },
                        "enabled": { "type": "boolean", "default": true },
                        "trigger": {
                            "description": "Which events, such as: type = \"track\" and event = \"Report Created\"",
                            "type": "string",
                            "minLength": 1,
                        },
                        "action": { "enum": slugs },
                        "fields": { "type": "object" },
                    },
                    "allOf": fields,
                },
            },
        },
    })
}

/// What `fields` may hold when the mapping has this action.
fn fields_of(action: &Action) -> Value {
    let properties: Map<String, Value> = action
        .fields
        .iter()
        .map(|field| {
            let required = if field.required { " (required)" } else { "" };
            let text = format!("{}{required}: {}. {}", field.label, field.kind.rule(), field.description);
            (field.key.clone(), json!({ "description": text }))
        })
        .collect();
    json!({
        "if": { "properties": { "action": { "const": action.slug } } },
        "then": {
            "properties": {
                "fields": {
                    "description": action.description,
                    "properties": properties,
                    "patternProperties": { "^__segment_internal_": {} },
                    "additionalProperties": false,
                },
            },
        },
    })
}
