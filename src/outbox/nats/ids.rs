//! The ids that were accepted recently, by any relay, and which of them this relay has not stored yet.
//!
//! If a batch is not stored, its ids are forgotten, unless another relay has stored the same id meanwhile.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::super::recent::{Identity, Recent};

#[derive(Debug)]
pub(super) struct AcceptedIds {
    recent: Recent,
    /// The ids of the batch that is being built or sent.
    not_stored: HashSet<[u32; 4]>,
}

impl AcceptedIds {
    pub(super) fn new(recent: Recent) -> Self {
        Self { recent, not_stored: HashSet::new() }
    }

    /// Adds an id that this relay accepts. Returns false if the id was accepted before.
    pub(super) fn accept(&mut self, identity: &Identity, now: DateTime<Utc>) -> bool {
        let is_new = self.recent.insert(identity, now);
        if is_new {
            self.not_stored.insert(identity.hash);
        }
        is_new
    }

    /// Notes that a relay has stored an id.
    pub(super) fn see(&mut self, identity: &Identity, at: DateTime<Utc>) {
        self.not_stored.remove(&identity.hash);
        self.recent.insert(identity, at);
    }

    /// Notes that the batch with these ids was stored.
    pub(super) fn stored(&mut self, identities: &[Identity]) {
        for identity in identities {
            self.not_stored.remove(&identity.hash);
        }
    }

    /// Forgets the ids of a batch that was not stored.
    pub(super) fn undo(&mut self, identities: &[Identity]) {
        for identity in identities {
            if self.not_stored.remove(&identity.hash) {
                self.recent.forget(identity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_id_that_was_not_stored_is_forgotten_unless_another_relay_stored_it() {
        let now = Utc::now();
        let hour = Duration::from_secs(3600);
        let mut ids = AcceptedIds::new(Recent::new(100, hour, now));
        let [own, both] = ["own", "both"].map(|id| Identity::new([1; 16], "web", id, hour));
        assert!(ids.accept(&own, now) && ids.accept(&both, now) && !ids.accept(&own, now));
        ids.see(&both, now);
        ids.undo(&[own, both]);
        assert_eq!([ids.accept(&own, now), ids.accept(&both, now)], [true, false]);
        ids.stored(&[own]);
        ids.undo(&[own]);
        assert!(!ids.accept(&own, now));
    }
}
