//! Which group an Amplitude event belongs to, and its traits.
//!
//! `groups` names the groups: `{type: id}` or `{type: [ids]}`. `group_properties` comes in several shapes: nested as
//! `{type: {id: {…}}}`, directly under the type as `{type: {…}}`, or flat, for every group of the event. Properties of a
//! type or an id that `groups` does not name belong to another group and are never taken. Linear in their size.

use std::borrow::Cow;
use std::slice;

use crate::event::Violation;
use crate::json::{Object, Value};
use crate::reasons::Reason;

use super::members::identifier;
use super::operators::{self, is_operator};
use crate::placeholders::is_placeholder;

/// Group types that are looked at; Amplitude itself tracks five for each event and drops the rest silently.
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
    /// The group, with its share of the event's `group_properties`.
    pub(super) fn with_traits(&self, groups: &Object<'a>, properties: &Object<'a>) -> Group<'a> {
        let own = self.own(groups, properties).cloned().unwrap_or_default();
        let mut traits = operators::resolve(own);
        traits.insert("group_type", Value::from(self.kind.to_owned()));
        Group { id: self.id.clone(), traits }
    }

    /// The properties that are this group's.
    fn own<'p>(&self, groups: &Object<'a>, properties: &'p Object<'a>) -> Option<&'p Object<'a>> {
        if let Some(of_type) = of_type(properties, self.kind) {
            return match of_type.get(&self.id) {
                Some(of_id) => of_id.as_object(),
                // With nothing but objects in it, it lists other ids of the type.
                None => (!has_only_objects(of_type)).then_some(of_type),
            };
        }
        let names_a_type = groups.iter().take(MAX_TYPES).any(|(kind, _)| of_type(properties, kind).is_some());
        (!names_a_type && !has_only_objects(properties)).then_some(properties)
    }
}

/// The object under a group type; the type's case counts only where two types differ in nothing else.
fn of_type<'p, 'a>(properties: &'p Object<'a>, kind: &str) -> Option<&'p Object<'a>> {
    let exact = properties.get(kind);
    let in_any_case =
        || properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)).map(|(_, of)| of);
    exact.or_else(in_any_case).and_then(Value::as_object)
}

/// Whether each member is an object, and none an operator such as `$set`, whose value is one.
fn has_only_objects(members: &Object<'_>) -> bool {
    members.iter().all(|(key, value)| !is_operator(key) && value.as_object().is_some())
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

/// A warning for each type of which an id is a placeholder, such as `undefined`. Such a group is left out.
pub(super) fn placeholder_warnings(groups: &Object<'_>) -> Vec<Violation> {
    let is_left_out = |id: &Value<'_>| identifier(id).is_some_and(|id| is_placeholder(&id));
    let types = groups
        .iter()
        .take(MAX_TYPES)
        .filter(|(_, ids)| ids.as_array().unwrap_or(slice::from_ref(*ids)).iter().any(is_left_out));
    types
        .map(|(kind, _)| {
            let reason = "was left out: the id is a placeholder for a missing value; send the id, or none";
            Violation::new(format!("groups.{kind}"), reason).coded(Reason::LeftOut)
        })
        .collect()
}

/// An id that names a group: no placeholder, nor `false`.
fn group_id<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    let id = if *value == Value::Bool(true) { Cow::Borrowed("true") } else { identifier(value)? };
    (!is_placeholder(&id)).then_some(id)
}
