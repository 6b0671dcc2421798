//! Changes many members at once, in linear time however large the object is.
//!
//! `Object::insert` finds its key by a scan, which is right for one member but quadratic for thousands. `decode` uses
//! these functions, because its objects come from outside.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{HASHED_FROM, Object, Value};

/// Up to this number of new members is looked up by a scan, however large the object is.
const FEW: usize = 4;

impl<'a> Object<'a> {
    /// Adds the members whose keys are new; existing members keep their values.
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

    /// Keeps only the members for which the test holds, in their order.
    pub fn retain(&mut self, mut test: impl FnMut(&str, &Value<'a>) -> bool) {
        self.0.retain(|(key, value)| test(key, value));
    }
}
