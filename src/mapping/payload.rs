//! Applies one mapping to an event: resolves and validates the action's fields.
//!
//! This is the hot path of the stage. A typical track costs one look-up for each field and one `Vec`; values stay where the
//! event has them.

use std::borrow::Cow;

use accoil_mapping::check;

use super::directive::Directive;
use super::field::{CheckResult, Field};
use super::{Expression, Mapping, Origin, Slot};
use crate::event::{Dialect, Event, Violation};
use crate::json::Value;
use crate::reasons::Reason;
use crate::times;

/// The values of an action's fields for one event. An empty value is absent, as in Segment's engine.
pub struct Payload<'e> {
    values: Vec<(&'e str, Cow<'e, Value<'e>>)>,
    /// What lenient validation converted or left out.
    pub warnings: Vec<Violation>,
}

/// The value that a mapping gives for a field; `None` is JavaScript's undefined.
pub(super) type MappedValue<'e> = Option<Cow<'e, Value<'e>>>;

impl<'e> Payload<'e> {
    pub fn get(&self, key: &str) -> Option<&Value<'e>> {
        self.values.iter().find(|(name, _)| *name == key).map(|(_, value)| &**value)
    }
}

impl Mapping {
    /// Returns the payload for an event that the mapping matches, or every violation found in it.
    ///
    /// Fields that only another dialect has are not resolved. A directive that fails rejects the event for this
    /// mapping. So does a bad value in a required field or, with `strict`, in any field. Without `strict`, a bad
    /// optional field is left out and the time of receipt replaces a missing `timestamp`, each with a warning.
    pub fn payload<'e>(
        &'e self,
        event: &'e Event<'e>,
        dialect: Dialect,
        strict: bool,
    ) -> Result<Payload<'e>, Vec<Violation>> {
        let mut root = self.resolve_root(event).map_err(|violation| vec![violation])?;
        let mut findings = Findings { values: Vec::with_capacity(self.slots.len()), ..Findings::default() };
        for slot in self.slots_of(dialect) {
            match slot.resolve(root.as_mut(), event) {
                Ok(value) => findings.take(slot, value, event, strict),
                Err(violation) => findings.violations.push(violation),
            }
        }
        let Findings { values, warnings, violations } = findings;
        if violations.is_empty() { Ok(Payload { values, warnings }) } else { Err(violations) }
    }

    pub(super) fn slots_of(&self, dialect: Dialect) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| slot.field.dialect.is_none_or(|only| only == dialect))
    }

    /// Returns the object that the root directive makes, if there is one.
    pub(super) fn resolve_root<'e>(&'e self, event: &'e Event<'e>) -> Result<MappedValue<'e>, Violation> {
        self.root.as_ref().map_or(Ok(None), |root| resolve("", root, &event.value))
    }
}

impl Slot {
    /// Returns the mapping's value for the field; with a root directive, it is taken out of that directive's object.
    pub(super) fn resolve<'e>(
        &'e self,
        root: Option<&mut Cow<'e, Value<'e>>>,
        event: &'e Event<'e>,
    ) -> Result<MappedValue<'e>, Violation> {
        match &self.origin {
            Origin::Nothing => Ok(None),
            Origin::Directive(Expression { directive, .. }) => {
                resolve(&self.field.key, directive, &event.value)
            }
            Origin::Extension(default) => resolve(&self.field.key, &default.directive, &event.value),
            Origin::Root(_) => Ok(root.and_then(|root| member(root, &self.field.key))),
        }
    }
}

/// The results for one event so far.
#[derive(Default)]
pub(super) struct Findings<'e> {
    pub(super) values: Vec<(&'e str, Cow<'e, Value<'e>>)>,
    pub(super) warnings: Vec<Violation>,
    pub(super) violations: Vec<Violation>,
}

impl<'e> Findings<'e> {
    /// Checks the value of a field and keeps the result.
    pub(super) fn take(&mut self, slot: &'e Slot, value: MappedValue<'e>, event: &Event<'_>, strict: bool) {
        let field = slot.field;
        let is_timestamp = !strict && field.key == "timestamp";
        match value.map_or(CheckResult::Absent, |value| field.check(value, strict)) {
            CheckResult::Valid(value) | CheckResult::Converted(value, _)
                if is_timestamp && !is_possible(&value, event) =>
            {
                self.use_receipt(field, event, "is before 1970 or in the future");
            }
            CheckResult::Valid(value) => self.keep(field, value),
            CheckResult::Converted(value, warning) => {
                self.keep(field, value);
                self.warn(field, warning, Reason::Converted);
            }
            CheckResult::Absent if !field.required => {}
            CheckResult::Absent if is_timestamp => self.use_receipt(field, event, "is missing"),
            CheckResult::Invalid(_) if is_timestamp => self.use_receipt(field, event, "cannot be read"),
            CheckResult::Absent => self.refuse(field, missing(slot), Reason::RejectMissing),
            CheckResult::Invalid(reason) if strict || field.required => {
                self.refuse(field, reason, Reason::RejectType);
            }
            CheckResult::Placeholder(reason) if field.required => {
                self.refuse(field, reason, Reason::RejectPlaceholder);
            }
            CheckResult::Invalid(reason) | CheckResult::Placeholder(reason) => {
                self.warn(field, format!("was left out: it {reason}"), Reason::LeftOut);
            }
        }
    }

    fn use_receipt(&mut self, field: &'static Field, event: &Event<'_>, why: &str) {
        self.keep(field, Cow::Owned(times::write(event.received_at)));
        self.warn(field, format!("{why}; the time of receipt is sent instead"), Reason::TimeReplaced);
    }

    fn keep(&mut self, field: &'static Field, value: Cow<'e, Value<'e>>) {
        self.values.push((&field.key, value));
    }

    fn warn(&mut self, field: &Field, warning: impl Into<String>, code: Reason) {
        self.warnings.push(Violation { field: field.key.clone(), reason: warning.into(), code });
    }

    fn refuse(&mut self, field: &Field, reason: String, code: Reason) {
        self.violations.push(Violation { field: field.key.clone(), reason, code });
    }
}

fn resolve<'e>(
    key: &str,
    directive: &'e Directive,
    event: &'e Value<'e>,
) -> Result<MappedValue<'e>, Violation> {
    directive.resolve(event).map_err(|error| {
        let path =
            [key, &error.path].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(".");
        Violation::new(path, error.message).coded(Reason::RejectMapping)
    })
}

/// Removes a member from the root directive's object.
fn member<'e>(root: &mut Cow<'e, Value<'e>>, key: &str) -> Option<Cow<'e, Value<'e>>> {
    match root {
        Cow::Borrowed(value) => value.get(key).map(Cow::Borrowed),
        Cow::Owned(Value::Object(object)) => object.remove(key).map(Cow::Owned),
        Cow::Owned(_) => None,
    }
}

fn missing(slot: &Slot) -> String {
    let kind = slot.field.kind.rule();
    let source = match &slot.origin {
        Origin::Nothing => return format!("is required and must be {kind}, but the mapping does not set it"),
        Origin::Directive(Expression { written, .. }) => written.get("@path").and_then(Value::as_str),
        Origin::Extension(_) | Origin::Root(_) => None,
    };
    let source = source.map_or_else(|| "the mapping's value".to_owned(), |path| format!("`{path}`"));
    format!("is required and must be {kind}, but {source} is missing, null, empty or blank in this event")
}

/// True if the event can have happened at this time.
fn is_possible(time: &Value<'_>, event: &Event<'_>) -> bool {
    let time = time.as_str().and_then(check::time_of).or_else(|| times::read(time));
    time.is_none_or(|time| times::is_plausible(time, event.received_at))
}
