//! Checks the name of a page or screen: it is text or it is left out. An object would reach Accoil as `[object
//! Object]`.

use super::members::is_blank;
use crate::event::Violation;
use crate::json::{Object, Value};
use crate::reasons::Reason;
use accoil_mapping::check::is_object_text;

/// Removes a name that is blank or not text. If the view has no name, takes it from where `RudderStack`'s SDKs put
/// it.
pub(super) fn complete(event: &mut Object<'_>) -> Vec<Violation> {
    let mut warnings = Vec::new();
    let kind = event.get("type").and_then(Value::as_str);
    let is_screen = kind == Some("screen");
    if !is_screen && kind != Some("page") {
        return warnings;
    }
    keep_text(event, "name", &mut warnings);
    keep_text(event, "category", &mut warnings);
    if let Some(Value::Object(properties)) = event.get_mut("properties") {
        keep_text(properties, "title", &mut warnings);
    }
    if event.get("name").is_some_and(Value::is_null) {
        event.remove("name");
    }
    if !event.contains_key("name") {
        let found = rudder_name(event, is_screen).cloned();
        event.fill(found.map(|name| ("name".into(), name)));
    }
    warnings
}

/// Returns the name of a view from where `RudderStack`'s SDKs put it.
fn rudder_name<'e, 'a>(event: &'e Object<'a>, is_screen: bool) -> Option<&'e Value<'a>> {
    let of_screen = event.get("event").filter(|_| is_screen);
    let of_properties = event.get("properties").and_then(|properties| properties.get("name"));
    [of_screen, of_properties].into_iter().flatten().find(|name| is_name(name))
}

/// Checks that the value can be a name.
pub(super) fn is_name(value: &Value<'_>) -> bool {
    is_text(value) && !is_blank(value)
}

/// Removes the member if it cannot be a name. Blank text counts as not sent.
fn keep_text(members: &mut Object<'_>, key: &str, warnings: &mut Vec<Violation>) {
    match members.get(key) {
        Some(name) if !is_text(name) => {
            let what = match name {
                Value::String(_) => "an object that was turned into text".to_owned(),
                other => format!("of kind {}", other.kind()),
            };
            let reason = format!("was left out: it is {what}, which cannot be a name; send text");
            warnings.push(Violation::new(key, reason).coded(Reason::LeftOut));
        }
        Some(Value::String(name)) if name.trim().is_empty() => {}
        _ => return,
    }
    members.remove(key);
}

/// True for text, and for what Segment's engine reads as text: a number, a boolean, a list with one of them.
fn is_text(value: &Value<'_>) -> bool {
    match value {
        Value::Array(items) => match items.as_slice() {
            [only] => !matches!(only, Value::Array(_) | Value::Object(_)),
            _ => false,
        },
        Value::Object(_) => false,
        Value::String(text) => !is_object_text(text),
        _ => true,
    }
}
