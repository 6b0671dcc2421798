//! 2,500 accounts: a run is killed again and again, and the next runs finish the rest. Only a call in flight is
//! repeated.

use std::time::{Duration, Instant};

use accoil_relay::sandbox::{Fault, Options};
use serde_json::Value;

use super::{BOTH, Place, TO_ACCOIL, TO_VITALLY, counts, until};

const ACCOUNTS: usize = 2_500;
/// All but one without an externalId, and one that Accoil does not know.
const KNOWN: usize = ACCOUNTS - 2;

/// Vitally's documented number of units in a shorter window.
const LIMIT: (u32, Duration) = (1_000, Duration::from_secs(2));
/// For tests in which the pace does not matter.
const NO_LIMIT: (u32, Duration) = (1_000_000, Duration::from_secs(60));

async fn large(vitally_limit: (u32, Duration)) -> Place {
    Place::new(Options { accounts: ACCOUNTS, vitally_limit, ..Options::default() }, BOTH).await
}

/// Starts a run and kills it once this condition holds.
async fn kill_when(place: &Place, direction: &str, holds: impl FnMut() -> bool) {
    let mut child = place.start(direction);
    until(direction, holds).await;
    assert!(child.try_wait().unwrap().is_none(), "{direction}: it had ended before the kill");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Starts a run and kills it while it waits for the sixth page of Vitally's list.
async fn kill_in_the_sweep(place: &Place, direction: &str) {
    for (times, delay_ms) in [(5, 0), (1, 20_000)] {
        let path = Some("/resources/accounts".to_owned());
        place.fault(Fault { path, times, delay_ms: Some(delay_ms), ..Fault::default() });
    }
    kill_when(place, direction, || place.sandbox().faults().list().is_empty()).await;
}

fn not_once<T>(by_account: impl IntoIterator<Item = (String, Vec<T>)>) -> Vec<(String, usize)> {
    let times = by_account.into_iter().map(|(account, calls)| (account, calls.len()));
    times.filter(|(_, times)| *times != 1).collect()
}

/// Vitally records what was written, not the runs, so the count is exact wherever the kill happens. All runs together
/// stay within its limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accoil_to_vitally_writes_every_account_once_despite_kills() {
    let place = large(LIMIT).await;
    let vitally = place.sandbox().vitally();
    let start = Instant::now();
    kill_in_the_sweep(&place, TO_VITALLY).await;
    assert_eq!(vitally.writes().len(), 0, "the first kill is during the sweep");
    for written in [1, 400, 1_500, KNOWN - 200] {
        kill_when(&place, TO_VITALLY, || vitally.writes().len() >= written).await;
    }
    let before = vitally.writes().len() as u64;
    let last = place.synced(&[TO_VITALLY]).await;
    let [written, unchanged, resumed, unknown, skipped, failed] = counts(&last);
    // Calls in flight at a kill turn out to be written; some of the last ones may arrive a moment later.
    assert_eq!([unknown, skipped, failed], [1, 1, 0], "{last:#}");
    assert!((KNOWN as u64 - 4..=KNOWN as u64).contains(&(written + before)), "{last:#}");
    assert!(resumed > 0 && written + unchanged + resumed == KNOWN as u64, "{last:#}");
    assert_eq!(not_once(place.writes()), []);
    assert_eq!(place.writes().len(), KNOWN);

    let again = place.synced(&[TO_VITALLY]).await;
    assert_eq!(counts(&again), [0, KNOWN as u64, 0, 1, 1, 0]);
    assert_eq!(vitally.writes().len(), KNOWN, "a second run writes nothing");
    assert_eq!(vitally.refused(), 0, "no window over the limit");
    println!("accoil-to-vitally, five kills and a second run: {:?}", start.elapsed());
}

/// A kill may repeat the calls in flight, one per account, each with the same body. What Accoil had accepted before
/// is never sent again, whatever other commands run in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vitally_to_accoil_repeats_only_calls_in_flight_at_a_kill() {
    const IN_FLIGHT: usize = 8;
    let place = large(NO_LIMIT).await;
    place.configure(&BOTH.replace("mrr_unit", "concurrency = 8\nmrr_unit"));
    let (sandbox, start) = (place.sandbox(), Instant::now());
    kill_in_the_sweep(&place, TO_ACCOIL).await;
    assert_eq!(sandbox.total(), 0, "the first kill is during the sweep");
    let between: [&[&str]; 4] = [&[], &[TO_ACCOIL, "--dry-run"], &[], &[TO_VITALLY]];
    for (sent, other) in [1, 250, 1_000, 2_000].into_iter().zip(between) {
        kill_when(&place, TO_ACCOIL, || sandbox.total() >= sent).await;
        if !other.is_empty() {
            place.synced(other).await;
        }
    }
    let last = place.synced(&[TO_ACCOIL]).await;
    assert_eq!(counts(&last)[2..], [0, 0, 1, 0], "{last:#}");
    assert_eq!(counts(&last)[..2].iter().sum::<u64>(), ACCOUNTS as u64 - 1, "{last:#}");
    let groups = place.groups();
    assert_eq!(groups.len(), ACCOUNTS - 1);
    for (account, calls) in &groups {
        assert!(calls.iter().all(|call| call["traits"] == calls[0]["traits"]), "{account}: {calls:?}");
    }
    let total = sandbox.total();
    let repeated = not_once(groups);
    assert!(repeated.len() <= 4 * IN_FLIGHT, "four kills: {repeated:?}");

    let again = place.synced(&[TO_ACCOIL]).await;
    assert_eq!(counts(&again), [0, ACCOUNTS as u64 - 1, 0, 0, 1, 0]);
    assert_eq!(sandbox.total(), total, "a second run sends nothing");
    println!("vitally-to-accoil, five kills, {} repeated: {:?}", repeated.len(), start.elapsed());
}

/// All accounts at the limit that Vitally documents, without a kill: each is written once, nothing is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it takes three minutes: Vitally allows 1,000 calls a minute"]
async fn at_the_documented_limit_every_account_is_written_once() {
    let place = large((1_000, Duration::from_secs(60))).await;
    let start = Instant::now();
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [ACCOUNTS as u64 - 1, 0, 0, 0, 1, 0]);
    println!("vitally-to-accoil: {:?}", start.elapsed());
    let mut command = place.start(TO_VITALLY);
    let ended = tokio::task::spawn_blocking(move || command.wait().unwrap()).await.unwrap();
    println!("accoil-to-vitally: {:?}", start.elapsed());
    assert!(ended.success());
    assert_eq!((not_once(place.writes()), not_once(place.groups())), (Vec::new(), Vec::new()));
    assert_eq!((place.writes().len(), place.sandbox().vitally().refused()), (KNOWN, 0));
    let before = (place.sandbox().total(), place.sandbox().vitally().writes().len());
    for direction in [TO_ACCOIL, TO_VITALLY] {
        assert_eq!(counts(&place.synced(&[direction]).await)[0], 0);
    }
    assert_eq!((place.sandbox().total(), place.sandbox().vitally().writes().len()), before);
}

/// The second run writes only what changed since the first.
#[tokio::test]
async fn a_second_run_writes_only_changes() {
    let place = Place::usual().await;
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [11, 0, 0, 0, 1, 0]);
    assert_eq!(counts(&place.synced(&[TO_VITALLY]).await), [10, 0, 0, 1, 1, 0]);
    place.change_vitally("ext-12346", |account| account["mrr"] = Value::from(2000));
    place.change_accoil("ext-12347", |account| account["metrics"]["engagement_score"] = Value::from(1.5));
    assert_eq!(counts(&place.synced(&[TO_ACCOIL]).await), [1, 10, 0, 0, 1, 0]);
    assert_eq!(counts(&place.synced(&[TO_VITALLY]).await), [1, 9, 0, 1, 1, 0]);
    let groups = place.groups();
    assert_eq!(groups["ext-12346"].len(), 2);
    assert_eq!(groups["ext-12346"][1]["traits"]["mrr"], 200_000, "dollars are multiplied by 100");
    assert_eq!(groups.values().map(Vec::len).sum::<usize>(), 12);
    let id = place.vitally("ext-12347")["id"].as_str().unwrap().to_owned();
    let change = serde_json::json!({"traits": {"accoil_engagement_score": 1.5}});
    assert_eq!(place.writes()[&id][1], change, "only the trait that changed");
    assert_eq!(place.writes().values().map(Vec::len).sum::<usize>(), 11);
}
