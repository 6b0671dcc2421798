//! Reads property maps and groups that a template or warehouse printed as JSON text, and puts them in place. A text
//! that is not a map is left out with a warning.

use super::{EVENT_PROPERTIES, GROUP_PROPERTIES, GROUPS, USER_PROPERTIES};
use crate::decode::warnings;
use crate::event::Violation;
use crate::json::{Object, Value};
use crate::reasons::Reason;

/// Text inside text inside text is too much to be an accident.
const MAX_LAYERS: usize = 3;

/// Reads the members that are text, and leaves out what cannot be read. Returns what was replaced or left out.
pub(super) fn read_objects(event: &mut Object<'_>, depth: usize) -> Vec<Violation> {
    let mut found = Vec::new();
    let keys = GROUPS.iter().chain(&GROUP_PROPERTIES).chain(&USER_PROPERTIES).chain(&EVENT_PROPERTIES);
    for key in keys {
        let Some(value) = event.get_mut(key) else { continue };
        let reason = match value.as_str() {
            Some(text) if text.trim().is_empty() => continue,
            Some(text) => match read(key, text, depth, &mut found) {
                Some(read) => {
                    *value = read;
                    continue;
                }
                None => "was left out: it is a text, but not a JSON object; send an object".to_owned(),
            },
            None if is_map(value) => continue,
            None => format!("was left out: it is of kind {}; send an object", value.kind()),
        };
        found.push(Violation::new(*key, reason).coded(Reason::LeftOut));
    }
    found
}

/// True for an object. An empty list counts too, because PHP prints an empty map as a list.
fn is_map(value: &Value<'_>) -> bool {
    value.is_null() || value.as_object().is_some() || value.as_array().is_some_and(<[_]>::is_empty)
}

fn read(key: &str, text: &str, depth: usize, found: &mut Vec<Violation>) -> Option<Value<'static>> {
    let mut value = Value::from(text.to_owned());
    for _ in 0..MAX_LAYERS {
        let Value::String(text) = &value else { break };
        let (inner, replaced) = Value::parse_lenient(text, depth).ok()?;
        found.extend(warnings::of_replacements(key, &replaced));
        value = inner.into_owned();
    }
    (value.is_null() || value.as_object().is_some()).then_some(value)
}
