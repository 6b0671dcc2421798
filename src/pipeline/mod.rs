//! Decode, match, map, validate and encode as one function: stages 2 to 4 of an event.
//!
//! Everything that turns events into calls uses it (receive, replay, `map`, the benchmark), so that all of them make the same
//! calls. [`Collector`] turns the results into a submission for the outbox. Does no I/O and counts nothing.

mod collect;
mod document;
mod original;
mod source;

use chrono::{DateTime, Utc};

#[cfg(test)]
pub(crate) use collect::title;
pub use collect::{Collector, unreadable};
pub use document::DocumentError;
pub use source::{Source, Sources};

use crate::accoil::{self, Plan};
use crate::decode::{self, BodyError, Context, Form, Items, Limits, Shared};
use crate::event::Item;

/// Where events come from, and what is needed to read them.
#[derive(Clone, Copy)]
pub struct Pipeline<'a> {
    pub source: &'a Source,
    /// The form in which the sender posts.
    pub form: Form,
    pub limits: Limits,
    pub received_at: DateTime<Utc>,
    /// True if the body was not UTF-8 and its broken characters became U+FFFD.
    pub is_text_repaired: bool,
}

/// One item of a body, and the calls, rejects or reason to skip that it became.
pub struct Planned<'a> {
    pub item: Item<'a>,
    pub plan: Plan,
}

impl<'a> Pipeline<'a> {
    /// Splits a body into its items. Each item is planned when the iterator reaches it.
    pub fn plan_body(self, body: &'a str) -> Result<PlannedItems<'a>, BodyError> {
        let items = decode::decode(self.form, body, self.context())?;
        Ok(PlannedItems { pipeline: self, items })
    }

    /// Plans one item on its own. `envelope` is what [`Shared::to_json`] returned for its body.
    pub fn plan_item(&self, original: &'a str, envelope: Option<&'a str>) -> Planned<'a> {
        self.plan(decode::decode_item(self.form, original, envelope, self.context()))
    }

    fn plan(&self, item: Item<'a>) -> Planned<'a> {
        let plan = accoil::plan(&self.source.destinations, self.source.kind, &item.outcome);
        Planned { item, plan }
    }

    const fn context(&self) -> Context<'a> {
        Context {
            received_at: self.received_at,
            source: &self.source.settings,
            limits: self.limits,
            is_text_repaired: self.is_text_repaired,
        }
    }
}

/// The planned items of one body, in the order of the body.
pub struct PlannedItems<'a> {
    pipeline: Pipeline<'a>,
    items: Items<'a>,
}

impl<'a> PlannedItems<'a> {
    /// Returns the members of the body that apply to all of its items.
    pub fn shared(&self) -> Shared<'a> {
        self.items.shared()
    }
}

impl<'a> Iterator for PlannedItems<'a> {
    type Item = Planned<'a>;

    fn next(&mut self) -> Option<Planned<'a>> {
        self.items.next().map(|item| self.pipeline.plan(item))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.items.size_hint()
    }
}

impl ExactSizeIterator for PlannedItems<'_> {}
