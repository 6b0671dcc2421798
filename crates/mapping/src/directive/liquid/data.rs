//! The values that a liquid template computes with, and JavaScript's comparisons of them.
//!
//! Numbers are 64-bit floats here, infinities included, as in LiquidJS; arrays and objects of the event stay borrowed.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::resolved::View;
use crate::javascript;
use crate::json::Value;

#[derive(Debug, Clone)]
pub(super) enum Data<'v> {
    Undefined,
    Null,
    /// The literals `nil`, `empty` and `blank`, which compare in ways of their own.
    Nil,
    Empty,
    Blank,
    Bool(bool),
    Number(f64),
    Text(Cow<'v, str>),
    List(Vec<Data<'v>>),
    /// An array or object of the event.
    Event(View<'v, 'v>),
}

impl<'v> From<View<'v, 'v>> for Data<'v> {
    fn from(view: View<'v, 'v>) -> Self {
        match view {
            View::Undefined => Data::Undefined,
            View::Value(Value::Null) => Data::Null,
            View::Value(Value::Bool(bool)) => Data::Bool(*bool),
            View::Value(Value::Number(number)) => Data::Number(number.as_f64().unwrap_or(f64::NAN)),
            View::Value(Value::String(text)) => Data::Text(Cow::Borrowed(text)),
            whole => Data::Event(whole),
        }
    }
}

impl<'v> Data<'v> {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Data::Text(Cow::Owned(text.into()))
    }

    /// One UTF-16 code unit of a text.
    pub(super) fn from_unit(unit: u16) -> Self {
        match javascript::unit(unit) {
            Value::String(text) => Data::text(text),
            _ => Data::Undefined,
        }
    }

    /// Returns the literals as the plain values that filters see.
    pub(super) fn plain(self) -> Self {
        match self {
            Data::Nil => Data::Null,
            Data::Empty | Data::Blank => Data::Text(Cow::Borrowed("")),
            other => other,
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Data::Undefined | Data::Null | Data::Nil)
    }

    /// Returns false only for nil and false.
    pub(super) fn is_truthy(&self) -> bool {
        !self.is_nil() && !matches!(self, Data::Bool(false))
    }

    /// JavaScript's truthiness, by which some filters decide whether an argument was given.
    pub(super) fn is_given(&self) -> bool {
        match self {
            Data::Text(text) => !text.is_empty(),
            Data::Number(number) => *number != 0.0 && !number.is_nan(),
            other => other.is_truthy(),
        }
    }

    /// Appends what the value prints: nothing for nil, the items of an array one after another.
    pub(super) fn print(&self, out: &mut String) {
        match self {
            Data::Undefined | Data::Null | Data::Nil | Data::Empty | Data::Blank => {}
            Data::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Data::Number(number) => out.push_str(&javascript::number_to_text(*number)),
            Data::Text(text) => out.push_str(text),
            Data::List(items) => items.iter().for_each(|item| item.print(out)),
            Data::Event(view) => match view.items() {
                Some(items) => items.for_each(|item| Data::from(item).print(out)),
                None => out.push_str("[object Object]"),
            },
        }
    }

    /// Returns what the value prints; borrowed if it is a text already.
    pub(super) fn printed(&self) -> Cow<'_, str> {
        if let Data::Text(text) = self {
            return Cow::Borrowed(text);
        }
        let mut out = String::new();
        self.print(&mut out);
        Cow::Owned(out)
    }

    /// Returns the items of an array.
    pub(super) fn items(&self) -> Option<Vec<Data<'v>>> {
        match self {
            Data::List(items) => Some(items.clone()),
            Data::Event(view) => view.items().map(|items| items.map(Data::from).collect()),
            _ => None,
        }
    }

    /// JavaScript's `Number(value)`.
    pub(super) fn number(&self) -> f64 {
        match self {
            Data::Undefined => f64::NAN,
            Data::Null | Data::Nil | Data::Empty | Data::Blank => 0.0,
            Data::Bool(bool) => f64::from(u8::from(*bool)),
            Data::Number(number) => *number,
            Data::Text(text) => javascript::number_from_text(text).unwrap_or(f64::NAN),
            Data::List(_) | Data::Event(_) => {
                javascript::number_from_text(&self.script_text()).unwrap_or(f64::NAN)
            }
        }
    }

    /// JavaScript's `String(value)`, which joins arrays with commas.
    pub(super) fn script_text(&self) -> String {
        match self {
            Data::Undefined => "undefined".to_owned(),
            Data::Null | Data::Nil => "null".to_owned(),
            Data::List(items) => {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| if item.is_nil() { String::new() } else { item.script_text() })
                    .collect();
                items.join(",")
            }
            Data::Event(view) => {
                let mut out = String::new();
                view.write_text(&mut out);
                out
            }
            scalar => scalar.printed().into_owned(),
        }
    }

    /// `==`: compares by type and value, arrays item by item, objects by identity; `empty` and `blank` test the other side.
    pub(super) fn equals(&self, other: &Data<'v>) -> bool {
        match (self, other) {
            // `blank == nil` is true, but `nil == blank` is false: the left side decides.
            (Data::Nil, other) => other.is_nil(),
            (other, Data::Nil) => other.is_nil() || matches!(other, Data::Blank),
            (Data::Empty | Data::Blank, Data::Empty | Data::Blank) => false,
            (Data::Empty, other) | (other, Data::Empty) => other.is_empty(),
            (Data::Blank, other) | (other, Data::Blank) => other.is_blank(),
            (Data::Undefined, Data::Undefined) | (Data::Null, Data::Null) => true,
            (Data::Bool(one), Data::Bool(other)) => one == other,
            (Data::Number(one), Data::Number(other)) => one.partial_cmp(other) == Some(Ordering::Equal),
            (Data::Text(one), Data::Text(other)) => one == other,
            _ => match (self.items(), other.items()) {
                (Some(one), Some(other)) => {
                    one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| one.equals(other))
                }
                _ => matches!((self, other), (Data::Event(one), Data::Event(other)) if one.is_same(*other)),
            },
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Data::Text(text) => text.is_empty(),
            Data::List(items) => items.is_empty(),
            Data::Event(view) => match view.items() {
                Some(mut items) => items.next().is_none(),
                None => view.members().is_some_and(|members| members.is_empty()),
            },
            _ => false,
        }
    }

    fn is_blank(&self) -> bool {
        match self {
            Data::Bool(false) => true,
            Data::Text(text) => javascript::trim(text).is_empty(),
            other => other.is_nil() || other.is_empty(),
        }
    }

    /// `<`, `>` and similar: compares texts by their UTF-16 units and everything else as numbers; `None` is never true.
    pub(super) fn compare(&self, other: &Data<'v>) -> Option<Ordering> {
        let special = |data: &Data<'_>| matches!(data, Data::Nil | Data::Empty | Data::Blank);
        if special(self) || special(other) {
            return None;
        }
        let whole = |data: &Data<'_>| matches!(data, Data::Text(_) | Data::List(_) | Data::Event(_));
        if whole(self) && whole(other) {
            return Some(self.script_text().encode_utf16().cmp(other.script_text().encode_utf16()));
        }
        self.number().partial_cmp(&other.number())
    }

    /// `contains`: an item of an array, or a part of a text.
    pub(super) fn contains(&self, other: &Data<'v>) -> bool {
        match self {
            Data::Text(text) => text.contains(&other.clone().plain().script_text()),
            Data::Empty | Data::Blank => other.clone().plain().script_text().is_empty(),
            _ => self.items().is_some_and(|items| items.iter().any(|item| item.equals(other))),
        }
    }
}
