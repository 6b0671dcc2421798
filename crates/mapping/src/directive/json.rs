//! `@json`: writes a value as JSON text, or reads JSON text as a value.

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::{Budget, Resolved};
use crate::javascript;
use crate::json::{self, Value};

#[derive(Debug)]
pub(super) struct Json {
    mode: Mode,
    value: Node,
}

#[derive(Debug)]
enum Mode {
    Encode,
    Decode,
    /// A mode in the wrong case passes the engine's check and then has no result.
    Neither,
}

impl Json {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        compiler.options(operand, place, |compiler, options| {
            let given = |key| options.get(key).is_some_and(javascript::is_truthy);
            if !given("mode") {
                return compiler.failure(place, "needs a `mode`: \"encode\" or \"decode\"");
            }
            if !given("value") {
                return compiler.failure(place, "needs a `value` other than \"\", 0, false and null");
            }
            let mode = match options.get("mode").and_then(Value::as_str) {
                Some("encode") => Mode::Encode,
                Some("decode") => Mode::Decode,
                _ => Mode::Neither,
            };
            Node::Json(Box::new(Self { mode, value: compiler.member(options, "value", place) }))
        })
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let value = self.value.resolve(scope)?;
        match self.mode {
            Mode::Encode => encode(value, scope.budget),
            Mode::Decode => decode(value, scope.budget),
            Mode::Neither => Ok(Resolved::Undefined),
        }
    }
}

fn encode<'s, 'e>(value: Resolved<'s, 'e>, budget: &Budget) -> Result<Resolved<'s, 'e>, ResolveError> {
    let mut out = Vec::new();
    match value {
        Resolved::Undefined => return Ok(Resolved::Undefined),
        Resolved::Borrowed(value) => write(value, &mut out),
        built => write(&built.into_value(budget)?, &mut out),
    }
    budget.text(out.len())?;
    Ok(Resolved::text(String::from_utf8_lossy(&out).into_owned()))
}

/// Writes as `JSON.stringify` does: in JavaScript's order of keys.
pub(super) fn write(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Object(object) => {
            out.push(b'{');
            for (index, (key, member)) in javascript::ordered(object).into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                json::write_string(key, out);
                out.push(b':');
                write(member, out);
            }
            out.push(b'}');
        }
        scalar => scalar.write(out),
    }
}

/// A value that is not a text, or a text that is not JSON, stays as it is.
fn decode<'s, 'e>(value: Resolved<'s, 'e>, budget: &Budget) -> Result<Resolved<'s, 'e>, ResolveError> {
    let Some(text) = value.view().as_str() else { return Ok(value) };
    let Ok(decoded) = Value::parse(text) else { return Ok(value) };
    let decoded = decoded.into_owned();
    budget.copy(&decoded)?;
    Ok(Resolved::Owned(decoded))
}
