//! What the reference cannot tell: messages, warnings, impossible triggers, printing, hostile texts. What a
//! trigger matches is in `tests/fixtures/triggers.json` of the relay, whose tests compare it with Segment's evaluator.

use proptest::prelude::*;

use super::{MAX_LENGTH, Trigger};
use crate::json::Value;

fn error(text: &str) -> String {
    Trigger::parse(text).expect_err(text).to_string()
}

#[test]
fn errors_say_what_where_and_what_to_write() {
    for (text, expected) in [
        ("  ", "the trigger is empty: write for example type = \"track\" (column 1)"),
        ("type = \"é\" nd event = \"x\"", "expected `and` or `or`, found `nd` (column 12)"),
        (
            "type = \"a\" AND event = \"x\"",
            "expected `and` or `or`, found `AND` (`and` is written in lower case) (column 12)",
        ),
        (
            "type = \"a\" and",
            "the trigger ends too early: a field such as type, event or properties.plan is missing (column 15)",
        ),
        (
            "\"track\" = type",
            "expected a field such as type, event or properties.plan, found `\"track\"` (column 1)",
        ),
        ("type == \"a\"", "`==` is not an operator: write `=` (column 6)"),
        ("type = \"a\" && event = \"b\"", "`&&` is not an operator: write `and` (column 12)"),
        (
            "type in [\"a\"]",
            "a trigger cannot contain `[`: write an item of a list as `list.\\0`, and instead of a list of values several conditions joined by `or` (column 9)",
        ),
        ("type in \"a\"", "triggers have no `in`: write several conditions joined by `or` (column 6)"),
        ("type \"a\"", "expected one of = != < <= > >= after the field, found `\"a\"` (column 6)"),
        (
            "type =",
            "the trigger ends too early: a value: a text in double quotes, a number, true, false or null is missing (column 7)",
        ),
        (
            "properties.a = properties.b",
            "a field is compared with a value, not with a field: put text in double quotes (column 16)",
        ),
        ("type = \"a", "this text is never closed: end it with \" (column 8)"),
        (
            "properties.n > 5.",
            "this is not a number: write one like 5, -5 or 0.5, and text in double quotes (column 16)",
        ),
        (
            "properties.n > .5",
            "a dot stands between two names, without spaces, or between the digits of a number such as 0.5 (column 16)",
        ),
        (
            "properties.n = 5kg",
            "this is not a number: write one like 5, -5 or 0.5, and text in double quotes (column 16)",
        ),
        ("properties..n = 5", "a name is missing after the dot (column 12)"),
        (
            "properties.naïve = 5",
            "'ï' is unexpected here: put text in double quotes, and a `\\` before it in a name (column 14)",
        ),
        ("(type = \"a\" or (event = \"b\")", "this parenthesis is not closed: add a `)` (column 1)"),
        ("type = \"a\")", "this `)` closes nothing: remove it (column 11)"),
        (
            "contain(event, \"a\")",
            "`contain` is not a function; triggers have contains() and match(); did you mean contains()? (column 1)",
        ),
        (
            "length(event) > 5",
            "length() belongs to Segment's destination filters; triggers have only contains() and match() (column 1)",
        ),
        ("match(\"a*\", event)", "the field comes first: write match(event, \"text\") (column 7)"),
        (
            "match(event, \"[a*b\")",
            "the pattern's `[` is never closed: write `\\[` for the character itself (column 14)",
        ),
        ("match(event, a)", "expected a pattern in double quotes, such as \"Order*\", found `a` (column 14)"),
        ("contains(event, null)", "contains() looks for a text: write one in double quotes (column 17)"),
        (
            "!type = \"a\"",
            "`!` stands before contains(), match() or a parenthesis: write `!=`, or put the condition in ( ) (column 2)",
        ),
        (
            "not contains(event, \"a\")",
            "negation is written `!`, before contains(), match() or a parenthesis (column 5)",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn each_difference_from_segment_is_reported_once_at_its_first_place() {
    let warnings_of = |text: &str| Trigger::parse(text).unwrap().differences().join("\n");
    for plain in [
        "type = \"track\"",
        "type=track and (event != \"it's\" or userId = null)",
        "!match(traits.my\\ key, \"a?*\") or properties.list\\[0\\] < 5",
        "(contains(event, \"a\") and event != \"b\") and name = null",
    ] {
        assert_eq!(warnings_of(plain), "", "{plain}");
    }
    insta::assert_snapshot!(warnings_of("type = 'a' or type = 'b' and groupid = 5"), @r#"
    column 8: Segment reads single quotes as part of the text: write double quotes
    column 26: `and` binds tighter than `or` here; Segment applies the last of them to the whole line: put parentheses around one kind
    column 30: Segment cannot test `groupid` and ignores the condition; did you mean `groupId`?
    "#);
    insta::assert_snapshot!(warnings_of("!((event = null)) or properties.a>5"), @r#"
    column 1: `!( … )` negates here; Segment ignores the `!`: negate each condition instead, with `!=` or `!contains( … )`
    column 3: Segment refuses a trigger with parentheses inside parentheses
    column 4: this tests whether `event` is present; Segment compares it with the text "null"
    column 22: Segment needs a space before `>` and misreads the trigger without it
    "#);
    insta::assert_snapshot!(warnings_of("(contains(type, \"x\") or match(event, \"a*b\")) and properties != null"), @r#"
    column 2: Segment ends the parenthesis after this function: put the function last in the parenthesis
    column 11: Segment cannot test `type` and ignores the condition
    column 38: this pattern is a glob here; Segment reads a last `*` as "starts with the rest", anything else as "ends with all but the first character": write "text*" or "*text"
    column 50: `properties` is the whole object here; Segment looks for `properties.properties`: name a field in it
    "#);
    insta::assert_snapshot!(warnings_of("traits.1st = 1e3 and\r\n traits.a\\.b >=5 and type.x = \"\" or(traits.😀 = 1)".replace("traits.😀", "traits.\\😀").as_str()), @r#"
    column 1: an unescaped name `1st` never matches in Segment, and so it never matches here: write `\1st`
    column 14: Segment reads numbers only up to their exponent: write all the digits
    column 21: Segment refuses a trigger with a carriage return: end lines with \n
    column 24: `\.` is part of the name here; Segment reads it as a step into an object: a trigger at Segment cannot name a field with a dot
    column 36: Segment needs a space after `>=` and misreads the trigger without it
    column 44: Segment tests `type` itself and ignores the rest of the path: test a field of `properties`, `traits` or `context`
    column 56: Segment needs a space after `or` and misreads the trigger without it
    column 56: `and` binds tighter than `or` here; Segment applies the last of them to the whole line: put parentheses around one kind
    column 66: Segment refuses a trigger with this character in a name
    "#);
    insta::assert_snapshot!(warnings_of("type = \"a\"and(type = an)or!contains(event, 1)or event = nu"), @r#"
    column 8: Segment needs a space after `"` and misreads the trigger without it
    column 11: Segment needs a space after `and` and misreads the trigger without it
    column 25: Segment needs a space after `or` and misreads the trigger without it
    column 25: `and` binds tighter than `or` here; Segment applies the last of them to the whole line: put parentheses around one kind
    column 57: Segment loses a part of the trigger's end, because it begins like a keyword: put a space after it
    "#);
    insta::assert_snapshot!(warnings_of("! contains(event,\"x\") and properties.n=5"), @r#"
    column 1: Segment refuses a trigger with something between `!` and a function's name
    column 38: Segment loses a part of the trigger's end, because it begins like a keyword: put a space after it
    "#);
}

#[test]
fn a_trigger_that_no_event_type_can_match_is_reported() {
    let types = ["identify", "group", "track", "page", "screen", "alias"];
    let warnings_of = |text: &str| Trigger::parse(text).unwrap().impossible(&types).unwrap_or_default();
    for possible in [
        "type = \"track\"",
        "type != \"track\" and event = \"x\"",
        "type = \"trak\" or event = \"x\"",
        "!(type = \"trak\")",
        "!(properties.n > \"x\")",
        "match(type, \"tr*\")",
    ] {
        assert_eq!(warnings_of(possible), "", "{possible}");
    }
    insta::assert_snapshot!(warnings_of("type = \"trak\" and event = \"x\""), @r#"no event has the type "trak"; did you mean "track"? (types are: identify, group, track, page, screen, alias)"#);
    insta::assert_snapshot!(warnings_of("type = \"track\" and (type = \"page\" or type = \"screen\")"), @r#"no event of any type (identify, group, track, page, screen, alias) can meet all these conditions; did you mean `or`?"#);
    insta::assert_snapshot!(warnings_of("properties.n > \"x\""), @r#"`properties.n > "x"` never holds: `<` and `>` compare with a number"#);
    insta::assert_snapshot!(warnings_of("!(type != \"purchase\" or event = \"x\")"), @r#"no event of any type (identify, group, track, page, screen, alias) can meet all these conditions; did you mean `or`?"#);
    assert_ne!(warnings_of("type = \"track\" and properties.1st = 5"), "");
    assert_ne!(warnings_of("type = null"), "");
}

#[test]
fn prints_as_the_editor_writes() {
    for (text, printed) in [
        ("type='track'or event=x", "type = \"track\" or event = \"x\""),
        ("type = a or type = b and type = c", "type = \"a\" or (type = \"b\" and type = \"c\")"),
        ("!(event = null) and event = 5.0", "!(event = null) and event = \"5\""),
        ("groupId != 5", "!(groupId = 5)"),
        ("properties.list\\[0\\].my\\ key != true", "properties.list.\\0.my\\ key != \"true\""),
        (
            "!match(event, '\"a?*') and contains(name, \\'\\\")",
            "!match(event, '\"a?*') and contains(name, \\'\\\")",
        ),
        ("traits.a < \"0x10\" and traits.b > Infinity", "traits.a < 16 and traits.b > \"Infinity\""),
    ] {
        assert_eq!(Trigger::parse(text).unwrap().to_string(), printed);
    }
}

#[test]
fn size_and_depth_are_capped() {
    let nested = |levels: usize| format!("{}type = a{}", "(".repeat(levels), ")".repeat(levels));
    assert!(Trigger::parse(&nested(32)).is_ok());
    assert_eq!(error(&nested(33)), "parentheses nest at most 32 deep: remove some (column 33)");
    assert!(error(&"(".repeat(MAX_LENGTH)).contains("nest at most"));
    assert!(error(&" ".repeat(MAX_LENGTH + 1)).contains("at most 65536 bytes"));
    let long = format!("a{}", ".a".repeat(MAX_LENGTH / 2 - 8));
    assert!(Trigger::parse(&format!("{long} = 1\r\n")).is_ok());
    let star = Trigger::parse(&format!("match(event, \"{}b\")", "*a".repeat(1000))).unwrap();
    let event = Value::parse(r#"{"event":"E"}"#.replace('E', &"a".repeat(30_000)).leak()).unwrap();
    assert!(!star.matches(&event));
}

/// Generates conditions in every form, well written and badly written.
fn condition() -> impl Strategy<Value = String> {
    let field = r"(type|event|userId|groupId|(properties|traits|x)(\.([a-z1-]|\\.){1,3}){1,2})";
    let text = r#"("[^"]{0,4}"|'[^']{0,4}'|([a-z_]|\\.){1,3})"#;
    let comparison = format!(r"{field} ?(=|!=|<|>=) ?({text}|-?[0-9]{{1,3}}(\.5)?(e9)?|true|null)");
    let function =
        format!(r#"!?(contains\({field}, {text}\)|match\({field}, "([a-c?\[\]\\-]|\*){{0,4}}"\))"#);
    prop_oneof![string_of(&comparison), string_of(&function)]
}

fn string_of(pattern: &str) -> proptest::string::RegexGeneratorStrategy<String> {
    proptest::string::string_regex(pattern).unwrap()
}

fn line() -> impl Strategy<Value = String> {
    condition().prop_recursive(3, 12, 3, |line| {
        (prop::collection::vec((line, any::<bool>(), 0..4), 1..4)).prop_map(|parts| {
            let joined = parts.iter().map(|(line, or, form)| {
                let part = match form {
                    0 => format!("({line})"),
                    1 => format!("!({line})"),
                    _ => line.clone(),
                };
                part + if *or { " or " } else { " and " }
            });
            joined.collect::<String>().trim_end_matches(" or ").trim_end_matches(" and ").to_owned()
        })
    })
}

proptest! {
    #[test]
    fn parsing_a_printed_trigger_gives_the_same_trigger(text in line()) {
        if let Ok(trigger) = Trigger::parse(&text) {
            let printed = trigger.to_string();
            let again = Trigger::parse(&printed).map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
            prop_assert_eq!(&again, &trigger, "{}", printed);
            prop_assert_eq!(again.to_string(), printed);
        }
    }

    #[test]
    fn no_text_panics(text in prop_oneof![
        any::<String>(),
        r#"([()!=<>,.\\"'* \r\n5\[]|and |or |type|event|contains\(|match\(|é|😀){0,40}"#,
    ]) {
        let event = Value::parse(r#"{"type":"track","event":"Report","properties":{"list":[1,"x"]}}"#).unwrap();
        match Trigger::parse(&text) {
            Ok(trigger) => {
                trigger.matches(&event);
                trigger.differences();
                trigger.impossible(&["track"]);
            }
            Err(error) => prop_assert!((1..=text.chars().count() + 1).contains(&error.column)),
        }
    }

    #[test]
    fn what_matches_is_possible(text in line(), event in "[a-c]{0,5}") {
        let event = format!(r#"{{"type":"{event}","event":"{event}","groupId":"{event}"}}"#);
        let event = Value::parse(&event).unwrap();
        if let Ok(trigger) = Trigger::parse(&text) && trigger.matches(&event) {
            prop_assert_eq!(trigger.impossible(&[event.get("type").unwrap().as_str().unwrap()]), None);
        }
    }
}
