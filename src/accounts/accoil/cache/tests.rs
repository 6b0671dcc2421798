//! Who waits for whom, how long an account is fresh, and what is dropped: by a clock that stands still.

use std::sync::atomic::{AtomicUsize, Ordering};

use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::accounts::accoil::{Account, Lookup, Refusal};

/// A cache whose reads the tests make up, and count.
struct Counted {
    cache: Cache,
    reads: AtomicUsize,
    /// A read ends when there is a permit.
    permits: Semaphore,
}

impl Counted {
    fn new() -> Arc<Self> {
        let client = Client::new("http://127.0.0.1:1", &SecretString::from("accoil_t"), "123").unwrap();
        let permits = Semaphore::new(Semaphore::MAX_PERMITS);
        Arc::new(Self { cache: Cache::new(Arc::new(client)), reads: AtomicUsize::new(0), permits })
    }

    /// A number of reads that end, the others hang.
    fn with_permits(permits: usize) -> Arc<Self> {
        let counted = Self::new();
        counted.permits.forget_permits(Semaphore::MAX_PERMITS - permits);
        counted
    }

    async fn get(&self, query: Query, outcome: Outcome) -> Result<Cached, Arc<GetError>> {
        let read = async || {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.permits.acquire().await.unwrap().forget();
            outcome.read()
        };
        self.cache.get_or_read(query, read).await
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

fn query(id: &str, expand: &str) -> Query {
    let lookup = Some(Lookup::Id(id.to_owned()));
    Query { lookup, expand: expand.parse().unwrap(), workspace_id: None }
}

/// What a read comes to.
#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Small,
    Large,
    NotFound,
    Failed,
}

use Outcome::{Failed, Large, NotFound, Small};

impl Outcome {
    fn read(self) -> Result<Found, GetError> {
        let found = |body: String| Ok(Found { account: Account::default(), body });
        match self {
            Small => found("{}".to_owned()),
            Large => found("x".repeat(MOST_BYTES / 8)),
            NotFound => Err(GetError::NotFound(Refusal::default())),
            Failed => Err(GetError::from_object(500, &Value::Null, None)),
        }
    }
}

/// The documented refresh periods: traits 15 minutes, segments 10, insights 30; of several the shortest.
#[tokio::test(start_paused = true)]
async fn an_account_is_fresh_as_long_as_what_it_holds() {
    for (expand, minutes) in [
        ("", 10),
        ("traits", 15),
        ("segments", 10),
        ("insights", 30),
        ("insights,traits", 15),
        ("insights,traits,segments", 10),
    ] {
        let counted = Counted::new();
        let get = async || counted.get(query("1", expand), Small).await.unwrap();
        let [whole, nearly] = [minutes * 60, minutes * 60 - 1].map(Duration::from_secs);
        let first = get().await;
        assert_eq!((first.age, first.fresh_for), (Duration::ZERO, whole), "{expand}");
        tokio::time::advance(nearly).await;
        let second = get().await;
        assert_eq!((second.age + second.fresh_for, second.fresh_for.as_secs()), (whole, 1), "{expand}");
        assert_eq!(counted.reads(), 1, "{expand}");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((get().await.age, counted.reads()), (Duration::ZERO, 2), "{expand}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_account_is_remembered_briefly_and_no_other_failure() {
    for (outcome, seconds, reads) in [(NotFound, 29, 1), (NotFound, 30, 2), (Failed, 0, 2), (Failed, 29, 2)] {
        let counted = Counted::new();
        counted.get(query("1", ""), outcome).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(seconds)).await;
        counted.get(query("1", ""), outcome).await.unwrap_err();
        assert_eq!(counted.reads(), reads, "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn workspace_lookup_and_expansion_are_kept_apart() {
    let counted = Counted::new();
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
        counted.get(query.clone(), Small).await.unwrap();
        counted.get(query, Small).await.unwrap();
    }
    assert_eq!(counted.reads(), 6);
}

/// Fifty ask while one call is made; all of them hear its outcome, whatever it is.
#[tokio::test(start_paused = true)]
async fn one_call_is_made_for_all_who_wait() {
    for outcome in [Small, NotFound, Failed] {
        let counted = Counted::with_permits(0);
        let mut tasks = JoinSet::new();
        for _ in 0..50 {
            let counted = Arc::clone(&counted);
            tasks.spawn(async move { counted.get(query("1", ""), outcome).await.is_ok() });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        counted.permits.add_permits(1);
        let all = tasks.join_all().await;
        assert_eq!((all.len(), counted.reads()), (50, 1));
        assert!(all.into_iter().all(|is_found| is_found == (outcome == Small)));
    }
}

/// Of two who ask the first makes the call and is gone in the middle of it.
#[tokio::test(start_paused = true)]
async fn who_goes_away_takes_nothing_from_the_others() {
    let counted = Counted::with_permits(0);
    let mut tasks = JoinSet::new();
    let mut begin = || {
        let counted = Arc::clone(&counted);
        tasks.spawn(async move { counted.get(query("1", ""), Small).await.is_ok() })
    };
    let (first, _second) = (begin(), begin());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(counted.reads(), 1);
    first.abort();
    assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
    counted.permits.add_permits(1);
    assert!(tasks.join_next().await.unwrap().unwrap());
    assert_eq!(counted.reads(), 2);
    // And when all have gone, the next one begins anew.
    tokio::time::advance(SCORES).await;
    let gone = tokio::time::timeout(Duration::from_secs(1), counted.get(query("1", ""), Small)).await;
    assert!(gone.is_err());
    counted.permits.add_permits(1);
    assert!(counted.get(query("1", ""), Small).await.is_ok());
    assert_eq!(counted.reads(), 4);
}

#[tokio::test(start_paused = true)]
async fn it_is_bounded_in_number_and_in_bytes() {
    let counted = Counted::new();
    for id in 0..=MOST_ENTRIES {
        counted.get(query(&id.to_string(), ""), Small).await.unwrap();
    }
    assert_eq!(counted.cache.with_entries(|entries| entries.len()), MOST_ENTRIES);
    let reads = counted.reads();
    counted.get(query("1", ""), Small).await.unwrap();
    assert_eq!(counted.reads(), reads, "the second is still there");
    counted.get(query("0", ""), Small).await.unwrap();
    assert_eq!(counted.reads(), reads + 1, "the oldest is out");

    let counted = Counted::new();
    for id in ["a", "b", "c", "d", "e"] {
        counted.get(query(id, ""), Large).await.unwrap();
    }
    let held =
        counted.cache.with_entries(|entries| entries.iter().map(|(_, flight)| size(flight)).sum::<usize>());
    assert_eq!(held, MOST_BYTES);
    counted.get(query("b", ""), Large).await.unwrap();
    assert_eq!(counted.reads(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_under_way_is_never_dropped_and_one_given_up_is() {
    let counted = Counted::new();
    let wait = |ended| tokio::time::timeout(Duration::from_secs(1), ended);
    let mut hanging = Box::pin(counted.cache.get_or_read(query("hangs", ""), std::future::pending));
    assert!(wait(hanging.as_mut()).await.is_err());
    let fill = async |from: usize| {
        for id in from..from + MOST_ENTRIES {
            counted.get(query(&id.to_string(), ""), Small).await.unwrap();
        }
    };
    let is_held =
        || counted.cache.with_entries(|entries| entries.iter().any(|(key, _)| *key == query("hangs", "")));
    fill(0).await;
    assert_eq!((is_held(), counted.reads()), (true, MOST_ENTRIES));
    let second = tokio::time::timeout(Duration::from_secs(1), counted.get(query("hangs", ""), Small)).await;
    assert!(second.is_err() && counted.reads() == MOST_ENTRIES, "it waits for the call of the first");
    drop(hanging);
    fill(MOST_ENTRIES).await;
    assert!(!is_held());
}
