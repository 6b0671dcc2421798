//! Explains step by step what one mapping does with one event, for `map --explain`.
//!
//! It runs the same functions as the hot path, field by field, and records the result of each. It shows values, so
//! its output must never go into logs.

use std::borrow::Cow;

use serde::Serialize;

use super::payload::{Findings, MappedValue};
use super::{Expression, Mapping, Origin, Slot};
use crate::event::{Dialect, Event, SourceKind, Violation};
use crate::json::Value;

/// The result of one mapping for one event.
#[derive(Debug, Serialize)]
pub struct Explanation<'e> {
    pub mapping: &'e str,
    /// The preset or file that it comes from.
    pub origin: &'e str,
    pub trigger: String,
    pub matched: bool,
    /// Each reason why it does not match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<String>,
    pub action: &'e str,
    /// In the action's order. Empty if the mapping does not match, or sends the event unchanged.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldExplanation<'e>>,
}

/// The result for one field.
#[derive(Debug, Serialize)]
pub struct FieldExplanation<'e> {
    pub field: &'e str,
    /// The mapping's value for the field, as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'e Value<'static>>,
    /// The kind of the mapped value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: MappedValue<'e>,
    pub outcome: Outcome,
    /// What is sent, if it differs from the mapped value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: MappedValue<'e>,
    /// The warning or the violation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Sent unchanged.
    Kept,
    /// Converted to the field's type, as Segment would convert it.
    Coerced,
    /// Converted leniently; Segment would have refused it.
    #[serde(rename = "mended")]
    Converted,
    /// The mapping gave no value.
    Absent,
    /// Left out; the event is sent without it.
    Omitted,
    /// The event is refused because of this field.
    Refused,
}

impl Mapping {
    pub fn explain<'e>(
        &'e self,
        kind: SourceKind,
        event: &'e Event<'e>,
        dialect: Dialect,
        strict: bool,
    ) -> Explanation<'e> {
        let unmatched = self.unmatched(kind, event);
        let matched = unmatched.is_empty();
        Explanation {
            mapping: &self.name,
            origin: &self.origin,
            trigger: self.trigger.to_string(),
            matched,
            unmatched,
            action: &self.action.slug,
            fields: if matched { self.explain_fields(event, dialect, strict) } else { Vec::new() },
        }
    }

    /// Returns each reason why the mapping does not match; empty if [`Mapping::matches`] is true.
    fn unmatched(&self, kind: SourceKind, event: &Event<'_>) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.enabled {
            reasons.push("the mapping is disabled".to_owned());
        }
        if let Some(source) = self.source.filter(|source| *source != kind) {
            reasons.push(format!("it is for {} sources; this one is {}", source.name(), kind.name()));
        }
        reasons.extend(self.trigger.failing_conditions(&event.value));
        reasons
    }

    fn explain_fields<'e>(
        &'e self,
        event: &'e Event<'e>,
        dialect: Dialect,
        strict: bool,
    ) -> Vec<FieldExplanation<'e>> {
        let mut root = match self.resolve_root(event) {
            Ok(root) => root,
            Err(violation) => return vec![FieldExplanation::new("", None).refused(&violation)],
        };
        self.slots_of(dialect).map(|slot| slot.explain(root.as_mut(), event, strict)).collect()
    }
}

impl Slot {
    fn explain<'e>(
        &'e self,
        root: Option<&mut Cow<'e, Value<'e>>>,
        event: &'e Event<'e>,
        strict: bool,
    ) -> FieldExplanation<'e> {
        let explained = FieldExplanation::new(&self.field.key, self.written());
        let value = match self.resolve(root, event) {
            Ok(value) => value,
            Err(violation) => return explained.refused(&violation),
        };
        let mut findings = Findings::default();
        findings.take(self, value.clone(), event, strict);
        explained.given(value, findings)
    }

    fn written(&self) -> Option<&Value<'static>> {
        match &self.origin {
            Origin::Nothing => None,
            Origin::Directive(Expression { written, .. }) | Origin::Root(written) => Some(written),
            Origin::Extension(default) => Some(&default.written),
        }
    }
}

impl<'e> FieldExplanation<'e> {
    fn new(field: &'e str, from: Option<&'e Value<'static>>) -> Self {
        Self { field, from, kind: None, value: None, outcome: Outcome::Absent, sent: None, reason: None }
    }

    /// A directive failed; the violation names it.
    fn refused(self, violation: &Violation) -> Self {
        let reason = format!("{}: {}", violation.field, violation.reason);
        Self { outcome: Outcome::Refused, reason: Some(reason), ..self }
    }

    fn given(self, value: MappedValue<'e>, mut findings: Findings<'e>) -> Self {
        let sent = findings.values.pop().map(|(_, sent)| sent);
        let warning = findings.warnings.pop();
        let violation = findings.violations.pop();
        let outcome = match (&sent, &warning, &violation) {
            (_, _, Some(_)) => Outcome::Refused,
            (Some(_), Some(_), None) => Outcome::Converted,
            (Some(_), None, None) if sent == value => Outcome::Kept,
            (Some(_), None, None) => Outcome::Coerced,
            (None, Some(_), None) => Outcome::Omitted,
            (None, None, None) => Outcome::Absent,
        };
        Self {
            kind: value.as_ref().map(|value| value.kind()),
            sent: sent.filter(|_| outcome != Outcome::Kept),
            value,
            outcome,
            reason: violation.or(warning).map(|finding| finding.reason),
            ..self
        }
    }
}
