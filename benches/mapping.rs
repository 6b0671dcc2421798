//! Measures decode, match, map, validate and encode together, and a bare `serde_json` parse of the same event.
//!
//! `cargo bench --bench mapping`. The rounds are interleaved and the figures are medians. Compare ratios of one run only.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "its figures are its output")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use accoil_relay::accoil::{self, Destination};
use accoil_relay::config::{Config, Environment};
use accoil_relay::decode::{self, Anonymous, Context, Form, Limits, SourceSettings};
use accoil_relay::event::SourceKind;
use accoil_relay::json::Value;
use accoil_relay::run;
use chrono::Utc;

const EVENT: &str = include_str!("track.json");
const ROUNDS: usize = 21;
const EVENTS: u32 = 20_000;

fn main() {
    let config = Config::load(None, &Environment::new("", [("ACCOIL_API_KEY", "bench")])).unwrap();
    let destinations = run::destinations(&config).unwrap();
    let source = SourceSettings::new(Anonymous::Reject);
    let limits = Limits { event_bytes: 32_768, events: 2_500, depth: 64 };
    let context = Context { received_at: Utc::now(), source: &source, limits, is_text_repaired: false };

    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let bare = time(|| {
            black_box(serde_json::from_str::<serde_json::Value>(black_box(EVENT)).unwrap());
        });
        let ours = time(|| {
            black_box(Value::parse(black_box(EVENT)).unwrap());
        });
        let whole = time(|| {
            black_box(plan(&destinations, black_box(EVENT), context));
        });
        rounds.push((bare, ours, whole));
    }
    println!("event of {} bytes, {ROUNDS} rounds of {EVENTS}, medians:", EVENT.len());
    println!("  serde_json to Value             {:>6.0} ns", median(rounds.iter().map(|round| round.0)));
    println!("  our parse to a borrowed value   {:>6.0} ns", median(rounds.iter().map(|round| round.1)));
    println!("  decode to encode, both presets  {:>6.0} ns", median(rounds.iter().map(|round| round.2)));
    println!(
        "  ratio of the whole to the first {:>6.2}",
        median(rounds.iter().map(|round| round.2 / round.0))
    );
}

fn plan(destinations: &[Arc<Destination>], text: &str, context: Context<'_>) -> usize {
    let items = decode::decode(Form::SegmentWebhook, text, context).unwrap();
    items.map(|item| accoil::plan(destinations, SourceKind::Segment, &item.outcome).requests.len()).sum()
}

/// Nanoseconds per call.
fn time(mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..EVENTS {
        call();
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(EVENTS)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
