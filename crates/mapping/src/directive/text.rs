//! `@case` and `@replace`: change one text.
//!
//! Patterns are literal texts, never regular expressions. Replacements keep JavaScript's `$` forms.

use super::ResolveError;
use super::compile::{Compiler, Place};
use super::node::{Node, Scope};
use super::resolved::{Budget, Resolved, View};
use crate::javascript;
use crate::json::{Object, Value};

/// The longest pattern and the longest replacement, in UTF-16 code units.
pub(super) const MAX_PATTERN: usize = 10;

#[derive(Debug)]
pub(super) struct Case {
    /// `None` means an operator that does not exist. It fails only if there is a text to apply it to.
    to: Option<fn(&str) -> String>,
    value: Node,
    place: String,
}

impl Case {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        compiler.options(operand, place, |compiler, options| {
            if !options.get("operator").is_some_and(javascript::is_truthy) {
                return compiler.failure(place, NO_OPERATOR);
            }
            let to: Option<fn(&str) -> String> = match options.get("operator").and_then(Value::as_str) {
                Some("lower") => Some(str::to_lowercase),
                Some("upper") => Some(str::to_uppercase),
                _ => None,
            };
            if !options.get("value").is_some_and(javascript::is_truthy) {
                return Node::Undefined;
            }
            let value = compiler.member(options, "value", place);
            if to.is_none() {
                compiler.fault(place, NO_OPERATOR);
            }
            Node::Case(Box::new(Self { to, value, place: place.to_string() }))
        })
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let value = self.value.resolve(scope)?;
        let Some(text) = value.view().as_str() else { return Ok(value) };
        let to = self.to.ok_or_else(|| ResolveError::new(&self.place, NO_OPERATOR))?;
        scope.budget.text(text.len())?;
        Ok(Resolved::text(to(text)))
    }
}

const NO_OPERATOR: &str = "needs an `operator`: \"lower\" or \"upper\"";

#[derive(Debug)]
pub(super) struct Replace {
    /// `None` if an option has the wrong type; every text then becomes "".
    first: Option<Replacement>,
    second: Option<Replacement>,
    value: Node,
    place: String,
}

#[derive(Debug)]
struct Replacement {
    pattern: String,
    with: String,
    global: bool,
    ignore_case: bool,
}

impl Replace {
    pub(super) fn compile(operand: &Value<'_>, compiler: &mut Compiler, place: &Place<'_>) -> Node {
        compiler.options(operand, place, |compiler, options| {
            if !options.get("pattern").is_some_and(javascript::is_truthy) {
                return compiler.failure(place, "needs a `pattern`: the text to replace");
            }
            if !options.get("value").is_some_and(javascript::is_truthy) {
                return Node::Undefined;
            }
            let value = compiler.member(options, "value", place);
            let first = Replacement::compile(options, "pattern", "replacement");
            let second = Replacement::compile(options, "pattern2", "replacement2");
            if [&first, &second].into_iter().flatten().any(Replacement::is_too_long) {
                compiler.fault(place, too_long());
            }
            Node::Replace(Box::new(Self { first, second, value, place: place.to_string() }))
        })
    }

    pub(super) fn resolve<'s, 'e>(
        &'e self,
        scope: Scope<'s, 'e, '_>,
    ) -> Result<Resolved<'s, 'e>, ResolveError> {
        let value = self.value.resolve(scope)?;
        let Some(first) = &self.first else { return Ok(Resolved::text(String::new())) };
        let text = match value.view() {
            View::Value(scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => {
                let mut text = String::new();
                View::Value(scalar).write_text(&mut text);
                text
            }
            _ => return Ok(Resolved::text(String::new())),
        };
        let replaced = self.apply(first, &text, scope.budget)?;
        match &self.second {
            Some(second) => Ok(Resolved::text(self.apply(second, &replaced, scope.budget)?)),
            None => Ok(Resolved::text(replaced)),
        }
    }

    fn apply(&self, replacement: &Replacement, text: &str, budget: &Budget) -> Result<String, ResolveError> {
        if replacement.is_too_long() {
            return Err(ResolveError::new(&self.place, too_long()));
        }
        replacement.apply(text, budget)
    }
}

fn too_long() -> String {
    format!("a pattern and its replacement have {MAX_PATTERN} characters at most")
}

impl Replacement {
    /// `None` if the pattern is missing or empty, or any option has another type than the engine works with.
    fn compile(options: &Object<'_>, pattern: &str, replacement: &str) -> Option<Self> {
        let pattern = options.get(pattern)?.as_str().filter(|pattern| !pattern.is_empty())?;
        let flag = |key: &str, default: bool| match options.get(key) {
            None | Some(Value::Null) => Some(default),
            Some(Value::Bool(flag)) => Some(*flag),
            Some(_) => None,
        };
        let with = match options.get(replacement) {
            None | Some(Value::Null) => "",
            Some(with) => with.as_str()?,
        };
        Some(Self {
            pattern: pattern.to_owned(),
            with: with.to_owned(),
            global: flag("global", true)?,
            ignore_case: flag("ignorecase", false)?,
        })
    }

    fn is_too_long(&self) -> bool {
        javascript::text_length(&self.pattern) > MAX_PATTERN
            || javascript::text_length(&self.with) > MAX_PATTERN
    }

    fn apply(&self, text: &str, budget: &Budget) -> Result<String, ResolveError> {
        let mut out = String::new();
        let mut done = 0;
        while let Some((start, end)) = self.find(text, done) {
            let before = out.len();
            out.push_str(text.get(done..start).unwrap_or_default());
            self.expand(text, start, end, &mut out);
            budget.text(out.len() - before)?;
            done = end;
            if !self.global {
                break;
            }
        }
        out.push_str(text.get(done..).unwrap_or_default());
        budget.text(text.len() - done)?;
        Ok(out)
    }

    fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let rest = text.get(from..)?;
        if !self.ignore_case {
            return rest.find(&self.pattern).map(|at| (from + at, from + at + self.pattern.len()));
        }
        rest.char_indices().find_map(|(at, _)| {
            let here = rest.get(at..)?;
            let length = matched_without_case(here, &self.pattern)?;
            Some((from + at, from + at + length))
        })
    }

    /// Appends the replacement for the match at `start..end`, with its `$` forms filled in.
    fn expand(&self, text: &str, start: usize, end: usize, out: &mut String) {
        let mut rest = self.with.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let put = match after.chars().next() {
                Some('$') => "$",
                Some('&') => text.get(start..end).unwrap_or_default(),
                Some('`') => text.get(..start).unwrap_or_default(),
                Some('\'') => text.get(end..).unwrap_or_default(),
                _ => {
                    out.push('$');
                    rest = after;
                    continue;
                }
            };
            out.push_str(put);
            rest = after.get(1..).unwrap_or_default();
        }
        out.push_str(rest);
    }
}

/// Returns how many bytes at the beginning of the text match the pattern, ignoring case.
fn matched_without_case(text: &str, pattern: &str) -> Option<usize> {
    let mut characters = text.chars();
    for expected in pattern.chars() {
        if folded(characters.next()?) != folded(expected) {
            return None;
        }
    }
    Some(text.len() - characters.as_str().len())
}

/// The character as a JavaScript regular expression without the `u` flag compares it.
fn folded(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None)
            if character.len_utf16() == 1
                && single.len_utf16() == 1
                && (character.is_ascii() || !single.is_ascii()) =>
        {
            single
        }
        _ => character,
    }
}
