//! What other mappings would change for events that are kept: how many rejects a draft fixes, and what it breaks.
//!
//! Changes nothing and reads nothing: the caller brings the events and both sets of mappings.

use chrono::{DateTime, Utc};

use crate::accoil::Plan;
use crate::config::Limits;
use crate::decode::{self, Form};
use crate::event_id::EventId;
use crate::pipeline::{Pipeline, Sources};

/// Examples of each kind of change.
const MAX_EXAMPLES: usize = 5;

/// An event as it is kept.
#[derive(Debug, Clone)]
pub struct KeptEvent {
    pub id: EventId,
    pub source: String,
    /// The name of its form.
    pub form: String,
    pub received_at: DateTime<Utc>,
    pub original: String,
    /// What its batch said about all its events.
    pub envelope: Option<String>,
}

/// How the events fare with the other mappings. `same`, `different`, `refused` and `gone` add up to all of them.
#[derive(Debug, Default)]
pub struct Effect {
    /// Events whose calls do not change.
    pub same: u64,
    /// Events that become other calls, or calls instead of none, or none instead of calls.
    pub different: u64,
    /// Events that the other mappings refuse, at least in part.
    pub refused: u64,
    /// Events whose source or form is no longer there.
    pub gone: u64,
    /// Of `different`: those that the mappings in force refuse and the others take whole.
    pub fixed: u64,
    /// Of `refused`: those that the mappings in force take whole.
    pub newly_refused: u64,
    pub examples: Vec<EffectExample>,
}

/// What changes for one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Fixed,
    Different,
    NewlyRefused,
    StillRefused,
}

impl Change {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Different => "different",
            Self::NewlyRefused => "newly refused",
            Self::StillRefused => "still refused",
        }
    }
}

/// One event with a change, and what both sets of mappings make of it.
#[derive(Debug)]
pub struct EffectExample {
    pub change: Change,
    pub event: KeptEvent,
    pub before: Plan,
    pub after: Plan,
}

impl Effect {
    /// Compares the mappings of two sets of sources.
    pub fn of(
        in_force: &Sources,
        other: &Sources,
        limits: &Limits,
        events: impl IntoIterator<Item = KeptEvent>,
    ) -> Self {
        let event_bytes = limits.amplitude_batch_bytes.max(limits.webhook_bytes);
        let limits = decode::Limits { event_bytes, events: 1, depth: limits.json_depth };
        let mut effect = Self::default();
        for event in events {
            match plan(in_force, limits, &event).zip(plan(other, limits, &event)) {
                Some((before, after)) => effect.add(event, before, after),
                None => effect.gone += 1,
            }
        }
        effect
    }

    fn add(&mut self, event: KeptEvent, before: Plan, after: Plan) {
        let was_refused = !before.rejected.is_empty();
        let change = if after.rejected.is_empty() {
            if are_same(&before, &after) && !was_refused {
                self.same += 1;
                return;
            }
            self.different += 1;
            if was_refused && !after.requests.is_empty() {
                self.fixed += 1;
                Change::Fixed
            } else {
                Change::Different
            }
        } else {
            self.refused += 1;
            if was_refused {
                Change::StillRefused
            } else {
                self.newly_refused += 1;
                Change::NewlyRefused
            }
        };
        if self.examples.iter().filter(|example| example.change == change).count() < MAX_EXAMPLES {
            self.examples.push(EffectExample { change, event, before, after });
        }
    }
}

fn plan(sources: &Sources, limits: decode::Limits, event: &KeptEvent) -> Option<Plan> {
    let source = sources.named(&event.source)?;
    let form = Form::named(&event.form)?;
    let received_at = event.received_at;
    let pipeline = Pipeline { source, form, limits, received_at, is_text_repaired: false };
    Some(pipeline.plan_item(&event.original, event.envelope.as_deref()).plan)
}

/// Whether both make the same calls.
fn are_same(before: &Plan, after: &Plan) -> bool {
    before.requests.len() == after.requests.len()
        && before.requests.iter().zip(&after.requests).all(|(one, other)| {
            one.destination == other.destination
                && one.mapping == other.mapping
                && one.path == other.path
                && one.body == other.body
        })
}
