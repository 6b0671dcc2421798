//! Stage 3: finds the mappings whose trigger matches an event; each gives its action's validated payload.
//!
//! [`Mappings::load`] reads presets and files once, when the configuration loads, and compiles every [`trigger`] and
//! [`directive`] in them. For an event, only [`Mapping::matches`] and [`Mapping::payload`] run. This stage knows
//! nothing about Accoil's requests.

mod action;
mod entry;
mod explain;
mod field;
mod file;
mod lint;
mod load;
mod payload;
mod schema;
mod spec;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use directive::{CompileError, Directive};
use trigger::Trigger;

pub use accoil_mapping::check::{Format, Type, utc};
pub use accoil_mapping::{directive, trigger};
pub use action::Action;
pub use explain::Explanation;
pub use field::Field;
pub use load::{MAX_MAPPINGS, Mappings, PRESETS, SourceFile};
pub use payload::Payload;
pub use schema::schema;

use crate::event::{Event, SourceKind};
use crate::json::Value;

/// A trigger, an action, and the value of each of the action's fields: Segment's mapping (subscription).
pub struct Mapping {
    /// Unique within its destination.
    pub name: Arc<str>,
    pub enabled: bool,
    /// The preset or file that it was loaded from.
    pub origin: String,
    /// The kind of source whose events it handles; `None` means both kinds.
    pub source: Option<SourceKind>,
    pub trigger: Trigger,
    pub action: &'static Action,
    /// One for every field of the action, in the action's order.
    slots: Vec<Slot>,
    /// `__segment_internal_directive`: makes the object that contains the mapped fields.
    root: Option<Directive>,
}

/// A field of the mapping's action and the origin of its value.
struct Slot {
    field: &'static Field,
    origin: Origin,
}

enum Origin {
    /// The mapping does not set it.
    Nothing,
    Directive(Expression),
    /// The mapping does not set it, but it is an extension, so its default applies.
    Extension(&'static Expression),
    /// From the object of the root directive. The value is what the mapping says about the field.
    Root(Value<'static>),
}

/// A mapping value, compiled, and as it was written, for explanations.
struct Expression {
    directive: Directive,
    written: Value<'static>,
}

impl Expression {
    fn compile(written: &Value<'_>) -> Result<Self, CompileError> {
        Ok(Self { directive: Directive::compile(written)?, written: written.clone().into_owned() })
    }
}

impl Mapping {
    /// True if this mapping handles the event.
    pub fn matches(&self, kind: SourceKind, event: &Event<'_>) -> bool {
        self.enabled && self.source.is_none_or(|source| source == kind) && self.trigger.matches(&event.value)
    }
}
