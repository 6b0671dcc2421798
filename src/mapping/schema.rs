//! The JSON Schema of a mapping file in the relay's own form, so that editors complete and check it (`check
//! --schema`).
//!
//! It is made from the action tables and the table of directives below, and never used to read a file.

use serde_json::{Map, Value, json};

use super::action::Action;
use super::load::MAX_MAPPINGS;

/// Every directive and what it does. A test compares it with the directives that compile.
const DIRECTIVES: [(&str, &str); 13] = [
    (
        "@path",
        "The value at this path in the event, such as $.properties.plan; or a directive that gives the path.",
    ),
    ("@template", "A text with {{paths}} in it, such as {{properties.first}} {{properties.last}}."),
    ("@literal", "The value, taken literally."),
    ("@if", "`then` if `exists` gives a value (or `blank` gives one that is not empty), else `else`."),
    ("@case", "`value` in `lower` or `upper` case, as `operator` says."),
    ("@replace", "`value` with `pattern` replaced by `replacement`."),
    ("@arrayPath", "[path, shape]: the items of a list, each made into the shape."),
    ("@flatten", "`value` with nested objects made into one, keys joined by `separator`."),
    ("@json", "`value` written as JSON text (`mode` encode) or read from it (decode)."),
    ("@merge", "`objects` merged into one; `direction` names the side that wins: left or right."),
    ("@transform", "`mapping`, resolved against what `apply` makes of the event."),
    ("@excludeWhenNull", "The value without its null members."),
    ("@liquid", "A Liquid template, 1,000 characters at most."),
];

/// Returns the schema: JSON Schema, draft 2020-12.
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
                "maxItems": MAX_MAPPINGS,
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
        "$defs": { "value": value() },
    })
}

/// Returns the schema of `fields` for this action.
fn fields_of(action: &Action) -> Value {
    let properties: Map<String, Value> = action
        .fields
        .iter()
        .map(|field| {
            let required = if field.required { " (required)" } else { "" };
            let text = format!("{}{required}: {}. {}", field.label, field.kind.rule(), field.description);
            (field.key.clone(), json!({ "description": text, "$ref": "#/$defs/value" }))
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

/// Returns the schema of a value: a literal, a list or object of values, or a directive, which is an object with
/// exactly one key that begins with `@`.
fn value() -> Value {
    let value = json!({ "$ref": "#/$defs/value" });
    let names: Vec<&str> = DIRECTIVES.iter().map(|(name, _)| *name).chain(["_metadata"]).collect();
    let one: Vec<Value> = DIRECTIVES.iter().map(|(name, _)| json!({ "required": [name] })).collect();
    let described: Map<String, Value> = DIRECTIVES
        .iter()
        .map(|(name, text)| ((*name).to_owned(), json!({ "description": text, "$ref": "#/$defs/value" })))
        .collect();
    json!({
        "properties": described,
        "additionalProperties": value,
        "items": value,
        "if": { "not": { "propertyNames": { "pattern": "^[^@]|^$" } } },
        "then": { "propertyNames": { "enum": names }, "oneOf": one },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;
    use crate::mapping::directive::Directive;

    #[test]
    fn lists_the_directives_that_compile() {
        let value = json::Value::parse(r#"{"@no-such-directive":1}"#).unwrap();
        let message = Directive::compile(&value).unwrap_err().message;
        let names: Vec<&str> = DIRECTIVES.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            message,
            format!("@no-such-directive is not a directive; the directives are {}", names.join(", "))
        );
    }
}
