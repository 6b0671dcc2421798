//! What the headers say, and that no window exceeds a limit: against a server that counts, by a clock that stands still.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[test]
fn headers_are_read_in_the_documented_form_and_leniently() {
    let limit = |units, seconds| Some(Limit { units, window: Duration::from_secs(seconds) });
    for (text, expected) in [
        ("1000, 1000;window=60", limit(1000.0, 60)),
        ("1000", limit(1000.0, 60)),
        (" 50;window=2", limit(50.0, 2)),
        ("0", None),
        ("many", None),
        ("99999999999", None),
    ] {
        assert_eq!(read_limit(text), expected, "{text}");
    }
    let told = Told::read(&headers(&[("ratelimit-remaining", "7"), ("ratelimit-reset", "12, x")]));
    assert_eq!((told.remaining, told.reset), (Some(7.0), Some(Duration::from_secs(12))));
    assert_eq!(Told::read(&HeaderMap::new()), Told::default());
}

/// A server that counts what came within the last minute, each call at a cost.
#[derive(Default)]
struct Server {
    used: VecDeque<Instant>,
    most: usize,
    /// In the last three of five minutes.
    calls: usize,
}

impl Server {
    fn call(&mut self, cost: usize, now: Instant, is_late: bool) -> Told {
        self.used.extend(std::iter::repeat_n(now, cost));
        while self.used.front().is_some_and(|at| now - *at >= Duration::from_secs(60)) {
            self.used.pop_front();
        }
        self.most = self.most.max(self.used.len());
        self.calls += usize::from(is_late);
        let remaining = u32::try_from(1000_usize.saturating_sub(self.used.len())).unwrap();
        Told { remaining: Some(remaining.into()), ..Told::default() }
    }
}

/// The most units used in a window by callers that never rest, and the units in a usual one.
async fn use_of(cost: usize, callers: usize, latency: u64, tells: bool) -> (usize, usize) {
    let budget = Arc::new(Budget::new(1000, Duration::from_secs(60)));
    let (server, start) = (Arc::new(Mutex::new(Server::default())), Instant::now());
    let (way, mut tasks) = (Duration::from_millis(latency / 2), JoinSet::new());
    for _ in 0..callers {
        let (budget, server) = (Arc::clone(&budget), Arc::clone(&server));
        tasks.spawn(async move {
            while start.elapsed() < Duration::from_secs(300) {
                budget.turn(LONGEST_PAUSE).await.unwrap();
                tokio::time::sleep(way).await;
                let is_late = start.elapsed() > Duration::from_secs(120);
                let told = server.lock().unwrap().call(cost, Instant::now(), is_late);
                tokio::time::sleep(way).await;
                if tells {
                    budget.state().hear(&told, Instant::now());
                }
            }
        });
    }
    tasks.join_all().await;
    let server = server.lock().unwrap();
    (server.most, server.calls * cost / 3)
}

#[tokio::test(start_paused = true)]
async fn no_window_exceeds_the_limit_whatever_a_call_costs() {
    for cost in [1, 3, 5, 10, 20] {
        for (callers, latency) in [(1, 4), (8, 100), (8, 1_000), (8, 5_000)] {
            let (most, _) = use_of(cost, callers, latency, true).await;
            assert!(most <= 1000, "{most} units: {callers} callers, {cost} a call, {latency} ms");
        }
        let (_, usual) = use_of(cost, 8, 100, true).await;
        assert!(usual >= 550, "only {usual} units at {cost} a call");
    }
    // Where the API says nothing, our own calls are what is known.
    let (most, usual) = use_of(1, 8, 100, false).await;
    assert!(most <= 900 && usual >= 550, "{most} {usual}");
}

#[tokio::test(start_paused = true)]
async fn a_small_limit_is_kept_by_count() {
    let (budget, start) = (Budget::new(3, Duration::from_secs(60)), Instant::now());
    for _ in 0..4 {
        budget.turn(LONGEST_PAUSE).await.unwrap();
    }
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_everybodys_and_an_unknown_limit_holds_nobody() {
    let budget = Budget::unknown();
    let start = Instant::now();
    for _ in 0..100 {
        budget.turn(LONGEST_PAUSE).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    budget.pause(Duration::from_secs(7));
    let most_wait = Duration::from_secs(6);
    assert_eq!(budget.turn(most_wait).await, Err(Duration::from_secs(7)), "not waited for, but told");
    assert_eq!(start.elapsed(), Duration::ZERO);
    budget.turn(LONGEST_PAUSE).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 7);
}
