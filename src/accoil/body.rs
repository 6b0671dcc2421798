//! Writes a request's JSON body from the payload directly into bytes, without a value in between.

use super::money;
use crate::event::Dialect;
use crate::json::{Object, Value, write_string};
use crate::mapping::{self, Payload};

/// The named user traits that are written over the free ones, in Segment's order
/// (`docs/segment.md#segments-accoil-destination`).
pub(super) const USER_TRAITS: &[&str] = &["email", "name", "role", "createdAt", "accountStatus"];
/// The named account traits, in the same way.
pub(super) const ACCOUNT_TRAITS: &[&str] = &["name", "createdAt", "status", "plan", "mrr"];

/// The unit in which senders give `mrr` (`docs/accoil-api.md#money`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Money {
    /// Accoil expects cents: the amount does not change.
    Cents,
    Dollars,
}

/// A body under construction: an object whose members are written in the order of the calls.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Vec<u8>,
    content: usize,
    traits: (usize, usize),
    /// True if dates are converted to UTC; otherwise they stay as the event has them.
    is_utc: bool,
}

impl Body {
    pub(super) fn new(dialect: Dialect) -> Self {
        let mut bytes = Vec::with_capacity(192);
        bytes.push(b'{');
        Self { bytes, content: 0, traits: (0, 0), is_utc: dialect == Dialect::V2 }
    }

    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        write_string(text, &mut self.bytes);
    }

    /// Writes a member if there is a value for it. An absent one is left out, as in Segment's own requests.
    pub(super) fn value(&mut self, key: &str, value: Option<&Value<'_>>) {
        if let Some(value) = value {
            self.key(key);
            value.write(&mut self.bytes);
        }
    }

    /// Writes the free traits with the named ones over them. A named trait that is absent is left out of the free
    /// ones too. An explicit null inside the free ones stays.
    pub(super) fn traits(&mut self, payload: &Payload<'_>, named: &[&str], money: Money) {
        const NONE: &Object<'static> = &Object::new();
        let free = payload.get("traits").and_then(Value::as_object).unwrap_or(NONE);
        self.key("traits");
        let start = self.bytes.len();
        self.bytes.push(b'{');
        for (key, value) in free.iter() {
            if named.contains(&key) {
                self.named_trait(key, payload.get(key), money);
            } else {
                self.value(key, Some(value));
            }
        }
        for key in named.iter().filter(|key| !free.contains_key(key)) {
            self.named_trait(key, payload.get(key), money);
        }
        self.bytes.push(b'}');
        self.traits = (start, self.bytes.len());
    }

    fn named_trait(&mut self, key: &str, value: Option<&Value<'_>>, money: Money) {
        match value {
            Some(dollars) if key == "mrr" && money == Money::Dollars => {
                self.value(key, Some(&money::cents(dollars)));
            }
            Some(time) if key == "createdAt" => self.time(key, Some(time)),
            value => self.value(key, value),
        }
    }

    /// Writes a time from the event.
    pub(super) fn time(&mut self, key: &str, time: Option<&Value<'_>>) {
        match time.and_then(Value::as_str).filter(|_| self.is_utc).and_then(mapping::utc) {
            Some(utc) => self.text(key, &utc),
            None => self.value(key, time),
        }
    }

    /// Ends the content. What follows (the timestamp) does not distinguish a call from a repeat of it.
    pub(super) const fn end_content(&mut self) {
        self.content = self.bytes.len();
    }

    /// Returns the content of the call without its time.
    pub(super) fn content(&self) -> &[u8] {
        self.bytes.get(..self.content).unwrap_or_default()
    }

    /// Returns the traits alone, as written.
    pub(super) fn written_traits(&self) -> &[u8] {
        self.bytes.get(self.traits.0..self.traits.1).unwrap_or_default()
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(b'}');
        self.bytes
    }

    fn key(&mut self, key: &str) {
        if self.bytes.last() != Some(&b'{') {
            self.bytes.push(b',');
        }
        write_string(key, &mut self.bytes);
        self.bytes.push(b':');
    }
}
