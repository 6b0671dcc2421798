//! Liquid's filters by name: those of LiquidJS that Segment leaves enabled, as LiquidJS runs them.
//!
//! An unknown name is not an error in LiquidJS: the value passes unchanged. A filter that Segment
//! disables, and the few that the relay does not have, are refused when the mapping loads.

mod date;
mod list;
mod number;
mod text;

use super::data::Data;
use crate::directive::ResolveError;
use crate::directive::resolved::Budget;

/// Computes a new value from a value and the filter's arguments. What it builds is charged to the budget.
pub(super) type Filter = for<'v> fn(&Data<'v>, &[Data<'v>], &Budget) -> Result<Data<'v>, ResolveError>;

/// Filters that Segment disables.
const DISABLED: [&str; 20] = [
    "array_to_sentence_string",
    "concat",
    "find",
    "find_exp",
    "find_index",
    "find_index_exp",
    "group_by",
    "group_by_exp",
    "has",
    "has_exp",
    "map",
    "newline_to_br",
    "reject",
    "reject_exp",
    "reverse",
    "sort",
    "sort_natural",
    "uniq",
    "where_exp",
    "type",
];

/// Filters of LiquidJS that the relay does not have: docs/mappings-reference.md says why.
const ABSENT: [&str; 7] =
    ["where", "sample", "slugify", "sha256", "hmac_sha256", "date_to_string", "date_to_long_string"];

/// Returns the filter with this name, or why it is not available.
pub(super) fn named(name: &str) -> Result<Filter, String> {
    if DISABLED.contains(&name) {
        return Err(format!("Segment disables the filter `{name}`"));
    }
    if ABSENT.contains(&name) {
        return Err(format!("the filter `{name}` is not supported here"));
    }
    Ok(text::named(name)
        .or_else(|| number::named(name))
        .or_else(|| list::named(name))
        .or_else(|| date::named(name))
        .unwrap_or(|value, _, _| Ok(value.clone())))
}

/// An error of a filter; the directive adds its own place.
fn fault(message: impl Into<String>) -> ResolveError {
    ResolveError::new("", message)
}
