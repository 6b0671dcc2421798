//! Triggers: the condition, in Segment's FQL, under which a mapping applies to an event (stage 3, match).
//!
//! The relay compiles a text once, when the configuration loads, into a tree of [`predicate::Predicate`]s. An event
//! then costs path look-ups and comparisons, no allocation. What Segment's own editor can write means exactly what Segment's
//! evaluator makes of it. Everything else is read as FQL documents it (docs/segment.md#triggers). No text may make this
//! code panic or recurse without bound.

mod difference;
mod explain;
mod field;
mod lexer;
mod meaning;
mod parser;
mod pattern;
mod predicate;
mod print;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;

use self::difference::Difference;
use self::predicate::Predicate;
use crate::json::Value;
use crate::nearest::nearest;

/// Longest trigger text read, in bytes.
pub const MAX_LENGTH: usize = 65_536;

/// A compiled trigger. Two triggers are equal if they test the same, however they were written.
#[derive(Debug, Clone)]
pub struct Trigger {
    predicate: Predicate,
    /// Each difference once, with its first column in the text, in that order.
    differences: Vec<(usize, Difference)>,
}

/// Why a text is not a trigger: what is wrong at which column, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (column {column})")]
pub struct TriggerError {
    /// From 1, in characters.
    pub column: usize,
    pub message: String,
}

impl Trigger {
    /// Compiles a trigger. The error is the first fault from the left.
    pub fn parse(text: &str) -> Result<Self, TriggerError> {
        let (predicate, mut noticed) = parser::parse(text)
            .map_err(|fault| TriggerError { column: 1 + chars(text, 0, fault.at), message: fault.message })?;
        noticed.sort_by_key(|(at, _)| *at);
        let (mut seen, mut passed, mut column) = (HashSet::new(), 0, 1);
        let mut differences = Vec::new();
        for (at, difference) in noticed {
            column += chars(text, passed, at);
            passed = at;
            if seen.insert(difference.clone()) {
                differences.push((column, difference));
            }
        }
        Ok(Self { predicate, differences })
    }

    /// Whether the trigger matches the event, an object in the shape of the Segment spec.
    pub fn matches(&self, event: &Value<'_>) -> bool {
        self.predicate.holds(event)
    }

    /// Where Segment's own parser reads the text differently from the relay, each with column and advice.
    /// Empty when both agree. For `check`.
    pub fn differences(&self) -> Vec<String> {
        self.differences.iter().map(|(column, difference)| format!("column {column}: {difference}")).collect()
    }

    /// Those of these event types that can match.
    pub fn types<'t>(&self, types: &[&'t str]) -> Vec<&'t str> {
        types.iter().copied().filter(|kind| self.predicate.may_be(true, kind)).collect()
    }

    /// The path of every field that a condition tests.
    pub fn paths(&self) -> impl Iterator<Item = &[String]> {
        self.predicate.conditions().filter_map(Predicate::path)
    }

    /// Why no event of any of these types can match; `None` if one can. It never calls a trigger impossible
    /// that is possible, but it does not find every contradiction: only those in `type` and within one condition.
    pub fn impossible(&self, types: &[&str]) -> Option<String> {
        if !self.types(types).is_empty() {
            return None;
        }
        let known = types.join(", ");
        let mut named = self.predicate.conditions().filter_map(Predicate::type_named);
        if let Some(unknown) = named.find(|named| !types.contains(named)) {
            let meant = nearest(unknown, types.iter().copied())
                .map_or_else(String::new, |word| format!("; did you mean \"{word}\"?"));
            return Some(format!("no event has the type \"{unknown}\"{meant} (types are: {known})"));
        }
        let never_matches =
            |one: &Predicate| one.never_matches().map(|why| format!("`{one}` never holds: {why}"));
        Some(self.predicate.conditions().find_map(never_matches).unwrap_or_else(|| {
            format!("no event of any type ({known}) can meet all these conditions; did you mean `or`?")
        }))
    }
}

fn chars(text: &str, from: usize, to: usize) -> usize {
    text.get(from..to).map_or(0, |part| part.chars().count())
}

impl PartialEq for Trigger {
    fn eq(&self, other: &Self) -> bool {
        self.predicate == other.predicate
    }
}

/// The trigger as text: parsing it gives the same trigger.
impl fmt::Display for Trigger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.predicate.fmt(formatter)
    }
}
