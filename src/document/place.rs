//! The places of a value and its key in the text: for TOML from the parser's spans, for JSON by reading the text again.
//! Used only for faults.

use std::collections::HashMap;

use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::DeValue;

use super::Step;

/// Byte offsets of a node: its key (or the node itself, in a list) and its value.
pub(super) struct Offsets {
    pub key: usize,
    pub value: usize,
}

/// Returns the byte offset of the character at `column` of a quoted string; an escape sequence is one character.
pub(super) fn offset_inside(text: &str, column: usize) -> usize {
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) else { return 0 };
    let tripled = text.starts_with(&quote.to_string().repeat(3));
    let mut offset = if tripled { 3 } else { 1 };
    for _ in 1..column {
        let mut rest = text.get(offset..).unwrap_or_default().chars();
        offset += match (rest.next(), rest.next()) {
            (Some('\\'), Some('u')) if quote == '"' => 6,
            (Some('\\'), Some(_)) if quote == '"' => 2,
            (Some(char), _) => char.len_utf8(),
            (None, _) => 0,
        };
    }
    offset
}

/// `None`: there is no such value in the text.
pub(super) fn toml_offsets(root: &Spanned<DeValue<'_>>, path: &[Step<'_>]) -> Option<Offsets> {
    let start = root.span().start;
    let mut found = (Offsets { key: start, value: start }, root);
    for step in path {
        let next = match (step, found.1.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => table
                .iter()
                .find(|(name, _)| name.get_ref() == key)
                .map(|(name, value)| (name.span().start, value)),
            (Step::Index(index), DeValue::Array(items)) => {
                items.get(*index).map(|value| (value.span().start, value))
            }
            _ => None,
        };
        let (key, value) = next?;
        found = (Offsets { key, value: value.span().start }, value);
    }
    Some(found.0)
}

pub(super) fn json_offsets(text: &str, path: &[Step<'_>]) -> Option<Offsets> {
    let mut raw: &RawValue = serde_json::from_str(text).ok()?;
    for step in path {
        raw = match step {
            Step::Key(key) => {
                serde_json::from_str::<HashMap<String, &RawValue>>(raw.get()).ok()?.remove(*key)?
            }
            Step::Index(index) => *serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok()?.get(*index)?,
        };
    }
    // `raw` is a slice of `text`.
    let value = raw.get().as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    let key = match path.last() {
        Some(Step::Key(_)) => key_before(text.get(..value)?)?,
        _ => value,
    };
    Some(Offsets { key, value })
}

/// Returns where the key begins that ends this text together with its colon.
fn key_before(text: &str) -> Option<usize> {
    text.trim_end().strip_suffix(':')?.trim_end().strip_suffix('"')?.rfind('"')
}
