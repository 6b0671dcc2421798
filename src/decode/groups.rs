//! Finds the group that an Amplitude event belongs to, and that group's traits.
//!
//! `groups` names the groups: `{type: id}` or `{type: [ids]}`. `group_properties` comes in several shapes: nested as
//! `{type: {id: {…}}}`, directly under the type as `{type: {…}}`, or flat, for every group of the event. Properties
//! of a type or an id that `groups` does not name belong to another group and are never used. The work grows linearly
//! with the input.

use std::borrow::Cow;
use std::slice;

use crate::event::Violation;
use crate::json::{Object, Value};
use crate::reasons::Reason;

use super::members::identifier;
use super::operators::{self, is_operator};
use accoil_mapping::check::is_placeholder;

/// The number of group types that are read. Amplitude itself tracks five for each event and silently drops the rest.
const MAX_TYPES: usize = 50;

/// A group with its traits. `traits` include `group_type`, as Accoil gets it from Amplitude.
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
    /// Returns the group with its part of the event's `group_properties`.
    pub(super) fn with_traits(&self, groups: &Object<'a>, properties: &Object<'a>) -> Group<'a> {
        let own = self.own(groups, properties).cloned().unwrap_or_default();
        let mut traits = operators::resolve(own);
        traits.insert("group_type", Value::from(self.kind.to_owned()));
        Group { id: self.id.clone(), traits }
    }

    /// Returns the properties of this group.
    fn own<'p>(&self, groups: &Object<'a>, properties: &'p Object<'a>) -> Option<&'p Object<'a>> {
        if let Some(of_type) = of_type(properties, self.kind) {
            return match of_type.get(&self.id) {
                Some(of_id) => of_id.as_object(),
                // If it contains only objects, they are other ids of the type.
                None => (!has_only_objects(of_type)).then_some(of_type),
            };
        }
        let names_a_type = groups.iter().take(MAX_TYPES).any(|(kind, _)| of_type(properties, kind).is_some());
        (!names_a_type && !has_only_objects(properties)).then_some(properties)
    }
}

/// Returns the object for a group type. Upper and lower case count only if two types differ in nothing else.
fn of_type<'p, 'a>(properties: &'p Object<'a>, kind: &str) -> Option<&'p Object<'a>> {
    let exact = properties.get(kind);
    let in_any_case =
        || properties.iter().find(|(name, _)| name.eq_ignore_ascii_case(kind)).map(|(_, of)| of);
    exact.or_else(in_any_case).and_then(Value::as_object)
}

/// Checks that each member is an object and none is an operator such as `$set`, whose value is an object too.
fn has_only_objects(members: &Object<'_>) -> bool {
    members.iter().all(|(key, value)| !is_operator(key) && value.as_object().is_some())
}

/// Returns every group of every type that `groups` names: `{type: id or [ids]}`.
pub(super) fn candidates<'g, 'a>(groups: &'g Object<'a>) -> impl Iterator<Item = Candidate<'g, 'a>> {
    groups.iter().take(MAX_TYPES).flat_map(|(kind, ids)| {
        let ids = ids.as_array().unwrap_or(slice::from_ref(ids));
        ids.iter().filter_map(group_id).map(move |id| Candidate { kind, id })
    })
}

/// Returns the primary group: the first by id as text, in JavaScript's sort order, with candidates of the preferred
/// type before all others. The order in which the groups came does not matter.
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

/// Returns the group of a `groupTraits` member, which is `[{groupId, traits}]` or one such object. Amplitude's
/// template has already chosen it, so there is only one.
pub(super) fn from_template<'a>(group_traits: &Value<'a>) -> Option<Group<'a>> {
    let group = group_traits.as_array().map_or(Some(group_traits), <[_]>::first)?;
    let traits = group.get("traits").and_then(Value::as_object).cloned().unwrap_or_default();
    Some(Group { id: group_id(group.get("groupId")?)?, traits })
}

/// Returns a warning for each part of `groups` and `group_properties` that is left out: ids that are not usable, and
/// properties of groups that the event does not name.
pub(super) fn left_out(groups: &Object<'_>, properties: &Object<'_>) -> Vec<Violation> {
    let ids = groups.iter().take(MAX_TYPES).filter_map(|(kind, ids)| {
        let ids = ids.as_array().unwrap_or(slice::from_ref(ids));
        Some(warning(format!("groups.{kind}"), ids.iter().find_map(why_no_id)?))
    });
    let mut warnings: Vec<_> = ids.collect();
    if properties.is_empty() || groups.is_empty() {
        return warnings;
    }
    let named =
        |kind: &str| groups.iter().find(|(named, _)| named.eq_ignore_ascii_case(kind)).map(|(_, ids)| ids);
    let is_by_type = has_only_objects(properties) || properties.iter().any(|(kind, _)| named(kind).is_some());
    for (kind, of_type) in properties.iter().take(MAX_TYPES).filter(|_| is_by_type) {
        let Some(of_type) = of_type.as_object().filter(|of_type| !of_type.is_empty() && !is_operator(kind))
        else {
            continue;
        };
        let ids = named(kind).map(|ids| ids.as_array().unwrap_or(slice::from_ref(ids)));
        let names_one =
            |ids: &[Value<'_>]| ids.iter().filter_map(group_id).any(|id| of_type.contains_key(&id));
        let is_taken = ids.is_some_and(|ids| !has_only_objects(of_type) || names_one(ids));
        if !is_taken {
            let reason =
                "was left out: the event's `groups` does not name the group that it describes".to_owned();
            warnings.push(warning(format!("group_properties.{kind}"), reason));
        }
    }
    warnings
}

fn warning(field: String, reason: String) -> Violation {
    Violation::new(field, reason).coded(Reason::LeftOut)
}

/// Returns why the value is not an id, or `None` if it is one or is empty.
fn why_no_id(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Null | Value::Bool(true) => None,
        Value::String(_) | Value::Number(_) => identifier(value).filter(|id| is_placeholder(id)).map(|_| {
            "was left out: the id is a placeholder for a missing value; send the id, or none".to_owned()
        }),
        other => Some(format!("was left out: it is of kind {}; send the id as text", other.kind())),
    }
}

/// Reads a group's id. Placeholders and `false` are not ids.
fn group_id<'a>(value: &Value<'a>) -> Option<Cow<'a, str>> {
    let id = if *value == Value::Bool(true) { Cow::Borrowed("true") } else { identifier(value)? };
    (!is_placeholder(&id)).then_some(id)
}
