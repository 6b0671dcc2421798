//! What one mapping makes of one event, step by step: for `map --explain`.
//!
//! Runs the very functions of the hot path, field by field, and tells what each did. Shows values: never for logs.

use std::borrow::Cow;

use serde::Serialize;

use super::payload::{Findings, Resolved};
use super::{Expression, Mapping, Origin, Slot};
use crate::event::{Dialect, Event, SourceKind, Violation};
use crate::json::Value;

/// A mapping held against an event.
#[derive(Debug, Serialize)]
pub struct Explanation<'e> {
    pub mapping: &'e str,
    /// The preset or file it comes from.
    pub origin: &'e str,
    pub trigger: String,
    pub matched: bool,
    /// Each thing that kept it from matching.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<String>,
    pub action: &'e str,
    /// In the action's order; empty when the mapping did not match, or maps the event as it came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldExplanation<'e>>,
}

/// What became of one field.
#[derive(Debug, Serialize)]
pub struct FieldExplanation<'e> {
    pub field: &'e str,
    /// What the mapping says of it, as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'e Value<'static>>,
    /// The kind of value that gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Resolved<'e>,
    pub outcome: Outcome,
    /// What goes on, where it is not that value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Resolved<'e>,
    /// The warning or the violation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Sent as it is.
    Kept,
    /// Sent as the field's type, as Segment would send it.
    Coerced,
    /// Sent as something Segment would have refused it as.
    Mended,
    /// Nothing was mapped.
    Absent,
    /// Left out; the event is sent without it.
    Omitted,
    /// The event is refused for it.
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

    /// Each thing that keeps the mapping from matching; empty where [`Mapping::matches`] is true.
    fn unmatched(&self, kind: SourceKind, event: &Event<'_>) -> Vec<String> {
        let mut reasons = Vec::new();
        if !self.enabled {
            reasons.push("the mapping is disabled".to_owned());
        }
        if let Some(source) = self.source.filter(|source| *source != kind) {
            reasons.push(format!("it is for {} sources; this one is {}", source.name(), kind.name()));
        }
        reasons.extend(self.trigger.unmet(&event.value));
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

    /// A directive failed; the violation says which.
    fn refused(self, violation: &Violation) -> Self {
        let reason = format!("{}: {}", violation.field, violation.reason);
        Self { outcome: Outcome::Refused, reason: Some(reason), ..self }
    }

    fn given(self, value: Resolved<'e>, mut findings: Findings<'e>) -> Self {
        let sent = findings.values.pop().map(|(_, sent)| sent);
        let warning = findings.warnings.pop();
        let violation = findings.violations.pop();
        let outcome = match (&sent, &warning, &violation) {
            (_, _, Some(_)) => Outcome::Refused,
            (Some(_), Some(_), None) => Outcome::Mended,
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
