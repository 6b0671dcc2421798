//! Events from Segment's webhooks and SDKs. They already have the shape of the spec, so they are completed in place.
//!
//! A webhook's event stays as it is, because Segment has corrected it. An SDK's event gets what Segment's servers
//! would add: the `context` and `integrations` of its batch, and its four times. See
//! `docs/segment.md#webhook-destinations` and `docs/segment.md#the-four-times`.

use chrono::{DateTime, Utc};

use crate::event::{DecodeResult, Event, Violation};
use crate::json::{Object, Value};
use crate::reasons::Reason;

use super::body::{BodyError, Shared};
use super::members::{identifier, is_blank, message_id};
use super::{Anonymous, Context, names, skip, warnings};
use crate::times;
use accoil_mapping::check::is_placeholder;

/// The six calls of the Segment spec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    Identify,
    Track,
    Page,
    Screen,
    Group,
    Alias,
}

impl EventType {
    const ALL: [Self; 6] = [Self::Identify, Self::Track, Self::Page, Self::Screen, Self::Group, Self::Alias];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Track => "track",
            Self::Page => "page",
            Self::Screen => "screen",
            Self::Group => "group",
            Self::Alias => "alias",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The members of a batch's envelope that apply to all items.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    context: Object<'a>,
    integrations: Object<'a>,
    /// When the sender posted the batch, according to its own clock.
    pub(super) sent_at: Option<DateTime<Utc>>,
    /// The size of the shared members. It counts as part of every item, because every item grows by it.
    pub(super) bytes: usize,
    /// The warnings from reading the shared members: every item gets them.
    pub(super) warnings: Vec<Violation>,
}

impl<'a> Batch<'a> {
    pub(super) fn read(envelope: &Shared<'a>, depth: usize) -> Result<Self, BodyError> {
        let mut warnings = Vec::new();
        let mut shared = |name: &str, member: Option<&'a str>| {
            let Some(member) = member else { return Ok(Object::new()) };
            let (value, replaced) = Value::parse_lenient(member, depth).map_err(BodyError::Shared)?;
            warnings.extend(warnings::of_replacements(name, &replaced));
            match value {
                Value::Object(object) => Ok(object),
                Value::Null => Ok(Object::new()),
                _ => Err(BodyError::SharedNotObject),
            }
        };
        let members = [envelope.context, envelope.integrations];
        let (context, integrations) =
            (shared("context", envelope.context)?, shared("integrations", envelope.integrations)?);
        let sent_at = envelope.sent_at.and_then(|text| Some(Value::parse_lenient(text, depth).ok()?.0));
        // `NaN` was read as null, and a text of null is not a mistake of the sender.
        let is_given = envelope.sent_at.is_some_and(|text| !matches!(text.trim(), "null" | "\"\""));
        let sent_at = sent_at.and_then(|time| times::read(&time));
        if is_given && sent_at.is_none() {
            let reason = "of the batch cannot be read; the sender's clock is not corrected";
            warnings.push(Violation::new("sentAt", reason).coded(Reason::TimeReplaced));
        }
        let bytes = members.into_iter().flatten().map(str::len).sum();
        Ok(Self { context, integrations, sent_at, bytes, warnings })
    }

    /// Adds the members of the batch that the item does not have itself.
    fn complete(&self, event: &mut Object<'a>) {
        for (key, shared) in [("context", &self.context), ("integrations", &self.integrations)] {
            if shared.is_empty() {
                continue;
            }
            match event.get_mut(key) {
                Some(Value::Object(own)) => own.fill(shared.clone()),
                Some(Value::Null) | None => event.insert(key, Value::Object(shared.clone())),
                Some(_) => {}
            }
        }
    }
}

/// Reads an event of a webhook destination.
pub(super) fn webhook<'a>(event: Object<'a>, context: &Context<'a>) -> (Option<String>, DecodeResult<'a>) {
    let mut event = without_wrapper(event);
    complete_from_context(&mut event);
    let warnings = names::complete(&mut event);
    (message_id(&event, &["messageId"]), admit(event, warnings, context))
}

/// Reads an event that an SDK posted, either alone with its type in the path, or as an item of a batch.
pub(super) fn call<'a>(
    mut event: Object<'a>,
    kind: Option<EventType>,
    batch: &Batch<'a>,
    context: &Context<'a>,
) -> (Option<String>, DecodeResult<'a>) {
    if let Some(kind) = kind {
        event.insert("type", Value::from(kind.name()));
    }
    batch.complete(&mut event);
    set_times(&mut event, batch.sent_at, context.received_at);
    complete_from_context(&mut event);
    let warnings = names::complete(&mut event);
    (message_id(&event, &["messageId"]), admit(event, warnings, context))
}

/// Accepts an event in the shape of the spec if Accoil has a use for it.
fn admit<'a>(event: Object<'a>, warnings: Vec<Violation>, context: &Context<'a>) -> DecodeResult<'a> {
    let kind = match event_type(&event) {
        Ok(kind) => kind,
        Err(outcome) => return outcome,
    };
    if kind == EventType::Alias {
        return DecodeResult::Skipped(skip::ALIAS);
    }
    let has_person = || {
        kind == EventType::Group
            || event.get("userId").and_then(identifier).is_some_and(|id| !is_placeholder(&id))
    };
    if context.source.anonymous == Anonymous::Skip && !has_person() {
        return DecodeResult::Skipped(skip::NO_USER_ID);
    }
    let value = Value::Object(event);
    DecodeResult::Events(vec![Event { value, received_at: context.received_at, derived: false, warnings }])
}

fn event_type<'a>(event: &Object<'a>) -> Result<EventType, DecodeResult<'a>> {
    let refused = |fault: String| {
        let reason =
            format!("{fault}; it must be identify, track, page, screen, group or alias, in lower case");
        DecodeResult::Rejected(Violation::new("type", reason).coded(Reason::RejectEventType))
    };
    match event.get("type") {
        Some(Value::String(name)) => match EventType::named(name) {
            Some(kind) => Ok(kind),
            // Classic webhooks send this when a person's data is to be deleted.
            None if name == "delete" => Err(DecodeResult::Skipped(skip::DELETION)),
            None => Err(refused("is not one of the spec's event types".to_owned())),
        },
        Some(other) => Err(refused(format!("is of kind {}", other.kind()))),
        None => Err(refused("is missing".to_owned())),
    }
}

/// RudderStack's SDKs put the traits of an identify only into `context`.
fn complete_from_context(event: &mut Object<'_>) {
    if event.get("type").and_then(Value::as_str) != Some(EventType::Identify.name()) {
        return;
    }
    let has_none = match event.get("traits") {
        None | Some(Value::Null) => true,
        Some(traits) => traits.as_object().is_some_and(Object::is_empty),
    };
    if has_none && let Some(Value::Object(traits)) = event.get("context").and_then(|it| it.get("traits")) {
        let traits = traits.clone();
        event.insert("traits", Value::Object(traits));
    }
}

/// Segment's Extensible Webhook wraps each event of a batch as `{"json": {…}}`. `RudderStack`'s webhooks may post a
/// description of the request that they would make, with the event in `body.JSON`.
fn without_wrapper(mut event: Object<'_>) -> Object<'_> {
    let has_body = event.get("body").and_then(|body| body.get("JSON")).is_some();
    if has_body
        && EventType::named(event.get("type").and_then(Value::as_str).unwrap_or_default()).is_none()
        && let Some(Value::Object(body)) = event.get_mut("body")
        && let Some(Value::Object(inner)) = body.get_mut("JSON")
        && !inner.is_empty()
    {
        return std::mem::take(inner);
    }
    if event.len() == 1
        && let Some(Value::Object(inner)) = event.get_mut("json")
    {
        return std::mem::take(inner);
    }
    event
}

/// Sets the four times of the spec.
fn set_times(event: &mut Object<'_>, batch_sent_at: Option<DateTime<Utc>>, received_at: DateTime<Utc>) {
    let sent_at = batch_sent_at.or_else(|| times::read(event.get("sentAt")?));
    let given = |key: &&str| event.get(key).filter(|time| !is_blank(time)).cloned();
    let original = ["timestamp", "originalTimestamp"].iter().find_map(given);
    let timestamp = match &original {
        Some(original) => corrected(original, sent_at, received_at),
        None => times::write(received_at),
    };
    event.fill(original.map(|original| ("originalTimestamp".into(), original)));
    event.fill(batch_sent_at.map(|sent_at| ("sentAt".into(), times::write(sent_at))));
    event.insert("timestamp", timestamp);
    event.insert("receivedAt", times::write(received_at));
}

/// Converts the client's time to the server's clock. A time that cannot be read does not change, so that validation
/// reports it.
fn corrected<'a>(
    original: &Value<'a>,
    sent_at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
) -> Value<'a> {
    let Some(time) = times::read(original) else {
        return original.clone();
    };
    let corrected = sent_at.and_then(|sent_at| times::corrected(time, sent_at, received_at));
    times::write(corrected.unwrap_or(time))
}
