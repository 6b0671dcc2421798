//! Accoil is down for some time under a steady load: `cargo bench --bench outage -- --seconds 120 --rate 1000`.
//!
//! Prints memory and progress every few seconds, then what arrived. Exits with 1 unless every event arrived once and in order.

#![expect(clippy::expect_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

mod steady_load;

use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str, default: usize| {
        let place = arguments.iter().position(|argument| argument == name);
        place
            .and_then(|place| arguments.get(place + 1))
            .map_or(default, |text| text.parse().expect("a whole number"))
    };
    let (seconds, rate) = (value("--seconds", 120), value("--rate", 1_000));
    println!("down for {seconds} s at {rate} events/s, then up; the load goes on for half as long");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outage = Duration::from_secs(seconds as u64);
    let mut printed = 0;
    let figures = runtime.block_on(steady_load::run(outage, rate, |sample| {
        if sample.at.as_secs() >= printed {
            printed = sample.at.as_secs() + (seconds as u64 / 20).max(1);
            println!("{sample}");
        }
    }));
    println!("{figures}");
    let sound = figures.delivered == figures.accepted && figures.duplicates == 0 && figures.out_of_order == 0;
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
