//! Accounts read a short while ago: within the time in which Accoil itself would answer alike, it is not asked again.
//!
//! Read-through, in memory, bounded. Whoever asks for what is just being read waits for that one call and shares its
//! outcome, failures too; if the one who makes it goes away, the next of those who wait makes it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::client::{Client, Found};
use super::error::GetError;
use super::query::{Expand, Query};

/// How often Accoil works each block out anew (`seeds/accoil-get-accounts.txt`, Cache Durations).
const INSIGHTS: Duration = Duration::from_secs(30 * 60);
const TRAITS: Duration = Duration::from_secs(15 * 60);
const SEGMENTS: Duration = Duration::from_secs(10 * 60);
/// Nothing is said of the scores themselves: the shortest of what is.
const SCORES: Duration = SEGMENTS;
/// That there is no such account is believed so long.
const NOT_FOUND: Duration = Duration::from_secs(30);

const MOST_ENTRIES: usize = 1000;
/// Of all that is held; an account counts as twice its JSON, being there as text and read.
const MOST_BYTES: usize = 64 << 20;

/// A cache before a client. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Cache {
    client: Arc<Client>,
    entries: Mutex<Entries>,
}

/// An account and how old it is.
#[derive(Debug, Clone)]
pub struct Cached {
    pub found: Arc<Found>,
    /// Since Accoil's answer.
    pub age: Duration,
    /// From now on; then Accoil is asked again.
    pub fresh_for: Duration,
}

/// The outcome of one call; empty while it is made.
type Flight = Arc<OnceCell<Read>>;

/// In the order in which they were asked for.
type Entries = VecDeque<(Query, Flight)>;

#[derive(Debug)]
struct Read {
    at: Instant,
    outcome: Result<Arc<Found>, Arc<GetError>>,
    lifetime: Duration,
}

impl Cache {
    pub fn new(client: Arc<Client>) -> Self {
        Self { client, entries: Mutex::default() }
    }

    /// As [`Client::get`]; several who waited for one call hear one error.
    pub async fn get(&self, query: &Query) -> Result<Cached, Arc<GetError>> {
        let workspace_id = query.workspace_id.as_deref().unwrap_or(self.client.workspace_id());
        let key = Query { workspace_id: Some(workspace_id.to_owned()), ..query.clone() };
        self.get_or_read(key, || self.client.get(query)).await
    }

    async fn get_or_read<F>(&self, key: Query, read: impl FnOnce() -> F) -> Result<Cached, Arc<GetError>>
    where
        F: Future<Output = Result<Found, GetError>>,
    {
        let expand = key.expand;
        let flight = self.flight(key);
        let read = flight.get_or_init(async || Read::new(read().await, expand)).await;
        self.with_entries(make_room);
        let age = read.at.elapsed();
        let found = Arc::clone(read.outcome.as_ref().map_err(Arc::clone)?);
        Ok(Cached { found, age, fresh_for: read.lifetime.saturating_sub(age) })
    }

    /// The call to wait for: one under way or whose outcome still holds, else a new one.
    fn flight(&self, key: Query) -> Flight {
        self.with_entries(|entries| {
            if let Some(place) = entries.iter().position(|(held, _)| *held == key) {
                if let Some((_, flight)) = entries.get(place).filter(|(_, flight)| holds(flight)) {
                    return Arc::clone(flight);
                }
                entries.remove(place);
            }
            let flight = Flight::default();
            entries.push_back((key, Arc::clone(&flight)));
            make_room(entries);
            flight
        })
    }

    fn with_entries<T>(&self, work: impl FnOnce(&mut Entries) -> T) -> T {
        work(&mut self.entries.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Read {
    fn new(outcome: Result<Found, GetError>, expand: Expand) -> Self {
        let lifetime = match &outcome {
            Ok(_) => refresh_period(expand),
            Err(error) if error.is_not_found() => NOT_FOUND,
            Err(_) => Duration::ZERO,
        };
        Self { at: Instant::now(), outcome: outcome.map(Arc::new).map_err(Arc::new), lifetime }
    }
}

/// Of the block that is worked out most often.
fn refresh_period(expand: Expand) -> Duration {
    [(expand.insights, INSIGHTS), (expand.traits, TRAITS), (expand.segments, SEGMENTS)]
        .into_iter()
        .filter_map(|(is_asked, period)| is_asked.then_some(period))
        .min()
        .unwrap_or(SCORES)
}

fn holds(flight: &Flight) -> bool {
    flight.get().is_none_or(|read| read.at.elapsed() < read.lifetime)
}

/// Drops the oldest beyond what may be held; no call under way, which would be made twice. Of these there are as many
/// as the admin listener serves at once.
fn make_room(entries: &mut Entries) {
    let mut count = entries.len();
    let mut bytes: usize = entries.iter().map(|(_, flight)| size(flight)).sum();
    entries.retain(|(_, flight)| {
        let is_kept = is_under_way(flight) || (count <= MOST_ENTRIES && bytes <= MOST_BYTES);
        if !is_kept {
            count -= 1;
            // One that ended since is not in the sum.
            bytes = bytes.saturating_sub(size(flight));
        }
        is_kept
    });
}

/// Whether somebody waits for it; a call that all have given up is not made.
fn is_under_way(flight: &Flight) -> bool {
    flight.get().is_none() && Arc::strong_count(flight) > 1
}

fn size(flight: &Flight) -> usize {
    let found = flight.get().and_then(|read| read.outcome.as_ref().ok());
    found.map_or(0, |found| found.body.len() * 2)
}

#[cfg(test)]
mod tests;
