//! Stage 3: an event meets the mappings whose trigger holds; each yields its action's validated payload.
//!
//! [`Mappings::load`] reads presets and files once, when the configuration loads, and compiles every [`trigger`]
//! and [`directive`] in them; [`Mapping::matches`] and [`Mapping::payload`] are all that runs for an event.
//! Knows nothing of Accoil's requests.

mod action;
mod document;
mod entry;
mod explain;
mod field;
mod file;
mod lint;
mod load;
mod payload;
mod place;
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
pub use load::{MOST_MAPPINGS, Mappings, PRESETS};
pub use payload::Payload;
pub use schema::schema;

use crate::event::{Event, SourceKind};
use crate::json::Value;

/// A trigger, an action and what each of the action's fields is made of: Segment's mapping (subscription).
pub struct Mapping {
    /// Unique within its destination.
    pub name: Arc<str>,
    pub enabled: bool,
    /// The preset or file it was read from.
    pub origin: String,
    /// Only events from this kind of source are its business; `None`: from either.
    pub source: Option<SourceKind>,
    pub trigger: Trigger,
    pub action: &'static Action,
    /// One for every field of the action, in the action's order.
    slots: Vec<Slot>,
    /// `__segment_internal_directive`: makes the object from which mapped fields are taken.
    root: Option<Directive>,
}

/// A field of the mapping's action and where its value comes from.
struct Slot {
    field: &'static Field,
    origin: Origin,
}

enum Origin {
    /// The mapping does not mention it.
    Nothing,
    Directive(Expression),
    /// Not mentioned, but an extension of ours, whose default then holds.
    Extension(&'static Expression),
    /// The mapping's root directive; and what the mapping says of the field.
    Root(Value<'static>),
}

/// A mapping value, compiled, and as it was written: to explain what came of it.
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
    /// Whether this mapping handles the event.
    pub fn matches(&self, kind: SourceKind, event: &Event<'_>) -> bool {
        self.enabled && self.source.is_none_or(|source| source == kind) && self.trigger.matches(&event.value)
    }
}
