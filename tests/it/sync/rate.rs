//! Vitally's limit: calls are spread below it, and a 429 pauses every call, whatever a write costs and whichever other client
//! uses the limit.

use std::cell::Cell;
use std::time::{Duration, Instant};

use accoil_relay::sandbox::{Fault, Options, Sandbox};
use http::Method;

use super::{BOTH, Place, TO_VITALLY, counts};
use crate::http::send;

const ACCOUNTS: usize = 400;
const LIMIT: u32 = 200;
const WINDOW: Duration = Duration::from_secs(2);

async fn limited(accounts: usize, vitally_write_cost: u32) -> Place {
    let options =
        Options { accounts, vitally_limit: (LIMIT, WINDOW), vitally_write_cost, ..Options::default() };
    Place::new(options, BOTH).await
}

fn say(what: &str, sandbox: &Sandbox, start: Instant) {
    let (most, refused) = (sandbox.vitally().max_units_in_window(), sandbox.vitally().refused());
    println!("{what}: at most {most} of {LIMIT} units in a window, {refused} refused, {:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_window_exceeds_the_limit_and_nothing_is_refused() {
    for (accounts, cost) in [(ACCOUNTS, 1), (ACCOUNTS / 2, 3)] {
        let (place, start) = (limited(accounts, cost).await, Instant::now());
        assert_eq!(counts(&place.synced(&[TO_VITALLY]).await)[0], accounts as u64 - 2);
        say(&format!("a write costs {cost}"), place.sandbox(), start);
        assert_eq!(place.sandbox().vitally().refused(), 0);
        // The run had to slow down: this many calls do not fit into one window.
        assert!(start.elapsed() > WINDOW * (u32::try_from(accounts).unwrap() * cost / LIMIT - 1));
    }
}

/// Another integration uses more than half of the limit without limiting itself, and still gets its share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_client_slows_the_run_down_and_does_not_break_it() {
    let (place, start) = (limited(ACCOUNTS / 2, 1).await, Instant::now());
    let url = format!("{}/resources/accounts/ext-12345", place.served.url);
    let (asked, refused) = (Cell::new(0_u64), Cell::new(0_u64));
    let other = async {
        loop {
            let answer = send(Method::GET, &url, &[("authorization", "Basic b3RoZXI6")], "").await;
            asked.set(asked.get() + 1);
            refused.set(refused.get() + u64::from(answer.status == 429));
            tokio::time::sleep(WINDOW / (LIMIT * 6 / 10)).await;
        }
    };
    let summary = tokio::select! {
        () = other => unreachable!("it never rests"),
        summary = place.synced(&[TO_VITALLY]) => summary,
    };
    say("beside another client", place.sandbox(), start);
    assert_eq!(counts(&summary)[0], ACCOUNTS as u64 / 2 - 2);
    let (asked, refused) = (asked.get(), refused.get());
    println!("beside us {refused} of {asked} calls of the other client were refused");
    assert!(asked > 50 && refused * 4 <= asked, "{refused} of {asked} calls of the other client");
    assert!(place.writes().values().all(|writes| writes.len() == 1));
}

/// Four calls write at once, and one of them gets a 429: none is made before the pause ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_429_pauses_every_call() {
    let vitally_limit = (1_000_000, Duration::from_secs(60));
    let options = Options { accounts: ACCOUNTS, vitally_limit, ..Options::default() };
    let place = Place::new(options, BOTH).await;
    // Neither the first nor the last account that is written.
    let id = place.vitally("company-0200")["id"].as_str().unwrap().to_owned();
    place.fault(Fault {
        path: Some(format!("/resources/accounts/{id}")),
        status: Some(429),
        retry_after: Some("2".to_owned()),
        ..Fault::default()
    });
    assert_eq!(counts(&place.synced(&[TO_VITALLY]).await)[0], ACCOUNTS as u64 - 2);
    let writes = place.sandbox().vitally().writes();
    let longest = writes.windows(2).map(|pair| (pair[1].at - pair[0].at).num_milliseconds()).enumerate();
    let (before, longest) = longest.max_by_key(|(_, gap)| *gap).unwrap();
    assert!(longest >= 1_900, "nobody writes for two seconds: {longest} ms");
    assert!(before > 10 && before + 10 < writes.len(), "in the middle of the run: after {before}");
    assert!(place.writes().values().all(|writes| writes.len() == 1));
}
