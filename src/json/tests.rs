//! The value type by its public door: order, duplicates, numbers, depth.

use super::Value;

fn printed(text: &str) -> String {
    Value::parse(text).map_or_else(|error| error.to_string(), |value| value.to_string())
}

#[test]
fn prints_as_javascript_does() {
    for (text, expected) in [
        (r#"{"b":1.0,"a":1e21,"c":[1.50,-0.0,1e-7]}"#, r#"{"b":1,"a":1e+21,"c":[1.5,0,1e-7]}"#),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
        (r#""tab\t\u0000 \u00e9""#, "\"tab\\t\\u0000 é\""),
        ("12345678901234567890", "12345678901234567890"),
        ("1e400", "number out of range at line 1, column 5"),
        ("{\"a\":", "EOF while parsing a value at line 1, column 5"),
    ] {
        assert_eq!(printed(text), expected, "{text}");
    }
}

#[test]
fn depth_is_capped_before_the_stack_is() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert!(Value::parse(&deep(64)).is_ok());
    assert!(printed(&deep(65)).starts_with("nested too deeply"));
    assert!(printed(&"[".repeat(200_000)).starts_with("nested too deeply"));
}

#[test]
fn many_duplicate_keys_cost_no_more_than_their_number() {
    let members: Vec<String> = (0..50_000).map(|index| format!("\"k{}\":{index}", index % 30_000)).collect();
    let text = format!("{{{}}}", members.join(","));
    let value = Value::parse(&text).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 30_000);
    assert_eq!(value.get("k5").unwrap().as_f64(), Some(30_005.0));
}
