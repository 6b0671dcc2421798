//! The window: the part of a destination's queue that is in memory. A user's first call is ready to be sent; the user's
//! next ones follow it. Live calls are sent before background ones.
//!
//! Bounded by count and bytes. Never keeps a user without calls, nor more than a few old chunks.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;

use super::worker::Work;
use crate::outbox::Priority;
use crate::outbox::chunk::Job;

const MAX_REQUESTS: usize = 16_384;
const MAX_BYTES: usize = 16 << 20;
/// The most calls of one user that wait here. Further ones are parked, so that no user's backlog fills the window.
const MAX_FOLLOWERS: usize = 256;
/// After this many bytes of later chunks, calls are copied out of their chunk: one user's last call must not
/// keep a whole chunk in memory.
const DETACH_AFTER: usize = 32 << 20;

#[derive(Debug, Default)]
pub(super) struct Window {
    /// Live calls that may be sent.
    ready: VecDeque<Work>,
    /// Background calls that may be sent when no live one is ready.
    background: VecDeque<Work>,
    /// The users with a call ready or in flight, by their hash. If two users have the same hash, they wait for each
    /// other, which does no harm.
    turns: HashMap<u64, Turn>,
    hasher: RandomState,
    requests: usize,
    bytes: usize,
    /// Grows each time that `loaded` starts from zero. Each call has the one in which it was added.
    generation: u32,
    /// The bytes of the chunks loaded in this generation.
    loaded: usize,
}

/// The state of one user.
#[derive(Debug, Default)]
struct Turn {
    /// The calls that follow the one that is ready or in flight.
    followers: VecDeque<Work>,
    /// True if the user's next call waits in the background.
    is_in_background: bool,
}

impl Window {
    /// Returns the number of calls in it, including those in flight.
    pub(super) const fn len(&self) -> usize {
        self.requests
    }

    pub(super) const fn has_room(&self) -> bool {
        self.requests < MAX_REQUESTS && self.bytes < MAX_BYTES
    }

    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.background.is_empty()
    }

    /// Adds a call, ready or behind its user's others; returns it if the user has too many.
    pub(super) fn push(&mut self, mut work: Work) -> Option<Work> {
        work.generation = self.generation;
        let size = size(&work.job);
        let user = self.hash(&work.job);
        let is_live = work.job.priority == Priority::Live;
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

    /// A live call follows this user's background call, which then no longer waits for other users.
    fn promote(&mut self, user: u64) {
        let place = self.background.iter().position(|work| self.hash(&work.job) == user);
        self.ready.extend(place.and_then(|place| self.background.remove(place)));
    }

    /// Returns the next call that may be sent, of any lane but these. It counts until [`Self::leave`].
    pub(super) fn next(&mut self, resting: &[u32]) -> Option<Work> {
        if let Some(work) = first_of(&mut self.ready, resting) {
            return Some(work);
        }
        let work = first_of(&mut self.background, resting)?;
        let user = self.hash(&work.job);
        if let Some(turn) = self.turns.get_mut(&user) {
            turn.is_in_background = false;
        }
        Some(work)
    }

    /// Puts back a call that [`Self::next`] returned, because it cannot be made yet.
    pub(super) fn put_back(&mut self, work: Work) {
        self.ready.push_front(work);
    }

    /// A call is finished.
    pub(super) fn leave(&mut self, job: &Job) {
        self.requests -= 1;
        self.bytes -= size(job);
    }

    /// Makes the user's next call ready; returns false if there is none.
    pub(super) fn next_turn(&mut self, job: &Job) -> bool {
        let user = self.hash(job);
        let Some(turn) = self.turns.get_mut(&user) else { return false };
        let Some(next) = turn.followers.pop_front() else {
            self.turns.remove(&user);
            return false;
        };
        let is_theirs = |work: &Work| work.job.user.as_str() == job.user.as_str();
        let more = is_theirs(&next) || turn.followers.iter().any(is_theirs);
        // A background call that a live one waits for is ready immediately.
        let is_live = |work: &Work| work.job.priority == Priority::Live;
        turn.is_in_background = !is_live(&next) && !turn.followers.iter().any(is_live);
        if turn.is_in_background {
            self.background.push_back(next);
        } else {
            self.ready.push_back(next);
        }
        more
    }

    /// Ends the user's turn and returns its other calls, which leave the window.
    pub(super) fn end_turn(&mut self, job: &Job) -> VecDeque<Work> {
        let followers = self.turns.remove(&self.hash(job)).unwrap_or_default().followers;
        for follower in &followers {
            self.leave(&follower.job);
        }
        followers
    }

    /// Drops the calls of a lane. Those in flight stay until they end.
    pub(super) fn drop_lane(&mut self, lane: u32) {
        let (mut dropped, mut bytes) = (0, 0);
        let mut keeps = |work: &Work| {
            if work.lane == lane {
                dropped += 1;
                bytes += size(&work.job);
            }
            work.lane != lane
        };
        let mut users = Vec::new();
        for queue in [&mut self.ready, &mut self.background] {
            queue.retain(|work| {
                let stays = keeps(work);
                if !stays {
                    users.push(self.hasher.hash_one(work.job.user.as_str()));
                }
                stays
            });
        }
        for turn in self.turns.values_mut() {
            turn.followers.retain(&mut keeps);
        }
        self.requests -= dropped;
        self.bytes -= bytes;
        // The first call of each of these users is gone. What follows it is another user's with the same hash.
        for user in users {
            let Some(turn) = self.turns.get_mut(&user) else { continue };
            turn.is_in_background = false;
            match turn.followers.pop_front() {
                Some(next) => self.ready.push_back(next),
                None => drop(self.turns.remove(&user)),
            }
        }
    }

    /// The number of old calls in it whose turn has come.
    pub(super) fn in_background(&self) -> usize {
        self.background.len()
    }

    /// A chunk of this size was loaded. Releases chunks that were loaded long ago.
    pub(super) fn loaded(&mut self, bytes: usize) {
        self.loaded += bytes;
        if self.loaded < DETACH_AFTER {
            return;
        }
        let before = self.generation.checked_sub(1);
        let followers = self.turns.values_mut().flat_map(|turn| &mut turn.followers);
        let waiting = self.ready.iter_mut().chain(&mut self.background).chain(followers);
        for work in waiting.filter(|work| Some(work.generation) == before) {
            work.job.detach();
        }
        (self.generation, self.loaded) = (self.generation.wrapping_add(1), 0);
    }

    fn hash(&self, job: &Job) -> u64 {
        self.hasher.hash_one(job.user.as_str())
    }
}

fn size(job: &Job) -> usize {
    job.body.len() + job.original.len()
}

/// Removes the first call that is of none of these lanes. Usually it is the first of all.
fn first_of(queue: &mut VecDeque<Work>, resting: &[u32]) -> Option<Work> {
    if resting.is_empty() {
        return queue.pop_front();
    }
    let place = queue.iter().position(|work| !resting.contains(&work.lane))?;
    queue.remove(place)
}
