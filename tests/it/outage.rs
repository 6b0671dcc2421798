//! Accoil is down for some seconds at 1,000 events a second: all events arrive, once and in order, and memory stays flat.
//! The long form is `cargo bench --bench outage`.

#[path = "../../benches/outage/steady_load.rs"]
mod steady_load;

use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_an_outage_arrive_after_it() {
    let figures = steady_load::run(Duration::from_secs(4), 1_000, |_| {}).await;
    let resident =
        |sample: Option<&steady_load::Sample>| sample.map_or(0, |sample| sample.resident_bytes >> 20);
    let (first, last) = (resident(figures.samples.first()), resident(figures.samples.last()));
    figures.samples.iter().for_each(|sample| println!("{sample}"));
    println!("{figures}");
    assert_eq!((figures.accepted, figures.delivered), (6_000, 6_000));
    assert_eq!((figures.duplicates, figures.out_of_order, figures.dead), (0, 0, 0));
    assert!(figures.probes < 64 + 5, "{} calls while it was down", figures.probes);
    // The margin is for other tests that run in the same process.
    assert!(last < first + 150, "{first} MB, then {last} MB");
}
