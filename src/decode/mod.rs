//! Turns bytes into events in the shape of Segment's spec (stage 2).
//!
//! [`decode`] splits a body into items and reads one item at a time, when the caller asks for it. An item that cannot
//! be read becomes a reject with its reason and never costs the other items. A body is refused as a whole only if it
//! is not JSON or does not have the shape of its form. Decoding never panics, whatever the input.

mod amplitude;
mod body;
mod context;
mod groups;
mod labels;
mod members;
mod names;
mod operators;
mod segment;
mod warnings;

use crate::event::{DecodeResult, Item, Violation};
use crate::json::{self, Object, Value};
use crate::reasons::Reason;

pub use body::{BodyError, Shared, body_key, first_element, unwrapped};
pub use context::{Anonymous, Context, Limits, SourceSettings};
pub use labels::Labels;
pub use segment::EventType;

/// How a request's body is laid out: one form for each kind of public route (`docs/http-api.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `/segment`: one event or an array; each may be wrapped as `{"json": …}`; `{}` is the connection test.
    SegmentWebhook,
    /// `/v1/track` and the like: one event, whose type is in the path.
    SegmentCall(EventType),
    /// `/v1/batch`, `/v1/import`: `{"batch": […], "context"?, "integrations"?, "sentAt"?}`.
    SegmentBatch,
    /// `/amplitude`: one event, an array, or `{"events": […]}`; `{}` is the connection test.
    AmplitudeStream,
    /// `/2/httpapi`, `/batch`: `{"events": […], "client_upload_time"?}`.
    AmplitudeUpload,
    /// The `identification` field of `/identify`: one user or an array.
    AmplitudeIdentify,
    /// The `identification` field of `/groupidentify`: one group or an array.
    AmplitudeGroupIdentify,
}

impl Form {
    /// Returns the form of `/v1/{name}`, for the documented names and the browser's one-letter names
    /// (`docs/segment.md#the-tracking-api`).
    pub fn of_tracking_path(name: &str) -> Option<Self> {
        Some(match name {
            "batch" | "b" | "import" => Self::SegmentBatch,
            "identify" | "i" => Self::SegmentCall(EventType::Identify),
            "track" | "t" => Self::SegmentCall(EventType::Track),
            "page" | "p" => Self::SegmentCall(EventType::Page),
            "screen" | "s" => Self::SegmentCall(EventType::Screen),
            "group" | "g" => Self::SegmentCall(EventType::Group),
            "alias" | "a" => Self::SegmentCall(EventType::Alias),
            _ => return None,
        })
    }

    const ALL: [Self; 12] = [
        Self::SegmentWebhook,
        Self::SegmentCall(EventType::Identify),
        Self::SegmentCall(EventType::Track),
        Self::SegmentCall(EventType::Page),
        Self::SegmentCall(EventType::Screen),
        Self::SegmentCall(EventType::Group),
        Self::SegmentCall(EventType::Alias),
        Self::SegmentBatch,
        Self::AmplitudeStream,
        Self::AmplitudeUpload,
        Self::AmplitudeIdentify,
        Self::AmplitudeGroupIdentify,
    ];

    /// Returns the name that is stored with the items of this form. These names never change.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SegmentWebhook => "segment webhook",
            Self::SegmentCall(EventType::Identify) => "segment identify",
            Self::SegmentCall(EventType::Track) => "segment track",
            Self::SegmentCall(EventType::Page) => "segment page",
            Self::SegmentCall(EventType::Screen) => "segment screen",
            Self::SegmentCall(EventType::Group) => "segment group",
            Self::SegmentCall(EventType::Alias) => "segment alias",
            Self::SegmentBatch => "segment batch",
            Self::AmplitudeStream => "amplitude stream",
            Self::AmplitudeUpload => "amplitude upload",
            Self::AmplitudeIdentify => "amplitude identify",
            Self::AmplitudeGroupIdentify => "amplitude group identify",
        }
    }

    /// Returns the form with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }

    /// The set-up pages of webhooks test the connection with an empty object.
    const fn takes_connection_test(self) -> bool {
        matches!(self, Self::SegmentWebhook | Self::AmplitudeStream)
    }
}

/// Splits a body into items. Each item is read when the iterator reaches it, so that the values of a large batch are
/// never in memory all at once.
pub fn decode<'a>(form: Form, body: &'a str, context: Context<'a>) -> Result<Items<'a>, BodyError> {
    let is_array = body::starts_with(body, '[');
    let envelope = match form {
        Form::SegmentBatch => Some(body::envelope(body, "batch", context.limits.events)?),
        Form::AmplitudeUpload => Some(body::envelope(body, "events", context.limits.events)?),
        Form::SegmentCall(_) => None,
        _ if is_array => Some(body::array(body, context.limits.events)?),
        Form::AmplitudeStream => body::events_within(body, context.limits.events)?,
        _ => None,
    };
    let Some(envelope) = envelope else {
        let reader = Reader { form, context, batch: segment::Batch::default() };
        let (only, shared) = (reader.only_item(body)?, Shared::default());
        return Ok(Items { only, reader, shared, rest: Vec::new().into_iter() });
    };
    let batch = segment::Batch::read(&envelope.shared, context.limits.depth)?;
    let (shared, rest) = (envelope.shared, envelope.items.into_iter());
    Ok(Items { reader: Reader { form, context, batch }, only: None, shared, rest })
}

/// Reads one item of a body of this form on its own, to replay a stored original. `shared` is what
/// [`Shared::to_json`] returned for its body.
pub fn decode_item<'a>(
    form: Form,
    original: &'a str,
    shared: Option<&'a str>,
    context: Context<'a>,
) -> Item<'a> {
    let shared = shared.and_then(|text| Shared::from_json(text).ok());
    // This cannot fail: it was read once before it was stored.
    let batch = shared.and_then(|shared| segment::Batch::read(&shared, context.limits.depth).ok());
    Reader { form, context, batch: batch.unwrap_or_default() }.item(original)
}

/// The items of one body, in the order of the body.
#[derive(Debug)]
pub struct Items<'a> {
    reader: Reader<'a>,
    only: Option<Item<'a>>,
    shared: Shared<'a>,
    rest: std::vec::IntoIter<&'a str>,
}

impl<'a> Items<'a> {
    /// Returns the members of the body that apply to all of its items.
    pub fn shared(&self) -> Shared<'a> {
        self.shared
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        self.only.take().or_else(|| self.rest.next().map(|original| self.reader.item(original)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len() + usize::from(self.only.is_some());
        (left, Some(left))
    }
}

impl ExactSizeIterator for Items<'_> {}

/// Everything that is needed to read an item: its form, its context, and the shared members of its batch.
#[derive(Debug)]
struct Reader<'a> {
    form: Form,
    context: Context<'a>,
    batch: segment::Batch<'a>,
}

impl<'a> Reader<'a> {
    /// Returns the body as a single item, or `None` if it is the connection test.
    fn only_item(&self, body: &'a str) -> Result<Option<Item<'a>>, BodyError> {
        match self.read(body) {
            Ok((event, _)) if event.is_empty() && self.form.takes_connection_test() => Ok(None),
            Ok((event, warnings)) => Ok(Some(self.understand(body, event, &warnings))),
            Err(violation) => {
                body::require_object(body)?;
                Ok(Some(rejected(body, violation)))
            }
        }
    }

    fn item(&self, original: &'a str) -> Item<'a> {
        match self.read(original) {
            Ok((event, warnings)) => self.understand(original, event, &warnings),
            Err(violation) => rejected(original, violation),
        }
    }

    /// Parses an item, once, and lists what was replaced in it.
    fn read(&self, original: &'a str) -> Result<(Object<'a>, Vec<Violation>), Violation> {
        let (bytes, limit) = (original.len() + self.batch.bytes, self.context.limits.event_bytes);
        if bytes > limit {
            let reason =
                format!("the event has {bytes} bytes, more than the {limit} allowed; send less in it");
            return Err(Violation::new("", reason).coded(Reason::RejectLarge));
        }
        match Value::parse_lenient(original, self.context.limits.depth) {
            Ok((Value::Object(mut event), replaced)) => {
                // The sender's credentials are not part of the event.
                event.retain(|key, _| key != "writeKey" && key != "api_key");
                let mut warnings = warnings::of_replacements("", &replaced);
                warnings.extend_from_slice(&self.batch.warnings);
                if self.context.is_text_repaired {
                    warnings::of_broken_text(&event, &mut warnings);
                }
                Ok((event, warnings))
            }
            Ok((other, _)) => {
                let reason = format!("the event is of kind {}; send each as a JSON object", other.kind());
                Err(Violation::new("", reason).coded(Reason::RejectUnreadable))
            }
            Err(json::ParseError { message, line, column }) => {
                let place = format!("line {line}, column {column}");
                let reason = format!(
                    "the event cannot be read: {message} at {place} of the event; fix the value there"
                );
                Err(Violation::new("", reason).coded(Reason::RejectUnreadable))
            }
        }
    }

    fn understand(&self, original: &'a str, event: Object<'a>, warnings: &[Violation]) -> Item<'a> {
        use amplitude::Role;
        let context = &self.context;
        let amplitude = |event, role| amplitude::decode(event, role, self.batch.sent_at, context);
        let (message_id, mut outcome) = match self.form {
            Form::SegmentWebhook => segment::webhook(event, context),
            Form::SegmentCall(kind) => segment::call(event, Some(kind), &self.batch, context),
            Form::SegmentBatch => segment::call(event, None, &self.batch, context),
            Form::AmplitudeStream | Form::AmplitudeUpload => amplitude(event, Role::Event),
            Form::AmplitudeIdentify => amplitude(event, Role::Identify),
            Form::AmplitudeGroupIdentify => amplitude(event, Role::GroupIdentify),
        };
        if !warnings.is_empty()
            && let DecodeResult::Events(events) = &mut outcome
        {
            for event in events {
                event.warnings.splice(..0, warnings.iter().cloned());
            }
        }
        Item { original: original.trim(), message_id, outcome }
    }
}

fn rejected(original: &str, violation: Violation) -> Item<'_> {
    Item { original: original.trim(), message_id: None, outcome: DecodeResult::Rejected(violation) }
}

/// Why items are skipped.
mod skip {
    use crate::reasons::Reason;

    pub(super) const NO_USER_ID: Reason = Reason::SkipNoUser;
    pub(super) const ALIAS: Reason = Reason::SkipAlias;
    pub(super) const DELETION: Reason = Reason::SkipDeletion;
    pub(super) const EXCLUDED: Reason = Reason::SkipExcluded;
    pub(super) const COHORT: Reason = Reason::SkipCohort;
    pub(super) const NOTHING: Reason = Reason::SkipNothing;
}

#[cfg(test)]
mod tests;
