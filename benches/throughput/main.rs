//! Measures delivered events per second, CPU time of the relay per event and the time to each answer, with a real relay
//! process and a real disk.
//!
//! `cargo bench --bench throughput -- [--events N] [--rounds 3] [--batch 100] [--connections 16] [--history 1] [--outbox nats-3]
//! [--relay PROGRAM]`. Without `--history` each round measures a relay with a history and one without. Each `--relay` adds the
//! program of another build, which is measured in the same rounds. Each `--outbox` is `sqlite`, `nats-1` or `nats-3` (servers, which
//! sync each write); the servers' CPU time is shown beside the relay's. The first run of a round is slower than the others, so every
//! second round has the reverse order. The medians of all rounds come last. The load, the destination and the relay share the
//! machine, so compare ratios of one run only. The relay uses both presets, keeps each user's calls in order, and syncs before each
//! answer.
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
mod medians;
mod servers;

use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{SQLITE, ready, serve, start};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use medians::{Figures, Medians, Run};
use servers::Servers;

const EVENT: &str = include_str!("../track.json");

struct Args {
    events: usize,
    batch: usize,
    connections: usize,
    rounds: usize,
    /// 0: without history, 1: with history, 2: both in turn.
    history: usize,
    outboxes: Vec<Kind>,
    /// The program of this build comes first.
    relays: Vec<PathBuf>,
}

fn main() {
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let mut args = Args {
        events: 200_000,
        batch: 0,
        connections: 16,
        rounds: 3,
        history: 2,
        outboxes: Vec::new(),
        relays: vec![common::RELAY.into()],
    };
    while let (Some(name), Some(value)) = (given.next(), given.next()) {
        if name == "--relay" {
            args.relays.push(value.into());
            continue;
        }
        if name == "--outbox" {
            args.outboxes.push(Kind::named(&value));
            continue;
        }
        let value = value.parse().unwrap();
        match name.as_str() {
            "--events" => args.events = value,
            "--batch" => args.batch = value,
            "--connections" => args.connections = value,
            "--rounds" => args.rounds = value,
            "--history" => args.history = value,
            _ => panic!("unknown option {name}"),
        }
    }
    if args.outboxes.is_empty() {
        args.outboxes.push(Kind::Sqlite);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let batches = if args.batch == 0 { vec![100, 1] } else { vec![args.batch] };
    let histories = match args.history {
        0 => vec![false],
        1 => vec![true],
        _ => vec![true, false],
    };
    let mut medians = Medians::default();
    println!("{}", medians::HEADING);
    for number in 0..args.rounds {
        for batch in &batches {
            let mut runs = Vec::new();
            for has_history in &histories {
                for outbox in &args.outboxes {
                    let run =
                        |build| Run { build, outbox: *outbox, batch: *batch, has_history: *has_history };
                    runs.extend((0..args.relays.len()).map(run));
                }
            }
            if number % 2 == 1 {
                runs.reverse();
            }
            for run in runs {
                let figures = runtime.block_on(measure(&args, run));
                println!("{run}{figures}");
                medians.add(run, figures);
            }
        }
    }
    println!("{medians}");
}

/// Where the relay keeps what it has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Nats { servers: usize },
}

impl Kind {
    fn named(name: &str) -> Self {
        match name {
            "sqlite" => Self::Sqlite,
            "nats-1" => Self::Nats { servers: 1 },
            "nats-3" => Self::Nats { servers: 3 },
            _ => panic!("unknown outbox {name}"),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Nats { servers: 1 } => "nats-1",
            Self::Nats { .. } => "nats-3",
        }
    }
}

async fn measure(args: &Args, run: Run) -> Figures {
    let Run { build, outbox, batch, has_history } = run;
    let servers = match outbox {
        Kind::Sqlite => None,
        Kind::Nats { servers } => Some(Servers::start(servers).await),
    };
    let url = servers.as_ref().map_or(SQLITE, Servers::url);
    let delivered = Arc::new(AtomicUsize::new(0));
    let sink = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut relay, port) =
        start(&args.relays[build], folder.path(), sink.local_addr().unwrap().port(), has_history, url);
    let serving = tokio::spawn(serve(sink, Arc::clone(&delivered)));
    ready(port).await;
    if servers.is_some() {
        // It takes its lanes.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }

    let (cpu, start) = (cpu(&relay), Instant::now());
    let servers_cpu = servers.as_ref().map_or(0.0, Servers::cpu);
    let mut times = load(args, batch, port).await;
    while delivered.load(Ordering::Relaxed) < args.events {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(start.elapsed() < Duration::from_secs(300), "not all events arrived");
    }
    let seconds = start.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let cpu = self::cpu(&relay) - cpu;
    let servers_cpu = servers.as_ref().map_or(0.0, Servers::cpu) - servers_cpu;
    let figures = Figures {
        rate: args.events as f64 / seconds,
        cpu: cpu * 1e6 / args.events as f64,
        servers_cpu: servers_cpu * 1e6 / args.events as f64,
        p50: at(0.5),
        p99: at(0.99),
        rss: rss(&relay),
    };
    relay.kill().unwrap();
    relay.wait().unwrap();
    serving.abort();
    figures
}

/// Posts all events, each with its own message id. Returns the time to each answer.
async fn load(args: &Args, batch: usize, port: u16) -> Vec<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..args.connections {
        let (next, events) = (Arc::clone(&next), args.events);
        senders.spawn(async move {
            let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut times = Vec::new();
            loop {
                let first = next.fetch_add(batch, Ordering::Relaxed);
                if first >= events {
                    return times;
                }
                let body = body(first, batch.min(events - first));
                let request = Request::post(if batch == 1 { "/v1/track" } else { "/v1/batch" })
                    .header("host", "relay")
                    .header("authorization", "Basic a2V5Og==")
                    .header("content-type", "application/json")
                    .body(Full::new(Bytes::from(body)))
                    .unwrap();
                let start = Instant::now();
                let response = sender.send_request(request).await.unwrap();
                assert_eq!(response.status(), 200);
                response.into_body().collect().await.unwrap();
                times.push(start.elapsed());
            }
        });
    }
    senders.join_all().await.concat()
}

fn body(first: usize, count: usize) -> String {
    let event = |index: usize| {
        EVENT.replacen("user-0123456789", &format!("user-{:010}", index % 5_000), 1).replacen(
            "ajs-next-1768473060123",
            &format!("ajs-next-{index:013}"),
            1,
        )
    };
    if count == 1 {
        return event(first);
    }
    let events: Vec<String> = (first..first + count).map(event).collect();
    format!("{{\"batch\":[{}],\"sentAt\":\"2026-01-15T10:31:00.110Z\"}}", events.join(","))
}

/// Seconds of CPU time that the process has used.
fn cpu(relay: &Child) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", relay.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Resident memory in megabytes.
fn rss(relay: &Child) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}
