//! Tests of the value type through its public functions: order, duplicates, numbers, depth.

use super::{ReplacementKind, Value, same_length};

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

/// Returns what the lenient reader makes of a text, and what it replaced where.
fn lenient(text: &str) -> (String, Vec<(String, ReplacementKind)>) {
    match Value::parse_lenient(text, 64) {
        Ok((value, replaced)) => {
            assert_eq!(replaced.others, 0);
            (value.to_string(), replaced.listed.into_iter().map(|one| (one.path, one.what)).collect())
        }
        Err(error) => (error.to_string(), Vec::new()),
    }
}

#[test]
fn the_json_of_javascript_and_python_is_read() {
    use ReplacementKind::{HalfPair, NotANumber, TooLarge};
    let huge = format!("[-{}]", "9".repeat(400));
    for (text, expected, replaced) in [
        (r#"{"a":"x \ud83d"}"#, "{\"a\":\"x \u{fffd}\"}", vec![("a", HalfPair)]),
        (r#"{"a":"\uDE00 y"}"#, "{\"a\":\"\u{fffd} y\"}", vec![("a", HalfPair)]),
        (r#"{"a":"\ud83d\ud83d\ude00"}"#, "{\"a\":\"\u{fffd}\u{1f600}\"}", vec![("a", HalfPair)]),
        (r#"{"a":"\ud83dx"}"#, "{\"a\":\"\u{fffd}x\"}", vec![("a", HalfPair)]),
        (r#"{"a":"\ud83d\u0041"}"#, "{\"a\":\"\u{fffd}A\"}", vec![("a", HalfPair)]),
        (r#"{"a":"\\ud83d"}"#, r#"{"a":"\\ud83d"}"#, vec![]),
        (r#"{"a":{"k\ud83d":1}}"#, "{\"a\":{\"k\u{fffd}\":1}}", vec![("a.k\\ud83d", HalfPair)]),
        (
            r#"{"a":[1,{"b":NaN}],"c":-Infinity,"d":Infinity,"e":2}"#,
            r#"{"a":[1,{"b":null}],"c":null,"d":null,"e":2}"#,
            vec![("a[1].b", NotANumber), ("c", NotANumber), ("d", NotANumber)],
        ),
        (
            "[nan,-nan,-NaN,inf,-inf,+Infinity,-nan(ind),undefined]",
            "[null,null,null,null,null,null,null,null]",
            vec![
                ("[0]", NotANumber),
                ("[1]", NotANumber),
                ("[2]", NotANumber),
                ("[3]", NotANumber),
                ("[4]", NotANumber),
                ("[5]", NotANumber),
                ("[6]", NotANumber),
                ("[7]", NotANumber),
            ],
        ),
        (
            r#"{"NaN":"NaN","b":1e400,"c":-1e400}"#,
            r#"{"NaN":"NaN","b":null,"c":null}"#,
            vec![("b", TooLarge), ("c", TooLarge)],
        ),
        (huge.as_str(), "[null]", vec![("[0]", TooLarge)]),
        ("[1e-400]", "[0]", vec![]),
        ("NaN", "null", vec![("", NotANumber)]),
        // Text that is not JSON is still refused, and the fault is reported where it is.
        ("[NaN,]", "trailing comma at line 1, column 7", vec![]),
        ("[Infinity,\n nope]", "expected ident at line 2, column 3", vec![]),
        ("[NaNa]", "expected value at line 1, column 2", vec![]),
        ("{\"a\":\"\\ud83\"}", "invalid escape at line 1, column 12", vec![]),
    ] {
        let replaced: Vec<_> = replaced.into_iter().map(|(path, what)| (path.to_owned(), what)).collect();
        let (value, found) = lenient(text);
        assert_eq!(value, expected, "{text}");
        assert_eq!(found, replaced, "{text}");
    }
}

#[test]
fn many_replacements_are_counted_and_deep_ones_cost_no_stack() {
    let many = format!("[{}1]", "NaN,".repeat(50));
    let (value, replaced) = Value::parse_lenient(&many, 64).unwrap();
    assert_eq!((value.as_array().unwrap().len(), replaced.listed.len(), replaced.others), (51, 20, 30));
    let deep = format!("{}NaN{}", "[".repeat(200_000), "]".repeat(200_000));
    assert!(Value::parse_lenient(&deep, 64).unwrap_err().to_string().starts_with("nested too deeply"));
    assert_eq!(same_length(&deep).unwrap().len(), deep.len());
}

#[test]
fn a_copy_of_the_same_length_has_everything_at_its_place() {
    let text = r#"{"a":NaN,"\ud83d":[-Infinity,1e400,"é"],"b":1}"#;
    let copy = same_length(text).unwrap();
    assert_eq!(copy, r#"{"a":"x","\ufffd":["xxxxxxx",1e400,"é"],"b":1}"#);
    assert_eq!(copy.len(), text.len());
    assert_eq!(same_length(r#"{"a":1,"b":"\ud83d\ude00 NaN"}"#), None);
}
