//! Liquid's filters by name: those of LiquidJS that Segment leaves enabled, as LiquidJS runs them.
//!
//! A name that LiquidJS does not know is no error there: the value passes unchanged. A filter that Segment
//! disables, and the few that are not here, are refused when the mapping is loaded.

mod date;
mod list;
mod number;
mod text;

use super::data::Data;
use crate::mapping::directive::ResolveError;
use crate::mapping::directive::resolved::Budget;

/// Gives a new value for a value and the filter's arguments; what it builds is charged.
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

/// LiquidJS has these, we do not: docs/mappings-reference.md says why.
const ABSENT: [&str; 7] =
    ["where", "sample", "slugify", "sha256", "hmac_sha256", "date_to_string", "date_to_long_string"];

/// The filter of this name, or why it cannot be had.
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
