//! Changes to many members at once, linear in their number however large the object is.
//!
//! `Object::insert` looks for its key by scan, which is right for one member and quadratic for thousands.
//! Used by `decode`, where the objects come from outside.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{HASHED_FROM, Object, Value};

/// So few new members are looked for by scan, however large the object is.
const FEW: usize = 4;

impl<'a> Object<'a> {
    /// Takes over the members whose keys are not there yet; those that are there keep their value.
    pub fn fill(&mut self, members: impl IntoIterator<Item = (Cow<'a, str>, Value<'a>)>) {
        let members = members.into_iter();
        let are_many = members.size_hint().1.is_none_or(|most| most > FEW);
        let mut seen: Option<HashSet<Cow<'a, str>>> = None;
        for (key, value) in members {
            if seen.is_none() && are_many && self.0.len() >= HASHED_FROM {
                seen = Some(self.0.iter().map(|(name, _)| name.clone()).collect());
            }
            let is_new = match &mut seen {
                Some(seen) => seen.insert(key.clone()),
                None => !self.contains_key(&key),
            };
            if is_new {
                self.0.push((key, value));
            }
        }
    }

    /// Keeps only the members that the test holds for, in their order.
    pub fn retain(&mut self, mut test: impl FnMut(&str, &Value<'a>) -> bool) {
        self.0.retain(|(key, value)| test(key, value));
    }
}
