//! Turns an Amplitude event into Segment-shaped events: `identify`, `group`, then the event itself.
//!
//! The relay reads three dialects (`docs/amplitude.md#three-shapes-of-one-event`): the export, the ingestion API, and
//! whatever a template prints. They have different names for the same things and never contradict each other, so each
//! thing is looked up under all its names. An item with one of the spec's types is read as the Segment event that it
//! looks like.

mod calls;
mod text;
mod view;

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::event::{DecodeResult, Violation};
use crate::json::{Object, Value};
use crate::reasons::Reason;

use super::groups;
use super::members::{identifier, is_blank, message_id};
use super::segment::EventType;
use super::{Context, SourceSettings, operators, skip};
use crate::times;
use accoil_mapping::check::is_placeholder;
use calls::Calls;

const INSERT_ID: [&str; 5] = ["$insert_id", "insert_id", "insertId", "uuid", "messageId"];
const EVENT_NAME: [&str; 5] = ["event_type", "eventType", "event", "event_name", "eventName"];
const DEVICE_ID: [&str; 3] = ["device_id", "deviceId", "anonymousId"];
/// `event_time` comes first because Amplitude has corrected it. The client's own times follow, and the servers' times
/// come last.
const TIMES: [&str; 6] =
    ["event_time", "time", "timestamp", "client_event_time", "server_received_time", "server_upload_time"];
const EVENT_PROPERTIES: [&str; 3] = ["event_properties", "eventProperties", "properties"];
const USER_PROPERTIES: [&str; 4] = ["user_properties", "userProperties", "traits", "userTraits"];
const GROUPS: [&str; 1] = ["groups"];
const GROUP_PROPERTIES: [&str; 2] = ["group_properties", "groupProperties"];

const IDENTIFY: &str = "$identify";
const GROUP_IDENTIFY: &str = "$groupidentify";

/// The number of groups that one `$groupidentify` may name: Amplitude's own limit for an event
/// (`docs/amplitude.md#groups-and-group-properties`).
const MAX_GROUPS: usize = 10;

/// User ids that Amplitude itself refuses, besides the placeholders that are refused everywhere.
const REFUSED_IDS: [&str; 7] = ["anonymous", "n/a", "na", "unknown", "0", "-1", "lmy47d"];

/// What kind of endpoint an item was posted to. The two identify endpoints leave out the event type, because the path
/// implies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Event,
    Identify,
    GroupIdentify,
}

/// Reads one item. `sent_at` is the upload's own time, if it has one.
pub(super) fn decode<'a>(
    mut event: Object<'a>,
    role: Role,
    sent_at: Option<DateTime<Utc>>,
    context: &Context<'a>,
) -> (Option<String>, DecodeResult<'a>) {
    let id = event_id(&event);
    if event.contains_key("cohort_id") && event.contains_key("users") {
        return (id, DecodeResult::Skipped(skip::COHORT));
    }
    let mut warnings = text::read_objects(&mut event, context.limits.depth);
    if role == Role::GroupIdentify {
        name_group(&mut event);
    }
    warnings.extend(left_out(&event));
    let timestamp = timestamp(&event, sent_at, context.received_at, &mut warnings);
    let calls = Calls { timestamp, warnings, context };
    let outcome = match (role, spec_type(&event)) {
        (Role::Event, Some(kind)) => calls.spec_event(event, kind),
        (Role::Event, None) => match event_name(&event) {
            Ok(name) => calls.event(event, name),
            Err(violation) => DecodeResult::Rejected(violation),
        },
        (Role::Identify, _) => calls.event(event, IDENTIFY.into()),
        (Role::GroupIdentify, _) => calls.event(event, GROUP_IDENTIFY.into()),
    };
    (id, outcome)
}

/// Lists the groups and properties of the event that have no place at Accoil.
fn left_out(event: &Object<'_>) -> Vec<Violation> {
    let object = |keys: &[&'static str]| {
        keys.iter().find_map(|key| Some((*key, event.get(key).and_then(Value::as_object)?)))
    };
    let mut warnings = Vec::new();
    if let Some((path, properties)) = object(&USER_PROPERTIES) {
        warnings.extend(operators::left_out(path, properties));
    }
    let groups = object(&GROUPS).map(|(_, groups)| groups);
    let properties = object(&GROUP_PROPERTIES);
    if let Some((path, properties)) = properties {
        warnings.extend(operators::left_out(path, properties));
    }
    if let Some(groups) = groups {
        let none = Object::new();
        warnings.extend(groups::left_out(groups, properties.map_or(&none, |(_, properties)| properties)));
    }
    warnings
}

/// Returns the id for de-duplication. Amplitude identifies an event by its device and its insert id together, and
/// uses the user in place of a missing device. One insert id from two devices is therefore two events.
fn event_id(event: &Object<'_>) -> Option<String> {
    let id = message_id(event, &INSERT_ID)?;
    if !event.contains_key("event_type") && event.contains_key("messageId") {
        return Some(id);
    }
    let sender = message_id(event, &["device_id", "deviceId", "user_id", "userId"]);
    Some(match sender {
        Some(sender) => format!("{id} of {sender}"),
        None => id,
    })
}

/// Returns the spec's type of an item that looks like a Segment event.
fn spec_type(event: &Object<'_>) -> Option<EventType> {
    if event.contains_key("event_type") { None } else { EventType::named(event.get("type")?.as_str()?) }
}

/// Returns the event's name. An item without a name that has a user's data is the user object that a stream's "Send
/// Users" option posts.
fn event_name<'a>(event: &Object<'a>) -> Result<Cow<'a, str>, Violation> {
    let says = |keys: &[&str]| keys.iter().any(|key| event.contains_key(key));
    match EVENT_NAME.iter().find_map(|key| event.get(key).filter(|name| !is_blank(name))) {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(other) => {
            let reason = format!("is of kind {}; send the event's name as text", other.kind());
            Err(Violation::new("event_type", reason).coded(Reason::RejectEventType))
        }
        None if says(&USER_PROPERTIES) || says(&GROUPS) => Ok(Cow::Borrowed(IDENTIFY)),
        None => {
            let reason = "is missing; send the event's name as `event_type`";
            Err(Violation::new("event_type", reason).coded(Reason::RejectEventType))
        }
    }
}

/// `/groupidentify` names its group in two members, an event in one.
fn name_group(event: &mut Object<'_>) {
    if let (Some(Value::String(kind)), Some(id)) = (event.remove("group_type"), event.remove("group_value")) {
        event.insert("groups", Value::Object([(kind, id)].into_iter().collect()));
    }
}

/// Applies the source's choice of event types, like the one on Amplitude's set-up page. A list in `events` does not
/// exclude users and groups, because that page has a separate switch for them.
fn is_excluded(name: &str, source: &SourceSettings) -> bool {
    let lists = |names: &[String]| names.iter().any(|listed| listed == name);
    let is_chosen =
        source.events.is_empty() || name == IDENTIFY || name == GROUP_IDENTIFY || lists(&source.events);
    !is_chosen || lists(&source.exclude_events)
}

/// Returns the user id as text, from where the source's setting names it, otherwise from where a template puts it.
fn user_id<'a>(event: &Object<'a>, source: &SourceSettings) -> Option<Cow<'a, str>> {
    let means_nobody =
        |id: &str| is_placeholder(id) || REFUSED_IDS.iter().any(|word| word.eq_ignore_ascii_case(id.trim()));
    [source.user_id.as_str(), "userId"].into_iter().find_map(|path| {
        let mut keys = path.split('.');
        let outermost = event.get(keys.next()?)?;
        let value = keys.try_fold(outermost, |value, key| value.get(key))?;
        identifier(value).filter(|id| !means_nobody(id))
    })
}

/// Returns when the event happened. The times of an upload come from the client, and Amplitude's rule corrects them
/// if its clock is wrong. A time that cannot be read or is impossible is replaced by the next time that the event
/// has, and finally by the time of receipt.
fn timestamp(
    event: &Object<'_>,
    sent_at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
    warnings: &mut Vec<Violation>,
) -> Value<'static> {
    let mut refused = None;
    for key in TIMES {
        let Some(value) = event.get(key).filter(|value| !is_blank(value)) else { continue };
        let time = times::read(value);
        if let Some(time) = time.map(|time| corrected(time, sent_at, received_at))
            && times::is_plausible(time, received_at)
        {
            if let Some((refused, why)) = refused {
                let reason = format!("{why}; {key} is sent instead");
                warnings.push(Violation::new(refused, reason).coded(Reason::TimeReplaced));
            }
            return times::write(time);
        }
        let why = if time.is_some() { "is before 1970 or in the future" } else { "cannot be read" };
        refused = refused.or(Some((key, why)));
    }
    if let Some((refused, why)) = refused {
        let reason = format!("{why}; the time of receipt is sent instead");
        warnings.push(Violation::new(refused, reason).coded(Reason::TimeReplaced));
    }
    times::write(received_at)
}

fn corrected(
    time: DateTime<Utc>,
    sent_at: Option<DateTime<Utc>>,
    received_at: DateTime<Utc>,
) -> DateTime<Utc> {
    sent_at
        .filter(|sent_at| times::differ(*sent_at, received_at))
        .and_then(|sent_at| times::corrected(time, sent_at, received_at))
        .unwrap_or(time)
}
