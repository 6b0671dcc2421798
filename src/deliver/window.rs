//! The part of a destination's queue that is in memory: requests that may be sent, and behind each the user's next ones.
//! Live requests go before old ones.
//!
//! Bounded by count and bytes. Never holds a user without requests, nor more than a few old chunks.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use super::worker::Work;
use crate::outbox::Lane;
use crate::outbox::chunk::Job;

const MAX_REQUESTS: usize = 16_384;
const MAX_BYTES: usize = 16 << 20;
/// One user's requests that wait here; further ones are parked, so that no user's backlog fills the window.
const MAX_FOLLOWERS: usize = 256;
/// After this many bytes of later chunks, requests are copied out of theirs: one user's last request must not keep a whole chunk
/// in memory.
const DETACH_AFTER: usize = 32 << 20;

#[derive(Debug, Default)]
pub(super) struct Window {
    /// Live requests whose turn has come.
    ready: VecDeque<Work>,
    /// Old requests whose turn has come: sent when no live one is ready.
    background: VecDeque<Work>,
    /// Users (hashed; a collision merely makes two wait for each other) with a request ready or in flight.
    turns: HashMap<u64, Turn>,
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

/// One user's turn.
#[derive(Debug, Default)]
struct Turn {
    /// What follows the request that is ready or in flight.
    followers: VecDeque<Work>,
    /// The user's next request waits in the background.
    is_in_background: bool,
}

impl Window {
    /// Requests in it, in flight ones included.
    pub(super) const fn len(&self) -> usize {
        self.requests
    }

    pub(super) const fn has_room(&self) -> bool {
        self.requests < MAX_REQUESTS && self.bytes < MAX_BYTES
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.background.is_empty()
    }

    /// Adds a request, ready or behind its user's others; returns it if the user has too many.
    pub(super) fn push(&mut self, work: Work) -> Option<Work> {
        let size = size(&work.job);
        let user = self.hash(&work.job);
        let is_live = work.job.lane == Lane::Live;
        if let Some(turn) = self.turns.get_mut(&user) {
            if turn.followers.len() >= MAX_FOLLOWERS {
                return Some(work);
            }
            turn.followers.push_back(work);
            if is_live && std::mem::take(&mut turn.is_in_background) {
                self.promote(user);
            }
        } else {
            self.turns.insert(user, Turn { followers: VecDeque::new(), is_in_background: !is_live });
            if is_live { self.ready.push_back(work) } else { self.background.push_back(work) }
        }
        self.requests += 1;
        self.bytes += size;
        None
    }

    /// A live request follows this user's request in the background, which no longer waits for other users.
    fn promote(&mut self, user: u64) {
        let place = self.background.iter().position(|work| self.hash(&work.job) == user);
        self.ready.extend(place.and_then(|place| self.background.remove(place)));
    }

    /// The next request that may be sent; it counts until [`Self::leave`].
    pub(super) fn next(&mut self) -> Option<Work> {
        if let Some(work) = self.ready.pop_front() {
            return Some(work);
        }
        let work = self.background.pop_front()?;
        let user = self.hash(&work.job);
        if let Some(turn) = self.turns.get_mut(&user) {
            turn.is_in_background = false;
        }
        Some(work)
    }

    /// A request is finished.
    pub(super) fn leave(&mut self, job: &Job) {
        self.requests -= 1;
        self.bytes -= size(job);
    }

    /// The user's next request is ready. False if there is none.
    pub(super) fn next_turn(&mut self, job: &Job) -> bool {
        let user = self.hash(job);
        let Some(turn) = self.turns.get_mut(&user) else { return false };
        let Some(next) = turn.followers.pop_front() else {
            self.turns.remove(&user);
            return false;
        };
        let is_theirs = |work: &Work| work.job.user.as_str() == job.user.as_str();
        let more = is_theirs(&next) || turn.followers.iter().any(is_theirs);
        // An old request that a live one waits for goes at once.
        let is_live = |work: &Work| work.job.lane == Lane::Live;
        turn.is_in_background = !is_live(&next) && !turn.followers.iter().any(is_live);
        if turn.is_in_background {
            self.background.push_back(next);
        } else {
            self.ready.push_back(next);
        }
        more
    }

    /// Ends the user's turn; all that followed leaves the window.
    pub(super) fn end_turn(&mut self, job: &Job) -> VecDeque<Work> {
        let followers = self.turns.remove(&self.hash(job)).unwrap_or_default().followers;
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
        let followers = self.turns.values_mut().flat_map(|turn| &mut turn.followers);
        let waiting = self.ready.iter_mut().chain(&mut self.background).chain(followers);
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
