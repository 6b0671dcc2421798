//! What Segment refuses before it maps anything: the structure of a mapping, checked once when it is loaded.
//!
//! As peculiar as Segment's own check: it looks into objects and into the options of directives, also those that
//! nothing reads, but not into arrays, nor into the plain objects of `@literal` and similar directives. What it does
//! not see is still compiled (`compile.rs`), and fails only when an event reaches it.

use super::CompileError;
use super::compile::{Place, unknown};
use super::text::MAX_PATTERN;
use crate::javascript::text_length;
use crate::json::{Object, Value};

type CheckResult = Result<(), CompileError>;

/// The values that a directive accepts for one of its options.
#[derive(Clone, Copy)]
enum Accepts {
    /// Any JSON; a directive is checked.
    Anything,
    Text,
    TextOrDirective,
    ObjectOrDirective,
    Boolean,
    Array,
    /// A text of at most this many UTF-16 code units.
    Length(usize, usize),
    /// One of two words, in any case.
    Word(&'static str, &'static str),
}

/// An option: its name, whether it is required, and which values it may have.
type Field = (&'static str, bool, Accepts);

const IF: &[Field] = &[
    ("exists", false, Accepts::Anything),
    ("then", false, Accepts::Anything),
    ("else", false, Accepts::Anything),
];
const CASE: &[Field] = &[("operator", false, Accepts::Text), ("value", false, Accepts::TextOrDirective)];
const REPLACE: &[Field] = &[
    ("pattern", true, Accepts::Length(1, MAX_PATTERN)),
    ("replacement", false, Accepts::Length(0, MAX_PATTERN)),
    ("value", true, Accepts::TextOrDirective),
    ("ignorecase", false, Accepts::Boolean),
    ("global", false, Accepts::Boolean),
];
const JSON: &[Field] =
    &[("value", true, Accepts::Anything), ("mode", true, Accepts::Word("encode", "decode"))];
const FLATTEN: &[Field] = &[("separator", false, Accepts::Text), ("value", true, Accepts::Anything)];
const MERGE: &[Field] =
    &[("direction", false, Accepts::Word("left", "right")), ("objects", true, Accepts::Array)];
const TRANSFORM: &[Field] =
    &[("apply", true, Accepts::ObjectOrDirective), ("mapping", true, Accepts::ObjectOrDirective)];

/// Checks a mapping value and returns the first fault.
pub(super) fn check(value: &Value<'_>, place: &Place<'_>) -> CheckResult {
    match value {
        Value::Object(members) if has_directive(members) => directive(members, place),
        Value::Object(members) => object(members, place),
        _ => Ok(()),
    }
}

fn has_directive(members: &Object<'_>) -> bool {
    members.iter().any(|(key, _)| key.starts_with('@'))
}

fn fault(place: &Place<'_>, message: impl Into<String>) -> CheckResult {
    Err(CompileError { path: place.to_string(), message: message.into() })
}

fn object(members: &Object<'_>, place: &Place<'_>) -> CheckResult {
    members.iter().try_for_each(|(key, member)| check(member, &place.key(key)))
}

fn directive(members: &Object<'_>, place: &Place<'_>) -> CheckResult {
    let Some((name, operand)) = members.iter().find(|(key, _)| key.starts_with('@')) else { return Ok(()) };
    let keys: Vec<&str> = members.iter().map(|(key, _)| key).filter(|key| *key != "_metadata").collect();
    if keys.len() > 1 {
        return fault(
            place,
            format!("an object with a directive has no other key, but here are {}", keys.join(", ")),
        );
    }
    let place = place.key(name);
    match name {
        "@path" | "@template" => accept_deeply(Accepts::TextOrDirective, operand, &place),
        "@literal" | "@excludeWhenNull" => accept_deeply(Accepts::Anything, operand, &place),
        "@liquid" => accept_deeply(Accepts::Text, operand, &place),
        "@arrayPath" => array_path(operand, &place),
        "@if" => options(operand, IF, &place),
        "@case" => options(operand, CASE, &place),
        "@replace" => options(operand, REPLACE, &place),
        "@json" => options(operand, JSON, &place),
        "@flatten" => options(operand, FLATTEN, &place),
        "@transform" => options(operand, TRANSFORM, &place),
        "@merge" => {
            options(operand, MERGE, &place)?;
            let objects = operand.get("objects").and_then(Value::as_array).unwrap_or_default();
            let place = place.key("objects");
            objects.iter().enumerate().try_for_each(|(index, object)| {
                accept_deeply(Accepts::ObjectOrDirective, object, &place.key(&index.to_string()))
            })
        }
        other => fault(&place, unknown(other)),
    }
}

fn array_path(operand: &Value<'_>, place: &Place<'_>) -> CheckResult {
    let Some(operands) = operand.as_array() else {
        return fault(place, format!("takes an array [path, shape], but it is {}", operand.kind()));
    };
    accept_deeply(Accepts::TextOrDirective, operands.first().unwrap_or(&Value::Null), &place.key("0"))?;
    operands.get(1).map_or(Ok(()), |shape| check(shape, &place.key("1")))
}

fn options(operand: &Value<'_>, fields: &[Field], place: &Place<'_>) -> CheckResult {
    let Some(members) = operand.as_object().filter(|members| !has_directive(members)) else {
        return fault(place, format!("takes an object of options, but it is {}", described(operand)));
    };
    object(members, place)?;
    for (name, required, accepts) in fields {
        match members.get(name) {
            Some(member) => accept(*accepts, member, &place.key(name))?,
            None if *required => return fault(place, format!("needs `{name}`")),
            None => {}
        }
    }
    Ok(())
}

fn described(value: &Value<'_>) -> &'static str {
    if value.as_object().is_some_and(has_directive) { "a directive" } else { value.kind() }
}

/// Checks the kind of a value and what is inside it.
fn accept_deeply(accepts: Accepts, value: &Value<'_>, place: &Place<'_>) -> CheckResult {
    accept(accepts, value, place)?;
    match value {
        Value::Object(members) if has_directive(members) => directive(members, place),
        Value::Object(members) if matches!(accepts, Accepts::ObjectOrDirective) => object(members, place),
        _ => Ok(()),
    }
}

/// Checks only the kind of a value. Options were checked inside before, once: otherwise nesting would cost 2^depth.
fn accept(accepts: Accepts, value: &Value<'_>, place: &Place<'_>) -> CheckResult {
    let expected = match (accepts, value) {
        (_, Value::Object(members)) if has_directive(members) => match accepts {
            Accepts::Anything | Accepts::TextOrDirective | Accepts::ObjectOrDirective => return Ok(()),
            Accepts::Boolean => "must be true or false",
            Accepts::Array => "must be an array",
            _ => "must be a string",
        },
        (Accepts::Anything, _)
        | (Accepts::Text | Accepts::TextOrDirective, Value::String(_))
        | (Accepts::Boolean, Value::Bool(_))
        | (Accepts::Array, Value::Array(_))
        | (Accepts::ObjectOrDirective, Value::Object(_)) => return Ok(()),
        (Accepts::Length(shortest, longest), Value::String(text)) => {
            let fits = (shortest..=longest).contains(&text_length(text));
            let message = format!("must have {shortest} to {longest} characters");
            return if fits { Ok(()) } else { fault(place, message) };
        }
        (Accepts::Word(one, other), Value::String(text)) => {
            let known = [one, other].contains(&text.to_lowercase().as_str());
            return if known { Ok(()) } else { fault(place, format!("must be \"{one}\" or \"{other}\"")) };
        }
        (Accepts::TextOrDirective, _) => "must be a string or a directive",
        (Accepts::ObjectOrDirective, _) => "must be an object or a directive",
        (Accepts::Boolean, _) => "must be true or false",
        (Accepts::Array, _) => "must be an array",
        _ => "must be a string",
    };
    fault(place, format!("{expected}, but it is {}", described(value)))
}
