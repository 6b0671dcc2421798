//! The part of a destination's queue that is in memory: requests that may be sent, and behind each the user's next ones.
//!
//! Bounded by count and bytes. Never holds a user without requests, nor more than a few old chunks.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use super::worker::Work;
use crate::outbox::chunk::Job;

const MOST_REQUESTS: usize = 16_384;
const MOST_BYTES: usize = 16 << 20;
/// One user's requests that wait here; further ones are parked, so that no user's backlog fills the window.
const MOST_FOLLOWERS: usize = 256;
/// After this many bytes of later chunks, requests are copied out of theirs: one user's last request must not keep a whole chunk
/// in memory.
const DETACH_AFTER: usize = 32 << 20;

#[derive(Debug, Default)]
pub(super) struct Window {
    /// Requests whose turn has come.
    ready: VecDeque<Work>,
    /// Users (hashed; a collision merely makes two wait for each other) with a request ready or in flight, and
    /// what follows it.
    turns: HashMap<u64, VecDeque<Work>>,
    hasher: RandomState,
    requests: usize,
    bytes: usize,
    /// Chunks up to this one have been left.
    detached: i64,
    /// The newest chunk when `loaded` was last begun.
    newest: i64,
    /// Bytes of chunks loaded since.
    loaded: usize,
}

impl Window {
    /// Requests in it, in flight ones included.
    pub(super) const fn len(&self) -> usize {
        self.requests
    }

    pub(super) const fn has_room(&self) -> bool {
        self.requests < MOST_REQUESTS && self.bytes < MOST_BYTES
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Adds a request, ready or behind its user's others; returns it if the user has too many.
    pub(super) fn push(&mut self, work: Work) -> Option<Work> {
        let size = size(&work.job);
        let user = self.hash(&work.job);
        if let Some(followers) = self.turns.get_mut(&user) {
            if followers.len() >= MOST_FOLLOWERS {
                return Some(work);
            }
            followers.push_back(work);
        } else {
            self.turns.insert(user, VecDeque::new());
            self.ready.push_back(work);
        }
        self.requests += 1;
        self.bytes += size;
        None
    }

    /// The next request that may be sent; it counts until [`Self::leave`].
    pub(super) fn next(&mut self) -> Option<Work> {
        self.ready.pop_front()
    }

    /// A request is finished.
    pub(super) fn leave(&mut self, job: &Job) {
        self.requests -= 1;
        self.bytes -= size(job);
    }

    /// The user's next request is ready. False if there is none.
    pub(super) fn next_turn(&mut self, job: &Job) -> bool {
        let user = self.hash(job);
        let Some(followers) = self.turns.get_mut(&user) else { return false };
        let Some(next) = followers.pop_front() else {
            self.turns.remove(&user);
            return false;
        };
        let is_theirs = |work: &Work| work.job.user.as_str() == job.user.as_str();
        let more = is_theirs(&next) || followers.iter().any(is_theirs);
        self.ready.push_back(next);
        more
    }

    /// Ends the user's turn; all that followed leaves the window.
    pub(super) fn end_turn(&mut self, job: &Job) -> VecDeque<Work> {
        let followers = self.turns.remove(&self.hash(job)).unwrap_or_default();
        for follower in &followers {
            self.leave(&follower.job);
        }
        followers
    }

    /// A chunk of this size was loaded. Releases chunks that were loaded long ago.
    pub(super) fn loaded(&mut self, chunk: i64, bytes: usize) {
        self.loaded += bytes;
        if self.loaded < DETACH_AFTER {
            return;
        }
        let old = self.detached + 1..=self.newest;
        let waiting = self.ready.iter_mut().chain(self.turns.values_mut().flatten());
        for work in waiting.filter(|work| old.contains(&work.job.place.order().0)) {
            work.job.detach();
        }
        (self.detached, self.newest, self.loaded) = (self.newest, chunk, 0);
    }

    fn hash(&self, job: &Job) -> u64 {
        self.hasher.hash_one(job.user.as_str())
    }
}

fn size(job: &Job) -> usize {
    job.body.len() + job.original.len()
}
