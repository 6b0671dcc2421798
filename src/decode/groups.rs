//! Which group an Amplitude event belongs to, and its traits (DESIGN 5.3; the seed's "Select a primary group").
//!
//! Reads every shape of `groups` and `group_properties` in `facts/amplitude.md` 2.2. Linear in their size.

use std::borrow::Cow;
use std::slice;

use crate::json::{Object, Value};

use super::members::identifier;
use super::operators;

/// Group types that are looked at; Amplitude itself tracks five an event and drops the rest silently.
const MAX_TYPES: usize = 50;

/// A group with what is known of it; `traits` include `group_type`, as Accoil gets it from Amplitude.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group<'a> {
    pub(super) id: Cow<'a, str>,
    pub(super) traits: Object<'a>,
}

/// One group that an event names: a candidate for its primary group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate<'g, 'a> {
    kind: &'g str,
    pub(super) id: Cow<'a, str>,
}

impl<'a> Candidate<'_, 'a> {
    /// The group, with its share of the event's `group_properties`: those under its type and id if they are
    /// nested so, else all of them.
    pub(super) fn with_traits(&self, groups: &Object<'a>, properties: &Object<'a>) -> Group<'a> {
        let properties = if is_nested(groups, properties) {
            properties.get(self.kind).and_then(|ids| ids.get(&self.id)).and_then(Value::as_object)
        } else {
            Some(properties)
        };
        let mut traits = operators::resolve(properties.cloned().unwrap_or_default());
        traits.insert("group_type", Value::from(self.kind.to_owned()));
        Group { id: self.id.clone(), traits }
    }
}

/// Every group of every type that `groups` names: `{type: id or [ids]}`.
pub(super) fn candidates<'g, 'a>(groups: &'g Object<'a>) -> impl Iterator<Item = Candidate<'g, 'a>> {
    groups.iter().take(MAX_TYPES).flat_map(|(kind, ids)| {
        let ids = ids.as_array().unwrap_or(slice::from_ref(ids));
        ids.iter().filter_map(group_id).map(move |id| Candidate { kind, id })
    })
}

/// The primary one: of the preferred type if there is such a candidate, then the first by id as text, in
/// the order in which JavaScript sorts text. Independent of the order in which the groups came.
pub(super) fn primary<'g, 'a>(groups: &'g Object<'a>, preferred: Option<&str>) -> Option<Candidate<'g, 'a>> {
    candidates(groups).min_by(|one, other| {
        let is_other_type =
            |candidate: &Candidate<'_, '_>| preferred.is_some_and(|kind| kind != candidate.kind);
        is_other_type(one)
            .cmp(&is_other_type(other))
            .then_with(|| one.id.encode_utf16().cmp(other.id.encode_utf16()))
            .then_with(|| one.kind.cmp(other.kind))
    })
}

/// The group of a `groupTraits` member, `[{groupId, traits}]` or one such object: Amplitude's template has
/// chosen already, so it has one.
pub(super) fn from_template<'a>(group_traits: &Value<'a>) -> Option<Group<'a>> {
    let group = group_traits.as_array().map_or(Some(group_traits), <[_]>::first)?;
    let traits = group.get("traits").and_then(Value::as_object).cloned().unwrap_or_default();
    Some(Group { id: group_id(group.get("groupId")?)?, traits })
}

/// `{type: {id: {…}}}`, known by a member that is an object and named as one of the event's group types.
fn is_nested(groups: &Object<'_>, properties: &Object<'_>) -> bool {
    groups
        .iter()
        .take(MAX_TYPES)
        .any(|(kind, _)| properties.get(kind).is_some_and(|ids| ids.as_object().is_some()))
}

fn group_id<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Bool(id) => Some(Cow::Borrowed(if *id { "true" } else { "false" })),
        other => identifier(other),
    }
}
