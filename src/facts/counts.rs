//! Counts received events for the metrics: by source and outcome, by reason, and by mapping.
//!
//! Names come from the configuration, which bounds the memory. Adding to a counter never waits for a lock that is held long.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Accepted, Received, Submission};
use crate::reasons::{self, Reason};

/// One source since the start.
#[derive(Debug, Default)]
pub struct SourceCounts {
    pub accepted: AtomicU64,
    pub duplicates: AtomicU64,
    pub skipped: AtomicU64,
    pub rejected: AtomicU64,
    /// Bytes of request bodies, after decompression. Receive counts them.
    pub bytes: AtomicU64,
    /// Why events were skipped, rejected or accepted with a warning.
    pub reasons: reasons::Counts,
}

/// One mapping since the start.
#[derive(Debug, Default)]
struct MappingCounts {
    calls: AtomicU64,
    rejected: AtomicU64,
}

/// By destination, then by mapping.
type Mappings = HashMap<Arc<str>, HashMap<Arc<str>, MappingCounts>>;

/// The counters of every source and mapping that has had an event.
#[derive(Debug, Default)]
pub struct Counts {
    sources: RwLock<HashMap<Arc<str>, Arc<SourceCounts>>>,
    mappings: RwLock<Mappings>,
}

impl Counts {
    /// Returns the counters of this source.
    pub fn source(&self, name: &Arc<str>) -> Arc<SourceCounts> {
        let known = self.sources.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(sources.entry(Arc::clone(name)).or_default())
        })
    }

    /// Returns the number of calls that a mapping made and of events that it rejected.
    pub fn mapping(&self, destination: &str, mapping: &str) -> (u64, u64) {
        let mappings = self.mappings.read().unwrap_or_else(PoisonError::into_inner);
        let counts = mappings.get(destination).and_then(|mappings| mappings.get(mapping));
        counts.map_or((0, 0), |counts| {
            (counts.calls.load(Ordering::Relaxed), counts.rejected.load(Ordering::Relaxed))
        })
    }

    pub(super) fn received(&self, received: &Received<'_>) {
        let Received { submission, duplicates, is_replay } = received;
        if !*is_replay {
            self.source(&submission.source).received(submission, duplicates);
        }
        let new = new_events(&submission.accepted, duplicates);
        let mut missing = Vec::new();
        {
            let mappings = self.mappings.read().unwrap_or_else(PoisonError::into_inner);
            for request in new.flat_map(|event| &event.requests) {
                let counts = mappings.get(&request.destination).and_then(|known| known.get(&request.mapping));
                match counts {
                    Some(counts) => drop(counts.calls.fetch_add(1, Ordering::Relaxed)),
                    None => missing.push((&request.destination, &request.mapping, false)),
                }
            }
            for (destination, mapping) in submission.rejects.iter().flat_map(|reject| &reject.refused_by) {
                match mappings.get(destination).and_then(|known| known.get(mapping)) {
                    Some(counts) => drop(counts.rejected.fetch_add(1, Ordering::Relaxed)),
                    None => missing.push((destination, mapping, true)),
                }
            }
        }
        if !missing.is_empty() {
            let mut mappings = self.mappings.write().unwrap_or_else(PoisonError::into_inner);
            for (destination, mapping, is_reject) in missing {
                let known = mappings.entry(Arc::clone(destination)).or_default();
                let counts = known.entry(Arc::clone(mapping)).or_default();
                let counter = if is_reject { &counts.rejected } else { &counts.calls };
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl SourceCounts {
    fn received(&self, submission: &Submission, duplicates: &[u32]) {
        let Submission { accepted, rejects, skipped, .. } = submission;
        for (counter, more) in [
            (&self.accepted, accepted.len() - duplicates.len()),
            (&self.duplicates, duplicates.len()),
            (&self.skipped, skipped.len()),
            (&self.rejected, rejects.len()),
        ] {
            if more > 0 {
                counter.fetch_add(more as u64, Ordering::Relaxed);
            }
        }
        if !duplicates.is_empty() {
            self.reasons.add(Reason::Duplicate, duplicates.len() as u64);
        }
        let warned = new_events(accepted, duplicates).flat_map(|event| &event.warned);
        let rejected = rejects.iter().map(|reject| &reject.code);
        let skipped = skipped.iter().map(|event| &event.reason);
        for reason in warned.chain(rejected).chain(skipped) {
            self.reasons.add(*reason, 1);
        }
    }
}

/// Returns the events that had not been accepted before. `duplicates` are indexes, in order.
fn new_events<'s>(accepted: &'s [Accepted], duplicates: &'s [u32]) -> impl Iterator<Item = &'s Accepted> {
    let mut duplicates = duplicates.iter().copied().peekable();
    let mut index = 0;
    accepted.iter().filter(move |_| {
        let is_duplicate = duplicates.next_if_eq(&index).is_some();
        index += 1;
        !is_duplicate
    })
}
