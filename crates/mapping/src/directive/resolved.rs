//! The result of a directive: JSON, plus JavaScript's `undefined`, which may also occur inside arrays and objects
//! until the whole mapping is resolved (there it decides what `@merge`, `@flatten` and paths see).
//!
//! Values are borrowed from the event (or the mapping) as long as nothing new must be built. Everything built is
//! charged to a [`Budget`], so that no mapping can turn a small event into an enormous one.

use std::borrow::Cow;
use std::cell::Cell;

use super::ResolveError;
use crate::javascript;
use crate::json::{Object, Value};

/// The most bytes that resolving one value may build: nearly 700,000 values, or that much text.
const MAX_BUILT: usize = 32 << 20;

/// The bytes that one built value counts for besides its text: about its size in memory.
const VALUE_COST: usize = 48;

/// A member of an object under construction.
pub(super) type Member<'s, 'e> = (Cow<'e, str>, Resolved<'s, 'e>);

/// `'e`: the event's bytes and the mapping. `'s`: the root it was resolved against, perhaps built on the way.
#[derive(Debug, Clone)]
pub(super) enum Resolved<'s, 'e> {
    Undefined,
    Borrowed(&'s Value<'e>),
    Owned(Value<'e>),
    /// An array with an undefined somewhere inside.
    Array(Vec<Resolved<'s, 'e>>),
    /// An object with an undefined somewhere inside; its keys differ.
    Object(Vec<Member<'s, 'e>>),
}

/// A reference to a resolved value or to a part of one.
#[derive(Debug, Clone, Copy)]
pub(super) enum View<'s, 'e> {
    Undefined,
    Value(&'s Value<'e>),
    /// A [`Resolved::Array`] or [`Resolved::Object`].
    Sparse(&'s Resolved<'s, 'e>),
}

/// The bytes that may still be built while one value is resolved.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Cell::new(MAX_BUILT))
    }

    /// Charges text of this many bytes.
    pub(super) fn text(&self, bytes: usize) -> Result<(), ResolveError> {
        let left = self.0.get().checked_sub(bytes).ok_or_else(|| ResolveError {
            path: String::new(),
            message: format!("the mapping makes more than {MAX_BUILT} bytes of this event; map less of it"),
        })?;
        self.0.set(left);
        Ok(())
    }

    /// Charges this many values.
    pub(super) fn values(&self, count: usize) -> Result<(), ResolveError> {
        self.text(count.saturating_mul(VALUE_COST))
    }

    /// Charges a copy of a value; text that is borrowed from the event is not copied.
    pub(super) fn copy(&self, value: &Value<'_>) -> Result<(), ResolveError> {
        self.values(1)?;
        match value {
            Value::String(Cow::Owned(text)) => self.text(text.len()),
            Value::Array(items) => items.iter().try_for_each(|item| self.copy(item)),
            Value::Object(object) => object.members().iter().try_for_each(|(key, value)| {
                self.text(if let Cow::Owned(key) = key { key.len() } else { 0 })?;
                self.copy(value)
            }),
            _ => Ok(()),
        }
    }
}

impl<'s, 'e> Resolved<'s, 'e> {
    pub(super) fn text(text: String) -> Self {
        Resolved::Owned(Value::from(text))
    }

    /// Without any undefined inside.
    fn is_json(&self) -> bool {
        matches!(self, Resolved::Borrowed(_) | Resolved::Owned(_))
    }

    pub(super) fn view(&self) -> View<'_, 'e> {
        match self {
            Resolved::Undefined => View::Undefined,
            Resolved::Borrowed(value) => View::Value(value),
            Resolved::Owned(value) => View::Value(value),
            sparse => View::Sparse(sparse),
        }
    }

    pub(super) fn array(items: Vec<Self>, budget: &Budget) -> Result<Self, ResolveError> {
        budget.values(items.len() + 1)?;
        if !items.iter().all(Self::is_json) {
            return Ok(Resolved::Array(items));
        }
        let values: Result<_, _> = items.into_iter().map(|item| item.into_value(budget)).collect();
        Ok(Resolved::Owned(Value::Array(values?)))
    }

    /// An object of members whose keys differ.
    pub(super) fn object(members: Vec<Member<'s, 'e>>, budget: &Budget) -> Result<Self, ResolveError> {
        budget.values(members.len() + 1)?;
        if !members.iter().all(|(_, member)| member.is_json()) {
            return Ok(Resolved::Object(members));
        }
        let values = members.into_iter().map(|(key, member)| Ok((key, member.into_value(budget)?)));
        let values: Result<Vec<_>, ResolveError> = values.collect();
        Ok(Resolved::Owned(Value::Object(Object::from_distinct(values?))))
    }

    /// The value as JSON: undefined members are removed, undefined items (and undefined itself) become null.
    pub(super) fn into_value(self, budget: &Budget) -> Result<Value<'e>, ResolveError> {
        match self {
            Resolved::Undefined => Ok(Value::Null),
            Resolved::Owned(value) => Ok(value),
            Resolved::Borrowed(value) => {
                budget.copy(value)?;
                Ok(value.clone())
            }
            Resolved::Array(items) => {
                let values: Result<_, _> = items.into_iter().map(|item| item.into_value(budget)).collect();
                Ok(Value::Array(values?))
            }
            Resolved::Object(members) => {
                let defined =
                    members.into_iter().filter(|(_, member)| !matches!(member, Resolved::Undefined));
                let values: Result<Vec<_>, ResolveError> =
                    defined.map(|(key, member)| Ok((key, member.into_value(budget)?))).collect();
                Ok(Value::Object(Object::from_distinct(values?)))
            }
        }
    }

    /// Without undefined members; undefined array items stay (`transform` ends so, also for `@transform.apply`).
    pub(super) fn without_undefined_members(self, budget: &Budget) -> Result<Self, ResolveError> {
        match self {
            Resolved::Array(items) => {
                let items: Result<_, _> =
                    items.into_iter().map(|item| item.without_undefined_members(budget)).collect();
                Self::array(items?, budget)
            }
            Resolved::Object(members) => {
                let defined =
                    members.into_iter().filter(|(_, member)| !matches!(member, Resolved::Undefined));
                let members: Result<_, ResolveError> = defined
                    .map(|(key, member)| Ok((key, member.without_undefined_members(budget)?)))
                    .collect();
                Self::object(members?, budget)
            }
            whole => Ok(whole),
        }
    }

    /// The same value, free of the root it was resolved against.
    pub(super) fn detach<'other>(self, budget: &Budget) -> Result<Resolved<'other, 'e>, ResolveError> {
        Ok(match self {
            Resolved::Undefined => Resolved::Undefined,
            Resolved::Borrowed(_) | Resolved::Owned(_) => Resolved::Owned(self.into_value(budget)?),
            Resolved::Array(items) => {
                let items: Result<_, _> = items.into_iter().map(|item| item.detach(budget)).collect();
                Resolved::Array(items?)
            }
            Resolved::Object(members) => {
                let members: Result<_, ResolveError> =
                    members.into_iter().map(|(key, member)| Ok((key, member.detach(budget)?))).collect();
                Resolved::Object(members?)
            }
        })
    }
}

impl<'s, 'e> View<'s, 'e> {
    pub(super) fn resolved(self) -> Resolved<'s, 'e> {
        match self {
            View::Undefined => Resolved::Undefined,
            View::Value(value) => Resolved::Borrowed(value),
            View::Sparse(sparse) => sparse.clone(),
        }
    }

    /// The root, or an empty object for an undefined one, as the engine's default arguments have it.
    pub(super) fn or_empty(self) -> Self {
        static EMPTY: Value<'static> = Value::Object(Object::new());
        if let View::Undefined = self { View::Value(&EMPTY) } else { self }
    }

    /// Neither undefined nor null.
    pub(super) fn exists(self) -> bool {
        !matches!(self, View::Undefined | View::Value(Value::Null))
    }

    pub(super) fn is_truthy(self) -> bool {
        match self {
            View::Undefined => false,
            View::Value(value) => javascript::is_truthy(value),
            View::Sparse(_) => true,
        }
    }

    /// Whether its text inside an array is empty: `[null].join()`.
    pub(super) fn is_textless(self) -> bool {
        match self {
            View::Undefined | View::Value(Value::Null) => true,
            View::Value(Value::String(text)) => text.is_empty(),
            View::Value(Value::Array(_)) | View::Sparse(_) => self.is_loosely_empty(),
            View::Value(_) => false,
        }
    }

    pub(super) fn is_object(self) -> bool {
        matches!(self, View::Value(Value::Object(_)) | View::Sparse(Resolved::Object(_)))
    }

    pub(super) fn as_str(self) -> Option<&'s str> {
        if let View::Value(Value::String(text)) = self { Some(text) } else { None }
    }

    /// The kind of value, for messages.
    pub(super) fn kind(self) -> &'static str {
        match self {
            View::Undefined => "nothing",
            View::Value(value) => value.kind(),
            View::Sparse(Resolved::Array(_)) => "array",
            View::Sparse(_) => "object",
        }
    }

    /// The member of an object by its key.
    pub(super) fn member(self, key: &str) -> View<'s, 'e> {
        let member = match self {
            View::Value(Value::Object(object)) => object.get(key).map(View::Value),
            View::Sparse(Resolved::Object(members)) => {
                members.iter().find(|(name, _)| name == key).map(|(_, member)| member.view())
            }
            _ => None,
        };
        member.unwrap_or(View::Undefined)
    }

    /// Whether both are the same value in the same place.
    pub(super) fn is_same(self, other: View<'_, '_>) -> bool {
        match (self, other) {
            (View::Value(one), View::Value(other)) => std::ptr::addr_eq(one, other),
            (View::Sparse(one), View::Sparse(other)) => std::ptr::addr_eq(one, other),
            _ => false,
        }
    }

    /// The items of an array.
    pub(super) fn items(self) -> Option<Items<'s, 'e>> {
        match self {
            View::Value(Value::Array(items)) => Some(Items::Values(items.iter())),
            View::Sparse(Resolved::Array(items)) => Some(Items::Sparse(items.iter())),
            _ => None,
        }
    }

    /// The members of an object, in JavaScript's order.
    pub(super) fn members(self) -> Option<Vec<(Cow<'e, str>, View<'s, 'e>)>> {
        let mut members: Vec<_> = match self {
            View::Value(Value::Object(object)) => {
                let members = javascript::ordered(object).into_iter();
                return Some(members.map(|(key, value)| (key.clone(), View::Value(value))).collect());
            }
            View::Sparse(Resolved::Object(members)) => {
                members.iter().map(|(key, member)| (key.clone(), member.view())).collect()
            }
            _ => return None,
        };
        // The sort is stable: keys that are not array indexes keep their order after those that are.
        members.sort_by_cached_key(|(key, _)| javascript::array_index(key).unwrap_or(usize::MAX));
        Some(members)
    }
}

/// The items of an array, with or without undefined among them.
pub(super) enum Items<'s, 'e> {
    Values(std::slice::Iter<'s, Value<'e>>),
    Sparse(std::slice::Iter<'s, Resolved<'s, 'e>>),
}

impl<'s, 'e> Iterator for Items<'s, 'e> {
    type Item = View<'s, 'e>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Items::Values(items) => items.next().map(View::Value),
            Items::Sparse(items) => items.next().map(Resolved::view),
        }
    }
}

impl View<'_, '_> {
    /// `String(value)`, appended: arrays join their items with commas, objects are `[object Object]`.
    pub(super) fn write_text(self, out: &mut String) {
        match self {
            View::Undefined | View::Value(Value::Null) => {}
            View::Value(Value::Bool(bool)) => out.push_str(if *bool { "true" } else { "false" }),
            View::Value(Value::Number(number)) => out.push_str(&javascript::number_text(number)),
            View::Value(Value::String(text)) => out.push_str(text),
            _ => match self.items() {
                None => out.push_str("[object Object]"),
                Some(items) => {
                    for (index, item) in items.enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        item.write_text(out);
                    }
                }
            },
        }
    }

    /// `value == ''`, the loose comparison: true for "", 0, false, and arrays whose text is empty.
    pub(super) fn is_loosely_empty(self) -> bool {
        match self {
            View::Undefined | View::Value(Value::Null) => false,
            View::Value(scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => {
                !javascript::is_truthy(scalar)
            }
            _ => self.items().is_some_and(|mut items| {
                // An array of two has a comma in its text; an array of one has the text of its item.
                match (items.next(), items.next()) {
                    (None, _) => true,
                    (Some(item), None) => item.is_textless(),
                    _ => false,
                }
            }),
        }
    }
}
