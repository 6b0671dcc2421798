//! What the reference cannot show: what is borrowed, what errors contain, and that nothing stalls or panics.

use std::borrow::Cow;

use proptest::prelude::*;

use super::{Directive, transform};
use crate::json::Value;

/// Returns what a field's mapping gives for an event, or why it fails.
fn resolved(mapping: &str, event: &str) -> String {
    let (mapping, event) = (Value::parse(mapping).unwrap(), Value::parse(event).unwrap());
    let directive = match Directive::compile(&mapping) {
        Ok(directive) => directive,
        Err(error) => return format!("check: {error}"),
    };
    match directive.resolve(&event) {
        Ok(Some(value)) => value.to_string(),
        Ok(None) => "nothing".to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn values_of_the_event_are_borrowed() {
    let event = Value::parse(r#"{"userId":"u1","traits":{"a":[1,{"b":2}]}}"#).unwrap();
    for mapping in [
        r#"{"@path":"$.userId"}"#,
        r#"{"@template":"{{userId}}"}"#,
        r#"{"@path":"$.traits.a[1]"}"#,
        r#"{"@if":{"exists":{"@path":"$.none"},"else":{"@path":"$.traits"}}}"#,
        r#"{"@excludeWhenNull":{"@path":"$.traits"}}"#,
    ] {
        let directive = Directive::compile(&Value::parse(mapping).unwrap()).unwrap();
        assert!(matches!(directive.resolve(&event), Ok(Some(Cow::Borrowed(_)))), "{mapping}");
    }
}

#[test]
fn errors_say_what_and_where() {
    let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    for (mapping, expected) in [
        (r#"{"name":{"@pth":"$.a"}}"#, "check: name.@pth: @pth is not a directive; did you mean @path?"),
        (
            r#"{"a":{"@path":"$.a","b":1}}"#,
            "check: a: an object with a directive has no other key, but here are @path, b",
        ),
        (
            r#"{"@if":{"exists":{"@path":5}}}"#,
            "check: @if.exists.@path: must be a string or a directive, but it is number",
        ),
        (r#"{"@json":{"mode":"both","value":1}}"#, "check: @json.mode: must be \"encode\" or \"decode\""),
        (r#"{"@merge":{"direction":"left"}}"#, "check: @merge: needs `objects`"),
        (
            r#"{"@merge":{"objects":[1]}}"#,
            "check: @merge.objects.0: must be an object or a directive, but it is number",
        ),
        (
            r#"[{"@template":{"@path":"$.n"}}]"#,
            "error: 0.@template: the template must be a string, but it is number",
        ),
        (
            r#"{"@liquid":"{% for a in b %}{% endfor %}"}"#,
            "error: @liquid: this liquid template cannot be read: Segment disables the tag `for`",
        ),
    ] {
        assert_eq!(resolved(mapping, r#"{"n":1}"#), expected, "{mapping}");
    }
    assert!(resolved(&deep(33), "{}").ends_with("nested more than 32 levels deep; split the mapping"));
    assert_eq!(resolved(&deep(31), "{}"), deep(31));
}

#[test]
fn a_part_that_can_never_work_is_reported_at_load() {
    let mapping = Value::parse(r#"{"a":[{"@pth":1},{"@if":{}}],"b":{"@liquid":"{{ a | sort }}"}}"#).unwrap();
    let directive = Directive::compile(&mapping).unwrap();
    let faults: Vec<&str> = directive.faults().iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(faults, ["a.0.@pth", "a.1.@if", "b.@liquid"]);
}

/// Each of these would take forever, or all memory, if nothing bounded it.
#[test]
fn nothing_grows_without_bound() {
    let doubled = |levels: usize| {
        (0..levels).fold(r#"{"@path":"$.a"}"#.to_owned(), |inner, _| {
            format!(r#"{{"@transform":{{"apply":{{"a":[{{"@path":"$.a"}},{{"@path":"$.a"}}]}},"mapping":{inner}}}}}"#)
        })
    };
    let list = format!("[{}]", vec!["1"; 2000].join(","));
    let cube = |shape: &str| format!(r#"{{"@arrayPath":[{{"@literal":{list}}},{{"x":{shape}}}]}}"#);
    let assigned = format!("{{% assign v = a %}}{}", "{% assign v = v | append: v %}".repeat(30));
    let captured = "{% capture a %}{{a}}{{a}}{{a}}{% endcapture %}".repeat(20);
    let text = "x".repeat(100_000);
    for mapping in [
        doubled(25),
        cube(&cube(&cube(r#"{"@path":"$.a"}"#))),
        r#"{"@replace":{"pattern":"x","replacement":"$`$`$`","value":{"@path":"$.a"}}}"#.to_owned(),
        format!(r#"{{"@template":"{}"}}"#, "{{a}}".repeat(5000)),
        format!(r#"{{"@liquid":"{assigned}"}}"#),
        format!(r#"{{"@liquid":"{captured}"}}"#),
        r#"{"@liquid":"{{ (1..900000000) | join }}"}"#.to_owned(),
        r#"{"@liquid":"{{ a | split: '' | join: a }}"}"#.to_owned(),
    ] {
        let event = format!(r#"{{"a":"{text}"}}"#);
        let outcome = resolved(&mapping, &event);
        assert!(outcome.starts_with("error: "), "{mapping:.60} gave {outcome:.80}");
    }
}

#[test]
fn long_paths_and_templates_are_read_in_linear_time() {
    let path = r#"{"@path":{"@path":"$.p"}}"#;
    for text in ["[0]".repeat(300_000), ".a".repeat(300_000), "]".repeat(300_000), "['a']".repeat(100_000)] {
        resolved(path, &format!(r#"{{"p":"{text}","a":"s"}}"#));
    }
    for text in ["{".repeat(32_000), "{{a} ".repeat(6000), "{{{a}}".repeat(5000)] {
        resolved(r#"{"@template":{"@path":"$.p"}}"#, &format!(r#"{{"p":"{text}"}}"#));
    }
    let members: Vec<String> = (0..60_000).map(|index| format!("\"k{index}\":{index}")).collect();
    let event = format!("{{\"o\":{{{}}}}}", members.join(","));
    let merged =
        resolved(r#"{"@merge":{"direction":"right","objects":[{"@path":"$.o"},{"@path":"$.o"}]}}"#, &event);
    let flat = resolved(r#"{"@flatten":{"separator":".","value":{"@path":"$.o"}}}"#, &event);
    assert_eq!(merged, flat);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in "([{}%|.:,=<>()'\"\\[\\]$@ a-c0-9-]|if |endif|assign |é|😀|\n){0,60}", word in "[a-z ]{0,12}") {
        for name in ["@path", "@template", "@liquid"] {
            let quoted = Value::from(text.clone()).to_string();
            resolved(&format!("{{{name:?}:{quoted}}}"), &format!(r#"{{"a":["{word}",{{"b":"é😀"}}],"b":{quoted},"c":-1.5}}"#));
        }
    }

    #[test]
    fn resolving_is_pure(text in "[a-c{}. |]{0,20}") {
        let quoted = Value::from(text).to_string();
        let mapping = Value::parse(r#"{"x":{"@liquid":"{% increment a %}{{ b | append: c }}"},"y":{"@template":"{{b}}"}}"#).unwrap();
        let event = format!(r#"{{"a":1,"b":{quoted},"c":{quoted}}}"#);
        let event = Value::parse(&event).unwrap();
        let before = event.to_string();
        let directive = Directive::compile_mapping(&mapping).unwrap();
        prop_assert_eq!(transform(&directive, &event).unwrap(), transform(&directive, &event).unwrap());
        prop_assert_eq!(event.to_string(), before);
    }
}
