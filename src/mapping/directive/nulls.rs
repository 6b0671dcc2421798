//! `@excludeWhenNull`: null becomes absent, also the null members of objects, but not what is inside arrays.

use super::ResolveError;
use super::resolved::{Budget, Resolved, View};
use crate::json::Value;

pub(super) fn exclude<'s, 'e>(
    value: Resolved<'s, 'e>,
    budget: &Budget,
) -> Result<Resolved<'s, 'e>, ResolveError> {
    match value {
        Resolved::Borrowed(Value::Null) | Resolved::Owned(Value::Null) => Ok(Resolved::Undefined),
        Resolved::Borrowed(_) | Resolved::Owned(_) if has_null_member(value.view()) => {
            let mut value = value.into_value(budget)?;
            remove(&mut value);
            Ok(Resolved::Owned(value))
        }
        Resolved::Object(members) => {
            let members: Result<_, ResolveError> =
                members.into_iter().map(|(key, member)| Ok((key, exclude(member, budget)?))).collect();
            Ok(Resolved::Object(members?))
        }
        unchanged => Ok(unchanged),
    }
}

fn has_null_member(view: View<'_, '_>) -> bool {
    let View::Value(Value::Object(object)) = view else { return false };
    object.iter().any(|(_, member)| member.is_null() || has_null_member(View::Value(member)))
}

fn remove(value: &mut Value<'_>) {
    let Value::Object(object) = value else { return };
    object.retain_mut(|_, member| {
        remove(member);
        !member.is_null()
    });
}
