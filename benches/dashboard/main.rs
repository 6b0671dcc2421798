//! Measures what a live page costs the relay for each event, and how long its pages take with a full history.
//!
//! `cargo bench --bench dashboard -- [--rounds 5] [--seconds 10] [--rate 10000] [--views 1] [--events 2500000] [--asks 200]`. Part one sends
//! batches of 100 at a fixed rate, in turn with and without views of the live list, and prints the relay's CPU time for each event. Part
//! two fills a history with `--events`, starts a relay on it, and asks for pages while 1,000 events a second arrive. The load, the
//! destination and the relay share the machine.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "its figures are its output")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are rounded anyway"
)]
#![expect(clippy::disallowed_methods, reason = "the load and the destination are not part of the relay")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/past.rs"]
mod past;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{RELAY, SQLITE, ready, serve, start};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

const EVENT: &str = include_str!("../track.json");
const BATCH: u64 = 100;
const SENDERS: u64 = 4;
/// Bytes of each payload that cannot be packed, so that the file gets as large as with real events.
const NOISE: usize = 400;
/// Events per second while pages are asked for.
const PAGE_LOAD: u64 = 1_000;

struct Args {
    rounds: u64,
    seconds: u64,
    rate: u64,
    views: u64,
    events: u64,
    asks: u64,
}

fn main() {
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let mut args = Args { rounds: 5, seconds: 10, rate: 10_000, views: 1, events: 2_500_000, asks: 200 };
    while let (Some(name), Some(value)) = (given.next(), given.next()) {
        let value = value.parse().unwrap();
        match name.as_str() {
            "--rounds" => args.rounds = value,
            "--seconds" => args.seconds = value,
            "--rate" => args.rate = value,
            "--views" => args.views = value,
            "--events" => args.events = value,
            "--asks" => args.asks = value,
            _ => panic!("unknown option {name}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    for number in 0..args.rounds {
        // Each goes first in every other round.
        let order = if number % 2 == 0 { [false, true] } else { [true, false] };
        for is_open in order {
            let (spent, p99) = runtime.block_on(live(&args, is_open));
            let views = if is_open { args.views } else { 0 };
            println!("{views} live views: {spent:.2} us of CPU an event, answers p99 {p99:.1} ms");
            if is_open { open.push(spent) } else { closed.push(spent) }
        }
    }
    if args.rounds > 0 {
        let (closed, open) = (median(closed), median(open));
        println!(
            "medians: closed {closed:.2} us, open {open:.2} us: {:+.1} %",
            (open / closed - 1.0) * 100.0
        );
    }
    if args.events > 0 {
        runtime.block_on(pages(&args));
    }
}

/// A relay with its destination, both killed when this is dropped.
struct World {
    relay: Child,
    port: u16,
    admin: u16,
    serving: JoinHandle<()>,
    delivered: Arc<AtomicUsize>,
}

impl World {
    async fn start(folder: &Path) -> Self {
        let delivered = Arc::new(AtomicUsize::new(0));
        let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = sink.local_addr().unwrap().port();
        let (relay, port) = start(Path::new(RELAY), folder, port, true, SQLITE);
        let serving = tokio::spawn(serve(sink, Arc::clone(&delivered)));
        ready(port).await;
        let admin = loop {
            let lock = std::fs::read_to_string(folder.join("relay.db.lock")).unwrap_or_default();
            if let Ok(address) = lock.lines().next().unwrap_or_default().trim().parse::<SocketAddr>() {
                break address.port();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        Self { relay, port, admin, serving, delivered }
    }

    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.relay.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.relay.kill().unwrap();
        self.relay.wait().unwrap();
        self.serving.abort();
    }
}

async fn connect(port: u16) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(port: u16, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", format!("127.0.0.1:{port}")).body(Full::default()).unwrap()
}

/// Returns the CPU time for each event in microseconds, and the 99th percentile of the answers in milliseconds.
async fn live(args: &Args, is_open: bool) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::start(folder.path()).await;
    let mut views = JoinSet::new();
    for _ in 0..if is_open { args.views } else { 0 } {
        let (mut sender, request) = (connect(world.admin).await, get(world.admin, "/api/live"));
        let mut stream = sender.send_request(request).await.unwrap();
        assert_eq!(stream.status(), 200);
        views.spawn(async move {
            while stream.frame().await.is_some() {}
            drop(sender);
        });
    }
    let next = Arc::new(AtomicU64::new(0));
    // The first second warms up.
    let mut times = load(world.port, &next, args.rate, args.rate).await;
    let (before, begun) = (world.cpu(), next.load(Ordering::Relaxed));
    times.clear();
    times.extend(load(world.port, &next, args.rate, args.rate * args.seconds).await);
    let sent = next.load(Ordering::Relaxed);
    while (world.delivered.load(Ordering::Relaxed) as u64) < sent {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // What the history packs and the views see comes a moment later.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let spent = (world.cpu() - before) * 1e6 / (sent - begun) as f64;
    (spent, percentile(&mut times, 0.99))
}

/// Posts this many events at a fixed rate. Returns the time to each answer.
async fn load(port: u16, next: &Arc<AtomicU64>, rate: u64, events: u64) -> Vec<Duration> {
    let mut senders = JoinSet::new();
    let pause = Duration::from_secs_f64((BATCH * SENDERS) as f64 / rate as f64);
    for _ in 0..SENDERS {
        let next = Arc::clone(next);
        senders.spawn(async move {
            let mut sender = connect(port).await;
            let mut tick = tokio::time::interval(pause);
            let mut times = Vec::new();
            for _ in 0..events / BATCH / SENDERS {
                tick.tick().await;
                let body = body(next.fetch_add(BATCH, Ordering::Relaxed));
                let request = Request::post("/v1/batch")
                    .header("host", "relay")
                    .header("authorization", "Basic a2V5Og==");
                sender.ready().await.unwrap();
                let began = Instant::now();
                let response = sender.send_request(request.body(Full::new(body)).unwrap()).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
                times.push(began.elapsed());
            }
            times
        });
    }
    senders.join_all().await.concat()
}

fn body(first: u64) -> Bytes {
    let event = |index: u64| {
        EVENT.replacen("user-0123456789", &format!("user-{:010}", index % 5_000), 1).replacen(
            "ajs-next-1768473060123",
            &format!("ajs-next-{index:013}"),
            1,
        )
    };
    let events: Vec<String> = (first..first + BATCH).map(event).collect();
    format!("{{\"batch\":[{}],\"sentAt\":\"2026-01-15T10:31:00.110Z\"}}", events.join(",")).into()
}

/// Asks for pages of a relay with a full history, while events arrive.
async fn pages(args: &Args) {
    let folder = tempfile::tempdir().unwrap();
    let (path, events) = (folder.path().to_owned(), args.events);
    past::record(&path, events, u64::MAX, NOISE).await;
    let bytes = std::fs::metadata(past::path(&path)).unwrap().len();
    println!("a history of {events} events in {} MiB", bytes >> 20);
    let world = World::start(folder.path()).await;
    let (port, next) = (world.port, Arc::new(AtomicU64::new(0)));
    let loading =
        tokio::spawn(async move { while !load(port, &next, PAGE_LOAD, PAGE_LOAD).await.is_empty() {} });
    tokio::time::sleep(Duration::from_secs(5)).await;
    let middle = events - events / 10;
    let asked = [
        ("Overview", "/".to_owned()),
        ("Events", "/events".to_owned()),
        ("Events, a filter that few fit", "/events?status=rejected".to_owned()),
        ("Events, one user", format!("/events?user={}", past::user(middle))),
        ("Event", format!("/events/{}", past::id(middle))),
        ("Failures", "/failures".to_owned()),
    ];
    let mut sender = connect(world.admin).await;
    for (what, path) in asked {
        let (mut times, mut size) = (Vec::new(), 0);
        for _ in 0..args.asks {
            sender.ready().await.unwrap();
            let began = Instant::now();
            let answer = sender.send_request(get(world.admin, &path)).await.unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            size = answer.into_body().collect().await.unwrap().to_bytes().len();
            times.push(began.elapsed());
        }
        let (half, most) = (percentile(&mut times, 0.5), percentile(&mut times, 0.95));
        println!("{what}: p50 {half:.1} ms, p95 {most:.1} ms, {size} bytes");
    }
    loading.abort();
}

fn percentile(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}
