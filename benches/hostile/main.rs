//! Measures how much hostile clients slow down a normal sender: `cargo bench --bench hostile -- [--rounds 5] [--rate 400]`.
//!
//! Each round measures the time to the answer of single posts at a steady rate: first alone, then while six clients post, twenty
//! times a second together and without a key, 20 KB of gzip that becomes 20 MB, and a hundred clients send requests and never read
//! the answers. Exits with 1 unless the median of the rounds' p99 during the attack is below three times the median of the quiet
//! ones. The load and the relay share the machine.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "its figures are its output")]
#![expect(clippy::disallowed_methods, reason = "the load and the destination are not part of the relay")]

#[path = "../common/mod.rs"]
mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

const EVENT: &str = include_str!("../track.json");
/// The connections of the normal sender.
const CONNECTIONS: u32 = 8;
/// The normal sender's posts in each half of a round.
const POSTS: u32 = 4_000;
const BOMBERS: usize = 6;
/// The time between two posts of one connection.
const BOMB_INTERVAL: Duration = Duration::from_millis(300);
const NEVER_READING: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str, default: u32| {
        let place = arguments.iter().position(|argument| argument == name);
        place.and_then(|place| arguments.get(place + 1)).map_or(default, |text| text.parse().unwrap())
    };
    let (rounds, rate) = (value("--rounds", 5), value("--rate", 400));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let (mut relay, port) = common::start(
        Path::new(common::RELAY),
        folder.path(),
        sink.local_addr().unwrap().port(),
        true,
        common::SQLITE,
    );
    runtime.spawn(common::serve(sink, Arc::new(AtomicUsize::new(0))));
    runtime.block_on(common::ready(port));
    runtime.block_on(posts(port, rate));
    println!("{:>10} {:>10} {:>10} {:>10}   in ms, quiet and under attack", "p50", "p99", "p50", "p99");
    let (mut quiet, mut attacked) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = runtime.block_on(posts(port, rate));
        let attack = Attack::start(port);
        let beside = runtime.block_on(posts(port, rate));
        attack.end();
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        println!(
            "{:>10.2} {:>10.2} {:>10.2} {:>10.2}",
            ms(before.0),
            ms(before.1),
            ms(beside.0),
            ms(beside.1)
        );
        quiet.push(before.1);
        attacked.push(beside.1);
        // Gives the work that the attack left behind time to end.
        sleep(Duration::from_secs(1));
    }
    relay.kill().unwrap();
    relay.wait().unwrap();
    let ratio = median(attacked).as_secs_f64() / median(quiet).as_secs_f64();
    println!("p99 under attack: {ratio:.2} times the quiet one (medians of {rounds} rounds)");
    if ratio < 3.0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Posts single events at a steady rate, each of which must be accepted. Returns p50 and p99 of the times from when a post
/// was due to its answer.
async fn posts(port: u16, rate: u32) -> (Duration, Duration) {
    let mut senders = JoinSet::new();
    for connection in 0..CONNECTIONS {
        senders.spawn(async move {
            let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (mut sender, connected) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connected);
            let interval = Duration::from_secs(1) * CONNECTIONS / rate;
            let first = Instant::now() + interval * connection / CONNECTIONS;
            let mut took = Vec::new();
            for number in 0..POSTS / CONNECTIONS {
                let due = first + interval * number;
                tokio::time::sleep_until(due).await;
                let id = format!("{}", uuid::Uuid::new_v4());
                let body = EVENT.replacen("ajs-next-1768473060123", &id, 1);
                let request = Request::post("/v1/track")
                    .header("host", "relay")
                    .header("authorization", "Basic a2V5Og==")
                    .body(Full::new(Bytes::from(body)))
                    .unwrap();
                let answer = sender.send_request(request).await.unwrap();
                assert_eq!(answer.status(), 200);
                answer.into_body().collect().await.unwrap();
                took.push(due.elapsed());
            }
            took
        });
    }
    let mut took = senders.join_all().await.concat();
    took.sort_unstable();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}

/// The hostile clients.
struct Attack {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Attack {
    fn start(port: u16) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let bomb = bomb();
        let mut threads = Vec::new();
        for _ in 0..BOMBERS {
            let (is_over, bomb) = (Arc::clone(&is_over), bomb.clone());
            threads.push(std::thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    let _ = stream.write_all(&bomb);
                    let _ = stream.read_to_end(&mut Vec::new());
                    sleep(BOMB_INTERVAL);
                }
            }));
        }
        let over = Arc::clone(&is_over);
        threads.push(std::thread::spawn(move || never_read(port, &over)));
        Self { is_over, threads }
    }

    fn end(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

/// Returns a request without a key whose body becomes 20 MB.
fn bomb() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&vec![b' '; 20 << 20]).unwrap();
    let body = encoder.finish().unwrap();
    let head = format!(
        "POST /batch HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// Sends requests on many connections, as much as the system takes, reads nothing, and connects again when it is
/// disconnected.
fn never_read(port: u16, is_over: &AtomicBool) {
    let requests = "GET /v1/projects/key/settings HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2_000);
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let mut streams: Vec<TcpStream> = (0..NEVER_READING).map(|_| connect()).collect();
    while !is_over.load(Ordering::Relaxed) {
        for stream in &mut streams {
            match stream.write(requests.as_bytes()) {
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => *stream = connect(),
                _ => {}
            }
        }
        sleep(Duration::from_millis(20));
    }
}
