//! Decides which payloads the history gets, and removes the others before a post is sent on.
//!
//! This happens right after the commit. What is removed is freed at once, so that a flood of whole posts never waits in the channel.

use std::time::Instant;

use bytes::Bytes;

use super::budget::Budget;
use crate::event_id::EventId;
use crate::facts::{Accepted, Submission};

/// A larger payload is never kept.
const MAX_BYTES: usize = 1 << 20;

/// Which payloads the history wants.
#[derive(Debug)]
pub(super) struct WantedPayloads {
    budget: Budget,
    /// Whether the history searches every event for values to hide: then even what it does not keep is sent on.
    pub(super) searches_all: bool,
}

impl WantedPayloads {
    pub(super) fn new(rate: u64, searches_all: bool) -> Self {
        Self { budget: Budget::new(rate, Instant::now()), searches_all }
    }

    /// Returns the events whose payload is kept, sorted by id. What is kept is copied out of the body of its post, which is freed.
    pub(super) fn select(&mut self, submission: &mut Submission, now: Instant) -> Vec<EventId> {
        let Submission { accepted, rejects, skipped, .. } = submission;
        let mut kept = Vec::new();
        for event in accepted.iter_mut() {
            let bodies: usize = event.requests.iter().map(|request| request.body.len()).sum();
            if self.takes(&mut event.original, bodies, now) {
                kept.push(event.event);
            } else if !self.searches_all {
                strip_accepted(event);
            }
        }
        let is_accepted =
            |id: EventId| accepted.binary_search_by_key(&id, |event: &Accepted| event.event).is_ok();
        let rejects = rejects.iter_mut().map(|reject| (reject.event, &mut reject.original));
        let skipped = skipped.iter_mut().map(|event| (event.event, &mut event.original));
        for (event, original) in rejects.chain(skipped) {
            if is_accepted(event) {
                // Some mappings accepted it: what is kept of it is there.
                *original = Bytes::new();
            } else if self.takes(original, 0, now) {
                kept.push(event);
            }
            // Without a title, the history reads the original even if it does not keep it.
        }
        kept.sort_unstable();
        kept
    }

    fn takes(&mut self, original: &mut Bytes, bodies: usize, now: Instant) -> bool {
        let size = original.len() + bodies;
        let takes = !original.is_empty() && size <= MAX_BYTES && self.budget.allow(size, now);
        if takes {
            *original = Bytes::copy_from_slice(original);
        }
        takes
    }
}

/// Removes all payloads, even if lines then have no name.
pub(super) fn strip(submission: &mut Submission) {
    submission.accepted.iter_mut().for_each(strip_accepted);
    submission.accepted.iter_mut().for_each(|event| event.original = Bytes::new());
    submission.rejects.iter_mut().for_each(|reject| reject.original = Bytes::new());
    submission.skipped.iter_mut().for_each(|event| event.original = Bytes::new());
}

fn strip_accepted(event: &mut Accepted) {
    if event.title.is_some() {
        event.original = Bytes::new();
    }
    event.requests.iter_mut().for_each(|request| request.body = Vec::new());
}
