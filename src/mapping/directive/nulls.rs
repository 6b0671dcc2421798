//! `@excludeWhenNull`: null becomes absent, also the null members of objects, but not what is inside arrays.

use super::ResolveError;
use super::resolved::{Budget, Resolved};
use crate::json::Value;

pub(super) fn exclude<'s, 'e>(
    value: Resolved<'s, 'e>,
    budget: &Budget,
) -> Result<Resolved<'s, 'e>, ResolveError> {
    match value {
        Resolved::Json(value) if value.is_null() => Ok(Resolved::Undefined),
        Resolved::Json(value) if has_null_member(&value) => {
            let mut value = Resolved::Json(value).into_value(budget)?;
            remove(&mut value);
            Ok(Resolved::owned(value))
        }
        Resolved::Object(members) => {
            let members: Result<_, ResolveError> =
                members.into_iter().map(|(key, member)| Ok((key, exclude(member, budget)?))).collect();
            Ok(Resolved::Object(members?))
        }
        unchanged => Ok(unchanged),
    }
}

fn has_null_member(value: &Value<'_>) -> bool {
    let Value::Object(object) = value else { return false };
    object.iter().any(|(_, member)| member.is_null() || has_null_member(member))
}

fn remove(value: &mut Value<'_>) {
    let Value::Object(object) = value else { return };
    object.retain_mut(|_, member| {
        remove(member);
        !member.is_null()
    });
}
