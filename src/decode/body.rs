//! Splits a body into items, each still as the sender wrote it: one scan, no values, nothing copied.
//!
//! The scan refuses the whole body only for a fault of the body itself: it is not JSON, it is cut off, it has the
//! wrong shape, or it has too many events. A fault inside an item passes here and costs only that item: a number out
//! of range, half a surrogate pair, `NaN`, deep nesting.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::json::{self, ParseError, Value};

/// Why a whole body is refused.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the body is not valid JSON: {0}; send one complete JSON document")]
    Syntax(#[source] ParseError),
    #[error("the body has the wrong shape at line {line}, column {column}: expected {expected}")]
    Shape { expected: &'static str, line: usize, column: usize },
    #[error(
        "the body has more than {limit} events, seen at line {line}, column {column}; send fewer at a time"
    )]
    TooManyEvents { limit: usize, line: usize, column: usize },
    #[error("`context` or `integrations` of the batch cannot be read: {0} of its value")]
    Shared(#[source] ParseError),
    #[error("`context` and `integrations` of a batch must be objects")]
    SharedNotObject,
}

/// The items of a body, and the members of the object around them that apply to all items.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    pub(super) items: Vec<&'a str>,
    pub(super) shared: Shared<'a>,
    has_list: bool,
    is_overfull: bool,
}

/// The members of a body that apply to all of its items, each as the sender wrote it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shared<'a> {
    pub(super) context: Option<&'a str>,
    pub(super) integrations: Option<&'a str>,
    /// `sentAt` from Segment, `client_upload_time` from Amplitude.
    pub(super) sent_at: Option<&'a str>,
}

impl<'a> Shared<'a> {
    /// Returns the form that is stored with a reject: an object whose member names never change. Returns `None` if
    /// there is nothing to store.
    pub fn to_json(self) -> Option<String> {
        let members =
            [("context", self.context), ("integrations", self.integrations), ("sentAt", self.sent_at)];
        let members: Vec<String> = members
            .into_iter()
            .filter_map(|(name, member)| Some(format!("\"{name}\":{}", member?)))
            .collect();
        (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
    }

    /// Reads what [`Self::to_json`] wrote.
    pub(super) fn from_json(kept: &'a str) -> Result<Self, BodyError> {
        Ok(members(kept, "an object of members that apply to all items")?.shared)
    }
}

/// `[…]`
pub(super) fn array(body: &str, limit: usize) -> Result<Envelope<'_>, BodyError> {
    leniently(body, |body| strict_array(body, limit))
}

fn strict_array(body: &str, limit: usize) -> Result<Envelope<'_>, BodyError> {
    let mut envelope = Envelope::default();
    let scanned = scan(body, List { envelope: &mut envelope, limit });
    scanned.map_err(|error| envelope.fault(error, "an array of events", limit))?;
    Ok(envelope)
}

/// `{"<list>": […], …}`
pub(super) fn envelope<'a>(
    body: &'a str,
    list: &'static str,
    limit: usize,
) -> Result<Envelope<'a>, BodyError> {
    leniently(body, |body| strict_envelope(body, list, limit))
}

fn strict_envelope<'a>(body: &'a str, list: &'static str, limit: usize) -> Result<Envelope<'a>, BodyError> {
    let expected =
        if list == "batch" { "an object with an array `batch`" } else { "an object with an array `events`" };
    let mut envelope = Envelope::default();
    let scanned = scan(body, Members { envelope: &mut envelope, list: Some(list), limit });
    scanned.map_err(|error| envelope.fault(error, expected, limit))?;
    if envelope.has_list { Ok(envelope) } else { Err(BodyError::Shape { expected, line: 1, column: 1 }) }
}

/// Splits `{"events": […]}`; returns `None` if the body is an event instead. A body without the word is not scanned
/// at all.
pub(super) fn events_within(body: &str, limit: usize) -> Result<Option<Envelope<'_>>, BodyError> {
    if !body.contains("\"events\"") {
        return Ok(None);
    }
    match envelope(body, "events", limit) {
        Err(BodyError::Shape { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Checks that the body is an object. Called when it could not be read as an event, to find out whether the body or
/// the event is at fault.
pub(super) fn require_object(body: &str) -> Result<(), BodyError> {
    members(body, "an event as an object").map(drop)
}

/// Reads the shared members of an object that need not have a list.
fn members<'a>(body: &'a str, expected: &'static str) -> Result<Envelope<'a>, BodyError> {
    leniently(body, |body| {
        let mut envelope = Envelope::default();
        let scanned = scan(body, Members { envelope: &mut envelope, list: None, limit: 0 });
        scanned.map_err(|error| envelope.fault(error, expected, 0))?;
        Ok(envelope)
    })
}

/// Splits a body, also one that contains `NaN` or the like: such a body is split with the help of a copy that has
/// strings in their places. The returned parts are the body's own, unchanged.
fn leniently<'a>(
    body: &'a str,
    split: impl for<'t> Fn(&'t str) -> Result<Envelope<'t>, BodyError>,
) -> Result<Envelope<'a>, BodyError> {
    match split(body) {
        Err(BodyError::Syntax(error)) => match json::same_length(body) {
            Some(copy) => Ok(split(&copy)?.moved(&copy, body)),
            None => Err(BodyError::Syntax(error)),
        },
        split => split,
    }
}

/// Returns the part of `body` at the position of `part` in `copy`, a text of the same length.
fn same_place<'a>(part: &str, copy: &str, body: &'a str) -> &'a str {
    let start = part.as_ptr().addr().wrapping_sub(copy.as_ptr().addr());
    body.get(start..start.saturating_add(part.len())).unwrap_or_default()
}

pub(super) fn starts_with(body: &str, bracket: char) -> bool {
    body.trim_start().starts_with(bracket)
}

/// Returns the raw bytes of an array's first element, which the `X-Signature` of a webhook batch covers
/// (`docs/segment.md#webhook-signatures`). The rest of the body is not read.
pub fn first_element(body: &str) -> Option<&str> {
    first_value(body.trim_start().strip_prefix('[')?)
}

fn first_value(text: &str) -> Option<&str> {
    fn strictly(text: &str) -> Option<&str> {
        Some(Deserializer::from_str(text).into_iter::<&RawValue>().next()?.ok()?.get())
    }
    strictly(text).or_else(|| {
        let copy = json::same_length(text)?;
        Some(same_place(strictly(&copy)?, &copy, text))
    })
}

/// Returns the raw bytes of the event inside the Extensible Webhook's wrapper `{"json": …}`, which its signature
/// covers (`docs/segment.md#webhook-destinations`).
pub fn unwrapped(element: &str) -> Option<&str> {
    let inner = element.trim_start().strip_prefix('{')?.trim_start().strip_prefix("\"json\"")?;
    first_value(inner.trim_start().strip_prefix(':')?)
}

/// Returns the write key inside a body: the first member `writeKey` or `api_key` of the outermost object. The scan
/// stops there, so that a key at the beginning costs almost nothing.
pub fn body_key(body: &str) -> Option<Cow<'_, str>> {
    fn strictly(body: &str) -> (Option<Cow<'_, str>>, serde_json::Result<()>) {
        let mut key = None;
        let end = Deserializer::from_str(body).deserialize_map(KeyVisitor(&mut key));
        (key, end)
    }
    match strictly(body) {
        // `NaN` or the like may come before the key.
        (None, Err(error)) if error.classify() == Category::Syntax => {
            strictly(&json::same_length(body)?).0.map(|key| Cow::Owned(key.into_owned()))
        }
        // If a key was found, the error is expected: it is how the visitor stops the scan.
        (key, _) => key,
    }
}

fn scan<'a>(body: &'a str, seed: impl DeserializeSeed<'a>) -> serde_json::Result<()> {
    let mut deserializer = Deserializer::from_str(body);
    seed.deserialize(&mut deserializer)?;
    deserializer.end()
}

impl Envelope<'_> {
    /// Returns the same parts of another text of the same length.
    fn moved<'a>(&self, from: &str, to: &'a str) -> Envelope<'a> {
        let moved = |part: &&str| same_place(part, from, to);
        Envelope {
            items: self.items.iter().map(moved).collect(),
            shared: Shared {
                context: self.shared.context.as_ref().map(moved),
                integrations: self.shared.integrations.as_ref().map(moved),
                sent_at: self.shared.sent_at.as_ref().map(moved),
            },
            has_list: self.has_list,
            is_overfull: self.is_overfull,
        }
    }

    /// Returns why the scan stopped. serde's own text for a value of the wrong type is not used, because it quotes
    /// the value.
    fn fault(&self, error: serde_json::Error, expected: &'static str, limit: usize) -> BodyError {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data if self.is_overfull => BodyError::TooManyEvents { limit, line, column },
            Category::Data => BodyError::Shape { expected, line, column },
            _ => BodyError::Syntax(error.into()),
        }
    }
}

/// Reads the list of items.
struct List<'e, 'a> {
    envelope: &'e mut Envelope<'a>,
    limit: usize,
}

impl<'a> DeserializeSeed<'a> for List<'_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'a> Visitor<'a> for List<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut access: A) -> Result<(), A::Error> {
        self.envelope.has_list = true;
        self.envelope.items.clear();
        while let Some(item) = access.next_element::<&RawValue>()? {
            if self.envelope.items.len() == self.limit {
                self.envelope.is_overfull = true;
                return Err(A::Error::custom("too many events"));
            }
            self.envelope.items.push(item.get());
        }
        Ok(())
    }
}

/// Reads the object around the list.
struct Members<'e, 'a> {
    envelope: &'e mut Envelope<'a>,
    list: Option<&'static str>,
    limit: usize,
}

impl<'a> DeserializeSeed<'a> for Members<'_, 'a> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(key) = access.next_key::<Value<'a>>()? {
            match key.as_str().unwrap_or_default() {
                key if Some(key) == self.list => {
                    access.next_value_seed(List { envelope: &mut *self.envelope, limit: self.limit })?;
                }
                "context" => self.envelope.shared.context = Some(access.next_value::<&RawValue>()?.get()),
                "integrations" => {
                    self.envelope.shared.integrations = Some(access.next_value::<&RawValue>()?.get());
                }
                "sentAt" | "client_upload_time" => {
                    self.envelope.shared.sent_at = Some(access.next_value::<&RawValue>()?.get());
                }
                _ => drop(access.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Looks for the write key and stops there.
struct KeyVisitor<'k, 'a>(&'k mut Option<Cow<'a, str>>);

impl<'a> Visitor<'a> for KeyVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut access: A) -> Result<(), A::Error> {
        while let Some(key) = access.next_key::<Value<'a>>()? {
            if !matches!(key.as_str(), Some("writeKey" | "api_key")) {
                access.next_value::<IgnoredAny>()?;
            } else if let Value::String(found) = access.next_value()? {
                *self.0 = Some(found);
                return Ok(());
            }
        }
        Ok(())
    }
}
