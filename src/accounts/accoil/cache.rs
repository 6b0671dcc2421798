//! Caches accounts for as long as Accoil itself does not refresh them.
//!
//! In memory and bounded. Callers that ask for the same account at the same time share one call and its outcome.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache as Moka;
use moka::policy::EvictionPolicy;

use super::client::{Client, FetchedAccount};
use super::error::GetError;
use super::query::{ExpandBlocks, Query};

/// How often Accoil refreshes each block (its documentation's "Cache Durations").
const INSIGHTS: Duration = Duration::from_secs(30 * 60);
const TRAITS: Duration = Duration::from_secs(15 * 60);
const SEGMENTS: Duration = Duration::from_secs(10 * 60);
/// Accoil documents no period for the scores: the shortest of the others is used.
const SCORES: Duration = SEGMENTS;
/// How long a missing account is cached.
const NOT_FOUND: Duration = Duration::from_secs(30);

/// The size of the whole cache. An account counts as twice its JSON: it is held as text and as a typed account.
const MAX_BYTES: usize = 64 << 20;
/// The minimum size that one entry counts for. It also limits the number of entries.
const MIN_ENTRY_BYTES: usize = 64 << 10;

/// A cache in front of a client. Shared behind an `Arc`.
#[derive(Debug)]
pub struct Cache {
    client: Arc<Client>,
    reads: Moka<Query, Read>,
}

/// An account and how old it is.
#[derive(Debug, Clone)]
pub struct CachedAccount {
    pub found: Arc<FetchedAccount>,
    /// The time since Accoil's answer.
    pub age: Duration,
    /// The time from now until Accoil is asked again.
    pub fresh_for: Duration,
}

/// An outcome that is cached: an account, or that there is none.
#[derive(Debug, Clone)]
struct Read {
    at: Instant,
    outcome: Result<Arc<FetchedAccount>, Arc<GetError>>,
    lifetime: Duration,
}

/// Each read has a lifetime of its own.
struct Lifetimes;

impl moka::Expiry<Query, Read> for Lifetimes {
    fn expire_after_create(&self, _: &Query, read: &Read, _: Instant) -> Option<Duration> {
        Some(read.lifetime)
    }
}

impl Cache {
    pub fn new(client: Arc<Client>) -> Self {
        let reads = Moka::builder()
            .max_capacity(MAX_BYTES as u64)
            .weigher(|_, read: &Read| u32::try_from(read.bytes()).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Lifetimes)
            .build();
        Self { client, reads }
    }

    /// The client behind the cache, for what is not to be cached.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Like [`Client::get`]. Callers that share a call share its error.
    pub async fn get(&self, query: &Query) -> Result<CachedAccount, Arc<GetError>> {
        let workspace_id = query.workspace_id.as_deref().unwrap_or(self.client.workspace_id());
        let key = Query { workspace_id: Some(workspace_id.to_owned()), ..query.clone() };
        self.get_or_read(key, self.client.get(query)).await
    }

    async fn get_or_read(
        &self,
        key: Query,
        call: impl Future<Output = Result<FetchedAccount, GetError>>,
    ) -> Result<CachedAccount, Arc<GetError>> {
        let expand = key.expand;
        let read = self.reads.try_get_with(key, async { Read::new(call.await, expand) }).await?;
        let (found, age) = (read.outcome?, read.at.elapsed());
        Ok(CachedAccount { found, age, fresh_for: read.lifetime.saturating_sub(age) })
    }
}

impl Read {
    /// Fails with the errors that are not cached.
    fn new(outcome: Result<FetchedAccount, GetError>, expand: ExpandBlocks) -> Result<Self, GetError> {
        let (outcome, lifetime) = match outcome {
            Ok(found) => (Ok(Arc::new(found)), refresh_period(expand)),
            Err(error) if error.is_not_found() => (Err(Arc::new(error)), NOT_FOUND),
            Err(error) => return Err(error),
        };
        Ok(Self { at: Instant::now(), outcome, lifetime })
    }

    fn bytes(&self) -> usize {
        self.outcome.as_ref().map_or(0, |found| found.body.len() * 2).max(MIN_ENTRY_BYTES)
    }
}

/// The shortest refresh period among the requested blocks.
fn refresh_period(expand: ExpandBlocks) -> Duration {
    [(expand.insights, INSIGHTS), (expand.traits, TRAITS), (expand.segments, SEGMENTS)]
        .into_iter()
        .filter_map(|(is_asked, period)| is_asked.then_some(period))
        .min()
        .unwrap_or(SCORES)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use moka::Expiry as _;
    use secrecy::SecretString;
    use serde_json::Value;
    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::super::account::Account;
    use super::super::error::Refusal;
    use super::super::query::Lookup;
    use super::*;
    use crate::proxies::Proxies;

    /// A cache whose reads the test counts and lets end.
    struct Counted {
        cache: Cache,
        reads: AtomicUsize,
        permits: Semaphore,
    }

    impl Counted {
        fn new(permits: usize) -> Arc<Self> {
            let token = SecretString::from("accoil_t");
            let client = Client::new("http://127.0.0.1:1", &token, "123", &Proxies::default()).unwrap();
            let permits = Semaphore::new(permits);
            Arc::new(Self { cache: Cache::new(Arc::new(client)), reads: AtomicUsize::new(0), permits })
        }

        async fn get(
            &self,
            query: Query,
            outcome: Result<usize, GetError>,
        ) -> Result<CachedAccount, Arc<GetError>> {
            let call = async {
                self.reads.fetch_add(1, Ordering::Relaxed);
                self.permits.acquire().await.unwrap().forget();
                outcome.map(|bytes| FetchedAccount { account: Account::default(), body: "x".repeat(bytes) })
            };
            self.cache.get_or_read(query, call).await
        }

        fn reads(&self) -> usize {
            self.reads.load(Ordering::Relaxed)
        }
    }

    fn query(id: &str, expand: &str) -> Query {
        let lookup = Some(Lookup::Id(id.to_owned()));
        Query { lookup, expand: expand.parse().unwrap(), workspace_id: None }
    }

    fn not_found() -> GetError {
        GetError::NotFound(Refusal::default())
    }

    fn failed() -> GetError {
        GetError::from_object(500, &Value::Null, None)
    }

    /// The documented refresh periods: traits 15 minutes, segments 10, insights 30; of several the shortest.
    #[tokio::test]
    async fn an_account_is_fresh_for_the_shortest_period_of_its_blocks() {
        for (expand, minutes) in [
            ("", 10),
            ("traits", 15),
            ("segments", 10),
            ("insights", 30),
            ("insights,traits", 15),
            ("insights,traits,segments", 10),
        ] {
            let found = FetchedAccount { account: Account::default(), body: String::new() };
            let read = Read::new(Ok(found), expand.parse().unwrap()).unwrap();
            assert_eq!(read.lifetime.as_secs(), minutes * 60, "{expand}");
            let lifetime = Lifetimes.expire_after_create(&query("1", expand), &read, Instant::now());
            assert_eq!(lifetime, Some(read.lifetime), "{expand}");
            let counted = Counted::new(1);
            for _ in 0..2 {
                let cached = counted.get(query("1", expand), Ok(2)).await.unwrap();
                assert_eq!(cached.age + cached.fresh_for, read.lifetime, "{expand}");
            }
            assert_eq!(counted.reads(), 1, "{expand}");
        }
    }

    #[tokio::test]
    async fn a_missing_account_is_cached_briefly_and_other_failures_are_not() {
        let counted = Counted::new(10);
        for _ in 0..2 {
            counted.get(query("1", ""), Err(not_found())).await.unwrap_err();
        }
        assert_eq!(counted.reads(), 1);
        assert_eq!(Read::new(Err(not_found()), ExpandBlocks::default()).unwrap().lifetime.as_secs(), 30);
        for _ in 0..2 {
            counted.get(query("2", ""), Err(failed())).await.unwrap_err();
        }
        assert_eq!(counted.reads(), 3);
    }

    #[tokio::test]
    async fn each_workspace_lookup_and_expansion_is_cached_separately() {
        let counted = Counted::new(10);
        let by = |kind: &str| Lookup::Match { kind: kind.to_owned(), value: "1".to_owned() };
        let one = query("1", "");
        for query in [
            one.clone(),
            query("2", ""),
            query("1", "traits"),
            Query { lookup: Some(by("name")), ..one.clone() },
            Query { lookup: Some(by("domain")), ..one.clone() },
            Query { workspace_id: Some("7".to_owned()), ..one },
        ] {
            counted.get(query.clone(), Ok(2)).await.unwrap();
            counted.get(query, Ok(2)).await.unwrap();
        }
        assert_eq!(counted.reads(), 6);
    }

    /// Of fifty concurrent callers the first makes the call. When it is dropped, the next one makes it.
    #[tokio::test]
    async fn concurrent_callers_share_one_call() {
        for is_found in [true, false] {
            let counted = Counted::new(0);
            let mut tasks = JoinSet::new();
            let mut begin = || {
                let counted = Arc::clone(&counted);
                let outcome = if is_found { Ok(2) } else { Err(failed()) };
                tasks.spawn(async move { counted.get(query("1", ""), outcome).await.is_ok() })
            };
            let first = begin();
            tokio::task::yield_now().await;
            assert_eq!(counted.reads(), 1);
            (1..50).for_each(|_| drop(begin()));
            tokio::task::yield_now().await;
            assert_eq!(counted.reads(), 1);
            first.abort();
            assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
            counted.permits.add_permits(1);
            let all = tasks.join_all().await;
            assert_eq!((all.len(), counted.reads()), (49, 2));
            assert!(all.into_iter().all(|one| one == is_found));
        }
    }

    #[tokio::test]
    async fn it_is_bounded_in_number_and_in_bytes() {
        for (bytes, most) in [(2, MAX_BYTES / MIN_ENTRY_BYTES), (MAX_BYTES / 8, 4)] {
            let counted = Counted::new(Semaphore::MAX_PERMITS);
            for id in 0..most * 2 {
                counted.get(query(&id.to_string(), ""), Ok(bytes)).await.unwrap();
            }
            counted.cache.reads.run_pending_tasks().await;
            assert_eq!(counted.cache.reads.entry_count(), most as u64);
            let reads = counted.reads();
            counted.get(query(&(most * 2 - 1).to_string(), ""), Ok(bytes)).await.unwrap();
            assert_eq!(counted.reads(), reads, "the newest is there");
            counted.get(query("0", ""), Ok(bytes)).await.unwrap();
            assert_eq!(counted.reads(), reads + 1, "the oldest is out");
        }
    }
}
