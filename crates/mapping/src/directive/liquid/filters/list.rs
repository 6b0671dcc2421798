//! Filters on arrays, and those that take any value.

use std::borrow::Cow;

use super::{Data, Filter, fault};
use crate::directive::liquid::render::{index, length, member};
use crate::directive::resolved::Budget;
use crate::directive::{ResolveError, json};
use crate::javascript;

pub(super) fn named(name: &str) -> Option<Filter> {
    let filter: Filter = match name {
        "first" => |value, _, _| Ok(end(value, <[Data<'_>]>::first)),
        "last" => |value, _, _| Ok(end(value, <[Data<'_>]>::last)),
        "size" => |value, _, _| Ok(size(value)),
        "join" => join,
        "compact" => |value, _, budget| list(value, budget, |items| items.retain(|item| !item.is_nil())),
        "push" => |value, arguments, budget| {
            list(value, budget, |items| items.push(arguments.first().cloned().unwrap_or(Data::Undefined)))
        },
        "unshift" => |value, arguments, budget| {
            list(value, budget, |items| {
                items.insert(0, arguments.first().cloned().unwrap_or(Data::Undefined));
            })
        },
        "pop" => |value, _, budget| list(value, budget, |items| drop(items.pop())),
        "shift" => |value, _, budget| list(value, budget, |items| drop(items.drain(..items.len().min(1)))),
        "sum" => sum,
        "slice" => slice,
        "default" => |value, arguments, _| Ok(default(value, arguments)),
        "json" | "jsonify" | "inspect" => encode,
        _ => return None,
    };
    Some(filter)
}

/// Returns the value's items: nil has none, and a value that is not an array is its own only item.
fn items<'v>(value: &Data<'v>) -> Vec<Data<'v>> {
    value.items().unwrap_or_else(|| if value.is_nil() { Vec::new() } else { vec![value.clone()] })
}

fn list<'v>(
    value: &Data<'v>,
    budget: &Budget,
    change: impl FnOnce(&mut Vec<Data<'v>>),
) -> Result<Data<'v>, ResolveError> {
    let mut items = items(value);
    budget.values(items.len())?;
    change(&mut items);
    Ok(Data::List(items))
}

/// An end of an array or a text.
fn end<'v>(value: &Data<'v>, pick: for<'a> fn(&'a [Data<'v>]) -> Option<&'a Data<'v>>) -> Data<'v> {
    match value {
        Data::Text(text) if !text.is_empty() => {
            let units: Vec<Data<'v>> = text.encode_utf16().map(Data::from_unit).collect();
            pick(&units).cloned().unwrap_or(Data::Undefined)
        }
        value => match value.items() {
            Some(items) => pick(&items).cloned().unwrap_or(Data::Undefined),
            None => Data::Text(Cow::Borrowed("")),
        },
    }
}

fn size<'v>(value: &Data<'v>) -> Data<'v> {
    match value {
        Data::Text(text) => Data::Number(length(javascript::text_length(text))),
        value => match (value.items(), value) {
            (Some(items), _) => Data::Number(length(items.len())),
            // An object with a member of that name.
            (None, Data::Event(view)) => match Data::from(view.member("length")) {
                found if found.is_given() => found,
                _ => Data::Number(0.0),
            },
            _ => Data::Number(0.0),
        },
    }
}

fn join<'v>(value: &Data<'v>, arguments: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    let separator = match arguments.first() {
        Some(separator) if !separator.is_nil() => separator.printed(),
        _ => Cow::Borrowed(" "),
    };
    let mut joined = String::new();
    for (index, item) in items(value).iter().enumerate() {
        let before = joined.len();
        if index > 0 {
            joined.push_str(&separator);
        }
        if !item.is_nil() {
            joined.push_str(&item.script_text());
        }
        budget.text(joined.len() - before)?;
    }
    Ok(Data::text(joined))
}

fn sum<'v>(value: &Data<'v>, arguments: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    let items = items(value);
    budget.values(items.len())?;
    let property = arguments.first().filter(|property| property.is_given()).map(Data::printed);
    let numbers = items.iter().map(|item| match &property {
        None => item.number(),
        Some(path) => path.split('.').fold(item.clone(), |at, key| member(&at, &Data::text(key))).number(),
    });
    Ok(Data::Number(numbers.filter(|number| !number.is_nan()).sum()))
}

fn slice<'v>(value: &Data<'v>, arguments: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    if value.is_nil() {
        return Ok(Data::List(Vec::new()));
    }
    let (begin, most) = (arguments.first(), arguments.get(1).filter(|most| !matches!(most, Data::Undefined)));
    let range = |size: usize| {
        let begin = begin.cloned().unwrap_or(Data::Undefined);
        let begin = if begin.number() < 0.0 { Data::Number(length(size) + begin.number()) } else { begin };
        let most = most.cloned().unwrap_or(Data::Number(1.0));
        let end = plus(&begin, &most);
        let end = if end < 0.0 { length(size) + end } else { end };
        let range = index(begin.number())..index(end).min(size);
        if begin.number() < 0.0 || most.number() < 0.0 || range.is_empty() { 0..0 } else { range }
    };
    budget.text(most.map_or(1, |most| index(most.number())))?;
    if let Some(items) = value.items() {
        budget.values(items.len())?;
        let kept = items.get(range(items.len())).unwrap_or_default();
        return Ok(Data::List(kept.to_vec()));
    }
    let units: Vec<u16> = value.printed().encode_utf16().collect();
    let kept = units.get(range(units.len())).unwrap_or_default();
    budget.text(kept.len())?;
    Ok(Data::text(String::from_utf16_lossy(kept)))
}

/// JavaScript's `+`, as a number: texts are joined first.
fn plus(one: &Data<'_>, other: &Data<'_>) -> f64 {
    let joins = |data: &Data<'_>| matches!(data, Data::Text(_) | Data::List(_) | Data::Event(_));
    if joins(one) || joins(other) {
        return javascript::number_from_text(&(one.script_text() + &other.script_text())).unwrap_or(f64::NAN);
    }
    one.number() + other.number()
}

fn default<'v>(value: &Data<'v>, arguments: &[Data<'v>]) -> Data<'v> {
    let (instead, named) = match arguments.split_first() {
        Some((first, named)) => (first.clone(), named),
        None => (Data::Undefined, arguments),
    };
    let kept = match value {
        Data::Text(text) => !text.is_empty(),
        Data::Bool(false) => named.iter().filter_map(Data::items).any(|pair| {
            matches!(pair.as_slice(), [Data::Text(name), allowed] if name == "allow_false" && allowed.is_truthy())
        }),
        value => match value.items() {
            Some(items) => !items.is_empty(),
            None => value.is_truthy(),
        },
    };
    if kept { value.clone() } else { instead }
}

/// Returns the value as JSON; nothing for nil.
fn encode<'v>(value: &Data<'v>, arguments: &[Data<'v>], budget: &Budget) -> Result<Data<'v>, ResolveError> {
    if !arguments.is_empty() {
        return Err(fault("the liquid filter `json` takes no argument here"));
    }
    if let Data::Undefined = value {
        return Ok(Data::Undefined);
    }
    let mut out = Vec::new();
    write(value, budget, &mut out)?;
    budget.text(out.len())?;
    Ok(Data::text(String::from_utf8_lossy(&out)))
}

fn write(value: &Data<'_>, budget: &Budget, out: &mut Vec<u8>) -> Result<(), ResolveError> {
    match value {
        Data::Event(view) => json::write(&view.resolved().into_value(budget)?, out),
        Data::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, budget, out)?;
            }
            out.push(b']');
        }
        Data::Text(text) => crate::json::write_string(text, out),
        Data::Number(number) if !number.is_finite() => out.extend_from_slice(b"null"),
        Data::Number(_) | Data::Bool(_) => out.extend_from_slice(value.printed().as_bytes()),
        _ => out.extend_from_slice(b"null"),
    }
    Ok(())
}
