//! `@excludeWhenNull`: null becomes undefined, also the null members of objects, but not what is inside arrays.
//!
//! The member becomes undefined, it is not removed: it still overwrites others in a `@merge`.

use super::ResolveError;
use super::resolved::{Budget, Member, Resolved, View};
use crate::json::Value;

pub(super) fn exclude<'s, 'e>(
    value: Resolved<'s, 'e>,
    budget: &Budget,
) -> Result<Resolved<'s, 'e>, ResolveError> {
    match value {
        Resolved::Borrowed(Value::Null) | Resolved::Owned(Value::Null) => Ok(Resolved::Undefined),
        Resolved::Borrowed(Value::Object(object)) if has_null_member(value.view()) => {
            let members = object.members().iter();
            excluded(members.map(|(key, member)| (key.clone(), Resolved::Borrowed(member))), budget)
        }
        Resolved::Owned(Value::Object(object)) => {
            excluded(object.into_iter().map(|(key, member)| (key, Resolved::Owned(member))), budget)
        }
        Resolved::Object(members) => excluded(members.into_iter(), budget),
        unchanged => Ok(unchanged),
    }
}

fn excluded<'s, 'e>(
    members: impl Iterator<Item = Member<'s, 'e>>,
    budget: &Budget,
) -> Result<Resolved<'s, 'e>, ResolveError> {
    let members: Result<_, ResolveError> =
        members.map(|(key, member)| Ok((key, exclude(member, budget)?))).collect();
    Resolved::object(members?, budget)
}

fn has_null_member(view: View<'_, '_>) -> bool {
    let View::Value(Value::Object(object)) = view else { return false };
    object.iter().any(|(_, member)| member.is_null() || has_null_member(View::Value(member)))
}
