//! Builds the events that one Amplitude item becomes (`docs/amplitude.md#what-one-event-becomes`).
//!
//! Derived events come first, so that Accoil knows the person and the account before it gets what they did.

use std::borrow::Cow;

use crate::event::{DecodeResult, Event, Violation};
use crate::json::{Object, Value};
use crate::reasons::Reason;

use super::{
    DEVICE_ID, EVENT_PROPERTIES, GROUP_IDENTIFY, GROUP_PROPERTIES, GROUPS, IDENTIFY, INSERT_ID, MAX_GROUPS,
    USER_PROPERTIES, is_excluded, user_id, view,
};
use crate::decode::groups::{self, Group};
use crate::decode::members::{is_blank, take_object};
use crate::decode::segment::EventType;
use crate::decode::{Anonymous, Context, operators, skip};

/// What all events of one item share: the time of the item and the context of its request.
pub(super) struct Calls<'c, 'a> {
    pub(super) timestamp: Value<'static>,
    pub(super) warnings: Vec<Violation>,
    pub(super) context: &'c Context<'a>,
}

impl<'a> Calls<'_, 'a> {
    /// Builds the events of an item in one of Amplitude's dialects.
    pub(super) fn event(&self, mut source: Object<'a>, name: Cow<'a, str>) -> DecodeResult<'a> {
        if is_excluded(&name, self.context.source) {
            return DecodeResult::Skipped(skip::EXCLUDED);
        }
        if name == GROUP_IDENTIFY {
            return self.group_identify(source);
        }
        resolve_operators(&mut source);
        let Some(user_id) = user_id(&source, self.context.source) else {
            return self.anonymous();
        };
        let traits = take_object(&mut source, &USER_PROPERTIES);
        let groups = take_object(&mut source, &GROUPS);
        let group = self.primary_group(&mut source, &groups);
        if name == IDENTIFY {
            self.identify(source, user_id, traits, &groups, group)
        } else {
            self.track(source, name, user_id, traits, groups, group)
        }
    }

    /// Builds the events of an item that looks like a Segment event. The event does not change, but its group call is
    /// derived as well.
    pub(super) fn spec_event(&self, mut event: Object<'a>, kind: EventType) -> DecodeResult<'a> {
        let name = event.get("event").and_then(Value::as_str);
        if name.is_some_and(|name| is_excluded(name, self.context.source)) {
            return DecodeResult::Skipped(skip::EXCLUDED);
        }
        if kind == EventType::Alias {
            return DecodeResult::Skipped(skip::ALIAS);
        }
        let user_id = user_id(&event, self.context.source);
        let mut events = Vec::with_capacity(2);
        match user_id {
            Some(user_id) => {
                if let Some(group) = event.get("groupTraits").and_then(groups::from_template) {
                    events.push(self.derived(self.group_call(group, Some(user_id.clone()))));
                }
                event.insert("userId", Value::String(user_id));
            }
            None if kind == EventType::Group => {}
            None => return self.anonymous(),
        }
        // A template prints "" for missing values, and times without a zone: the time that was read replaces them.
        event.insert("timestamp", self.timestamp.clone());
        events.push(self.as_sent(event));
        DecodeResult::Events(events)
    }

    fn track(
        &self,
        mut source: Object<'a>,
        name: Cow<'a, str>,
        user_id: Cow<'a, str>,
        traits: Object<'a>,
        groups: Object<'a>,
        group: Option<Group<'a>>,
    ) -> DecodeResult<'a> {
        let mut events = Vec::with_capacity(3);
        let mut about = Object::new();
        if let Some(group) = &group {
            about.insert("groupId", Value::String(group.id.clone()));
        }
        if !traits.is_empty() {
            let mut identify = self.call(EventType::Identify, Some(user_id.clone()));
            identify.insert("traits", Value::Object(traits.clone()));
            if !about.is_empty() {
                identify.insert("context", Value::Object(about.clone()));
            }
            events.push(self.derived(identify));
            about.insert("traits", Value::Object(traits));
        }
        if !groups.is_empty() {
            about.insert("groups", Value::Object(groups));
        }
        let mut call = self.view_or_track(take_object(&mut source, &EVENT_PROPERTIES), name, user_id.clone());
        if let Some(group) = group {
            call.insert("groupTraits", Value::Array(vec![group_traits(&group)]));
            events.push(self.derived(self.group_call(group, Some(user_id))));
        }
        events.push(self.as_sent(with_source(call, about, source)));
        DecodeResult::Events(events)
    }

    fn view_or_track(
        &self,
        mut properties: Object<'a>,
        name: Cow<'a, str>,
        user_id: Cow<'a, str>,
    ) -> Object<'a> {
        let chosen = &self.context.source.event_properties;
        let selected: Object<'a> =
            chosen.iter().filter_map(|key| Some((key.as_str(), properties.get(key)?.clone()))).collect();
        let (kind, member, label) = match view::of(&name, &mut properties) {
            Some((kind, label)) => (kind, "name", label),
            None => (EventType::Track, "event", Some(Value::String(name))),
        };
        let mut call = self.call(kind, Some(user_id));
        call.fill(label.map(|label| (member.into(), label)));
        call.insert("properties", Value::Object(properties));
        if !selected.is_empty() {
            call.insert("selected", Value::Object(selected));
        }
        call
    }

    /// `setGroup` sends an identify with groups and without their properties: it tells which group the person belongs
    /// to.
    fn identify(
        &self,
        source: Object<'a>,
        user_id: Cow<'a, str>,
        traits: Object<'a>,
        groups: &Object<'a>,
        group: Option<Group<'a>>,
    ) -> DecodeResult<'a> {
        let preferred = self.context.source.prefer_group_type.as_deref();
        let group_id = match &group {
            Some(group) => Some(group.id.clone()),
            None => groups::primary(groups, preferred).map(|candidate| candidate.id),
        };
        if traits.is_empty() && group_id.is_none() {
            return DecodeResult::Skipped(skip::NOTHING);
        }
        let mut about = Object::new();
        about.fill(group_id.map(|id| ("groupId".into(), Value::String(id))));
        let mut call = self.call(EventType::Identify, Some(user_id.clone()));
        call.insert("traits", Value::Object(traits));
        let mut events = vec![self.as_sent(with_source(call, about, source))];
        events.extend(group.map(|group| self.derived(self.group_call(group, Some(user_id)))));
        DecodeResult::Events(events)
    }

    /// Builds one group call for each group. The sender sets properties of the groups and does not join them.
    fn group_identify(&self, mut source: Object<'a>) -> DecodeResult<'a> {
        let groups = take_object(&mut source, &GROUPS);
        let properties = take_object(&mut source, &GROUP_PROPERTIES);
        let named: Vec<_> = groups::candidates(&groups).take(MAX_GROUPS + 1).collect();
        let refused = |reason: String| {
            DecodeResult::Rejected(Violation::new("groups", reason).coded(Reason::RejectGroups))
        };
        match named.len() {
            0 => refused("names no group; send each as group type and group name".to_owned()),
            1..=MAX_GROUPS => DecodeResult::Events(
                named
                    .into_iter()
                    .map(|candidate| candidate.with_traits(&groups, &properties))
                    .map(|group| self.as_sent(self.group_call(group, None)))
                    .collect(),
            ),
            _ => refused(format!("names more than {MAX_GROUPS} groups; send them in several events")),
        }
    }

    /// Returns the group that the event is attributed to. There is one only if the event has both groups and group
    /// properties, or a template's `groupTraits` (`docs/amplitude.md#what-one-event-becomes`).
    fn primary_group(&self, source: &mut Object<'a>, groups: &Object<'a>) -> Option<Group<'a>> {
        // An export writes an empty object if there are no properties. It still counts as group properties.
        let has_properties =
            GROUP_PROPERTIES.iter().any(|key| matches!(source.get(key), Some(Value::Object(_))));
        let properties = take_object(source, &GROUP_PROPERTIES);
        if groups.is_empty() || !has_properties {
            return groups::from_template(&source.remove("groupTraits")?);
        }
        let preferred = self.context.source.prefer_group_type.as_deref();
        Some(groups::primary(groups, preferred)?.with_traits(groups, &properties))
    }

    fn anonymous(&self) -> DecodeResult<'a> {
        match self.context.source.anonymous {
            Anonymous::Skip => DecodeResult::Skipped(skip::NO_USER_ID),
            Anonymous::Reject => DecodeResult::Rejected(Violation::new(
                "userId",
                "is missing or a placeholder; set the user id in Amplitude, or `anonymous = \"skip\"` on the source",
            )
            .coded(Reason::RejectNoUser)),
        }
    }

    /// Returns the members that every call has.
    fn call(&self, kind: EventType, user_id: Option<Cow<'a, str>>) -> Object<'a> {
        let mut call = Object::new();
        call.insert("type", Value::from(kind.name()));
        call.fill(user_id.map(|id| ("userId".into(), Value::String(id))));
        call.insert("timestamp", self.timestamp.clone());
        call
    }

    fn group_call(&self, group: Group<'a>, user_id: Option<Cow<'a, str>>) -> Object<'a> {
        let mut call = self.call(EventType::Group, user_id);
        call.insert("groupId", Value::String(group.id));
        call.insert("traits", Value::Object(group.traits));
        call
    }

    fn as_sent(&self, event: Object<'a>) -> Event<'a> {
        Event {
            value: Value::Object(event),
            received_at: self.context.received_at,
            derived: false,
            warnings: self.warnings.clone(),
        }
    }

    fn derived(&self, event: Object<'a>) -> Event<'a> {
        Event { derived: true, ..self.as_sent(event) }
    }
}

/// Completes a call with the item's ids. Everything that has no place of its own in the spec goes into
/// `context.amplitude`, so that triggers and mappings can name it.
fn with_source<'a>(mut call: Object<'a>, mut about: Object<'a>, source: Object<'a>) -> Object<'a> {
    for (member, keys) in [("messageId", INSERT_ID.as_slice()), ("anonymousId", &DEVICE_ID)] {
        let id = keys.iter().find_map(|key| source.get(key).filter(|id| !is_blank(id)));
        call.fill(id.map(|id| (member.into(), id.clone())));
    }
    about.insert("amplitude", Value::Object(source));
    call.insert("context", Value::Object(about));
    call
}

/// Returns one element of `groupTraits`, as Amplitude documents it (`docs/amplitude.md#the-primary-group`).
fn group_traits<'a>(group: &Group<'a>) -> Value<'a> {
    let mut element = Object::new();
    element.insert("groupId", Value::String(group.id.clone()));
    element.insert("traits", Value::Object(group.traits.clone()));
    Value::Object(element)
}

/// Replaces the user properties with traits, in place, because the user id may be one of them.
fn resolve_operators(source: &mut Object<'_>) {
    for key in USER_PROPERTIES {
        if let Some(Value::Object(properties)) = source.get_mut(key) {
            *properties = operators::resolve(std::mem::take(properties));
        }
    }
}
