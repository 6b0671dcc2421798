//! Counts over time: reads the relay's counters every ten seconds and adds the differences to slots.
//!
//! Slots of ten seconds are in memory for an hour. Slots of a minute are in the file for a week, slots of an hour for 400 days.
//! The counters are those of `/metrics`, so that a chart and Prometheus never differ, and they cost nothing for each event.

mod slot;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use slot::{Slot, Times};

use super::reader::Step;

/// One hour of slots of ten seconds.
const MAX_RECENT: usize = 360;

/// Reads the counters of the relay.
pub type Counters = Box<dyn Fn(&mut Sample) + Send>;

/// The values of the counters at one moment. A name has parts separated by slashes, such as `accepted/web`.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// Counters, which only grow.
    counts: BTreeMap<String, u64>,
    /// Levels, which go up and down.
    levels: BTreeMap<String, u64>,
    times: BTreeMap<String, Times>,
}

impl Sample {
    pub fn count(&mut self, name: &[&str], value: u64) {
        self.counts.insert(name.join("/"), value);
    }

    /// Adds to a count; for counts that are the sum of several counters.
    pub fn add(&mut self, name: &[&str], more: u64) {
        *self.counts.entry(name.join("/")).or_default() += more;
    }

    pub fn level(&mut self, name: &[&str], value: u64) {
        self.levels.insert(name.join("/"), value);
    }

    pub fn times(&mut self, name: &[&str], timings: &crate::telemetry::Timings) {
        self.times.insert(name.join("/"), Times::of(timings));
    }
}

/// The slots that are being filled, and the recent ones.
#[derive(Debug, Default)]
pub(super) struct Series {
    last: Sample,
    names: HashMap<String, Arc<str>>,
    recent: VecDeque<Slot>,
    minute: Slot,
    hour: Slot,
}

impl Series {
    /// Continues a slot of an earlier run.
    pub(super) fn restore(&mut self, step: Step, slot: Slot) {
        match step {
            Step::TenSeconds => {}
            Step::Minute => self.minute = slot,
            Step::Hour => self.hour = slot,
        }
    }

    /// Adds the differences to the sample before. Returns the changed slots with their steps.
    pub(super) fn add(&mut self, now: DateTime<Utc>, sample: Sample) -> Vec<(Step, Slot)> {
        let new = self.since(&sample);
        self.last = sample;
        let now = now.timestamp_millis();
        let mut changed = Vec::new();
        for (step, slot) in [(Step::Minute, &mut self.minute), (Step::Hour, &mut self.hour)] {
            let at = begin(now, step);
            if slot.at != at {
                changed.push((step, std::mem::replace(slot, Slot { at, ..Slot::default() })));
            }
            slot.add(&new);
            changed.push((step, slot.clone()));
        }
        changed.retain(|(_, slot)| slot.at != 0 && !slot.is_empty());
        let at = begin(now, Step::TenSeconds);
        match self.recent.back_mut() {
            Some(slot) if slot.at == at => slot.add(&new),
            _ => self.recent.push_back(Slot { at, ..new }),
        }
        if self.recent.len() > MAX_RECENT {
            self.recent.pop_front();
        }
        changed
    }

    /// Returns the slots of ten seconds in this time.
    pub(super) fn recent(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<Slot> {
        let time = from.timestamp_millis()..to.timestamp_millis();
        self.recent.iter().filter(|slot| time.contains(&slot.at)).cloned().collect()
    }

    fn since(&mut self, sample: &Sample) -> Slot {
        let mut slot = Slot::default();
        for (name, value) in &sample.counts {
            let before = self.last.counts.get(name).copied().unwrap_or(0);
            // A counter that is lower than before has started again from 0.
            let more = value.checked_sub(before).unwrap_or(*value);
            if more > 0 {
                slot.counts.insert(name_of(&mut self.names, name), more);
            }
        }
        for (name, value) in &sample.levels {
            slot.levels.insert(name_of(&mut self.names, name), *value);
        }
        for (name, times) in &sample.times {
            let more = times.since(self.last.times.get(name));
            if more.count() > 0 {
                slot.times.insert(name_of(&mut self.names, name), more);
            }
        }
        slot
    }
}

/// Returns the name; all slots share its text.
fn name_of(names: &mut HashMap<String, Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = names.get(name) {
        return Arc::clone(known);
    }
    let shared: Arc<str> = Arc::from(name);
    names.insert(name.to_owned(), Arc::clone(&shared));
    shared
}

/// Returns the beginning of the slot that contains this moment.
pub(super) fn begin(at: i64, step: Step) -> i64 {
    at - at.rem_euclid(step.milliseconds())
}
