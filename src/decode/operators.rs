//! Amplitude's property operators (`$set`, `$add`, …) become plain traits (`facts/amplitude.md` 4).
//!
//! Accoil stores values, not changes: what has no absolute value (`$add`, `$append`, …) is left out.

use crate::json::{Object, Value};

use super::members::take_object;

/// The operators that an Amplitude property map may consist of.
const OPERATORS: [&str; 10] = [
    "$set",
    "$setOnce",
    "$unset",
    "$add",
    "$append",
    "$prepend",
    "$preInsert",
    "$postInsert",
    "$remove",
    "$clearAll",
];

/// The traits that a property map sets, be it flat or made of operators: `$set` wins over `$setOnce`, and
/// `$unset` is an explicit null.
pub(super) fn resolve(mut properties: Object<'_>) -> Object<'_> {
    let mut traits = if properties.iter().any(|(key, _)| OPERATORS.contains(&key)) {
        let mut traits = take_object(&mut properties, &["$set"]);
        traits.fill(take_object(&mut properties, &["$setOnce"]));
        traits.fill(take_object(&mut properties, &["$unset"]).into_iter().map(|(key, _)| (key, Value::Null)));
        properties.retain(|key, _| !OPERATORS.contains(&key));
        traits.fill(properties);
        traits
    } else {
        properties
    };
    traits.retain(|key, value| !is_unset(key, value));
    traits
}

/// Amplitude writes the word `EMPTY` into an initial property that was never set (`facts/amplitude.md` 2.1).
fn is_unset(key: &str, value: &Value<'_>) -> bool {
    key.starts_with("initial_") && value.as_str() == Some("EMPTY")
}
