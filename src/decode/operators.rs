//! Turns Amplitude's property operators (`$set`, `$add`, …) into plain traits
//! (`docs/amplitude.md#property-operators`).
//!
//! Accoil stores values, not changes. An operator that has no absolute value (`$add`, `$append`, …) is left out.

use crate::event::Violation;
use crate::json::{Object, Value};
use crate::reasons::Reason;

use super::members::take_object;

/// The operators that can occur in an Amplitude property map.
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

/// The campaign parameters that Amplitude's browser SDKs send. Each new campaign `$unset`s the parameters that it
/// does not have, most of which were never set: a null for each would give every new visitor 19 empty traits.
const CAMPAIGN: [&str; 20] = [
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "utm_id",
    "referrer",
    "referring_domain",
    "dclid",
    "fbclid",
    "gbraid",
    "gclid",
    "ko_click_id",
    "li_fat_id",
    "msclkid",
    "rdt_cid",
    "rtd_cid",
    "ttclid",
    "twclid",
    "wbraid",
];

pub(super) fn is_operator(key: &str) -> bool {
    OPERATORS.contains(&key)
}

/// Returns the traits that a property map sets, whether it is flat or made of operators. `$set` wins over `$setOnce`.
/// `$unset` becomes an explicit null, except for campaign parameters.
pub(super) fn resolve(mut properties: Object<'_>) -> Object<'_> {
    let mut traits = if properties.iter().any(|(key, _)| is_operator(key)) {
        let mut traits = take_object(&mut properties, &["$set"]);
        traits.fill(take_object(&mut properties, &["$setOnce"]));
        let unset = take_object(&mut properties, &["$unset"]).into_iter();
        traits.fill(unset.filter(|(key, _)| !CAMPAIGN.contains(&&**key)).map(|(key, _)| (key, Value::Null)));
        properties.retain(|key, _| !is_operator(key));
        traits.fill(properties);
        traits
    } else {
        properties
    };
    traits.retain(|key, value| !is_unset(key, value));
    traits
}

/// Returns a warning for each operator that has no absolute value. `path` is the path of the property map.
pub(super) fn left_out(path: &str, properties: &Object<'_>) -> Vec<Violation> {
    let has_value = |key: &str| matches!(key, "$set" | "$setOnce" | "$unset");
    properties
        .iter()
        .filter(|(key, _)| is_operator(key) && !has_value(key))
        .map(|(key, _)| {
            let reason =
                "was left out: it changes a value, and Accoil stores values; send the value with $set";
            Violation::new(format!("{path}.{key}"), reason).coded(Reason::LeftOut)
        })
        .collect()
}

/// Amplitude writes the word `EMPTY` into an initial property that was never set
/// (`docs/amplitude.md#property-operators`).
fn is_unset(key: &str, value: &Value<'_>) -> bool {
    key.starts_with("initial_") && value.as_str() == Some("EMPTY")
}
