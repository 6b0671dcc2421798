//! Suggests where else in an event the value of a missing field may be: `It has "u-1842" in properties.user_id.`

use serde_json::Value;

/// The most values that are compared.
const MAX_VALUES: usize = 2_000;
const MAX_DEPTH: usize = 16;
/// The most characters of a value that is shown.
const MAX_SHOWN: usize = 64;
/// Shown in place of a hidden value.
const HIDDEN: &str = "[redacted]";

/// Returns the first value whose path ends with a name like the field's.
pub(super) fn find(event: &Value, field: &str) -> Option<String> {
    let wanted = word(field.rsplit('.').next().unwrap_or(field));
    let mut left = MAX_VALUES;
    let (path, value) = search(event, &wanted, &mut Vec::new(), &mut left)?;
    Some(format!("It has {value} in $.{path}: send it as {field}, or let the mapping read it there."))
}

fn search<'v>(
    value: &'v Value,
    wanted: &str,
    path: &mut Vec<&'v str>,
    left: &mut usize,
) -> Option<(String, String)> {
    let Value::Object(object) = value else { return None };
    for (key, value) in object {
        *left = left.checked_sub(1)?;
        path.push(key);
        if word(key) == wanted
            && let Some(shown) = shown(value)
        {
            return Some((path.join("."), shown));
        }
        if path.len() < MAX_DEPTH
            && let Some(found) = search(value, wanted, path, left)
        {
            return Some(found);
        }
        path.pop();
    }
    None
}

/// Returns only the letters and digits, in lower case, so that `userId` and `user_id` are equal.
fn word(key: &str) -> String {
    key.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn shown(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() && text != HIDDEN => {
            Some(Value::from(text.chars().take(MAX_SHOWN).collect::<String>()).to_string())
        }
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_with_a_like_name_is_found_wherever_it_is() {
        for (event, field, expected) in [
            (json!({"properties": {"user_id": "u-1"}}), "userId", Some("\"u-1\" in $.properties.user_id")),
            (json!({"context": {"traits": {"USER-ID": 7}}}), "userId", Some("7 in $.context.traits.USER-ID")),
            (json!({"userId": "", "properties": {"userID": " "}}), "userId", None),
            (json!({"properties": {"user_id": HIDDEN}}), "userId", None),
            (json!({"properties": {"user": "u-1"}}), "userId", None),
            (json!(["userId"]), "userId", None),
        ] {
            let found = find(&event, field);
            match expected {
                Some(part) => {
                    assert!(found.as_ref().is_some_and(|text| text.contains(part)), "{event}: {found:?}");
                }
                None => assert_eq!(found, None, "{event}"),
            }
        }
        let mut deep = json!({"userId": "u"});
        for _ in 0..100 {
            deep = json!({ "a": deep });
        }
        assert_eq!(find(&deep, "userId"), None);
    }
}
