//! A million events wait for a destination that is down. Measures memory, file sizes, and the time to accept them.
//!
//! `cargo bench --bench backlog -- [--events N]`. The relay is a real process, and tries to deliver
//! all the time. Its memory is read from `/proc`.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "its figures are its output")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const BATCH: usize = 100;
const CONNECTIONS: usize = 4;
/// Makes an event about as long as one of Segment's analytics.js.
const FILLER: usize = 500;

fn main() {
    let mut given = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let events = match (given.next().as_deref(), given.next()) {
        (Some("--events"), Some(events)) => events.parse().unwrap(),
        _ => 1_000_000,
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut relay, port) = start(folder.path());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..CONNECTIONS {
            scope.spawn(move || send(port, sender, events / CONNECTIONS / BATCH));
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    // The retries with a full backlog need memory, too.
    std::thread::sleep(Duration::from_secs(10));
    println!("{events} events wait, accepted in {seconds:.0} s");
    println!("resident memory {} MB, at most {} MB", memory(&relay, "VmRSS:"), memory(&relay, "VmHWM:"));
    let size = |name: &str| fs::metadata(folder.path().join(name)).map_or(0, |file| file.len()) >> 20;
    println!("file {} MB, log {} MB", size("relay.db"), size("relay.db-wal"));
    relay.kill().unwrap();
    relay.wait().unwrap();

    let start = Instant::now();
    let (mut relay, _) = self::start(folder.path());
    println!(
        "restarted in {:.1} s, resident memory {} MB",
        start.elapsed().as_secs_f64(),
        memory(&relay, "VmRSS:")
    );
    relay.kill().unwrap();
    relay.wait().unwrap();
}

/// Starts a relay whose destination cannot be reached.
fn start(folder: &Path) -> (Child, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let toml = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[sources]]\nname = \"web\"\nkind = \"segment\"\nwrite_key = \"web-key\"\n\
         [[destinations]]\nname = \"accoil\"\napi_key = \"key\"\nbase_url = \"http://127.0.0.1:9\"\n"
    );
    fs::write(folder.join("accoil-relay.toml"), toml).unwrap();
    let relay = Command::new(env!("CARGO_BIN_EXE_accoil-relay"))
        .arg("serve")
        .current_dir(folder)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    (relay, port)
}

fn send(port: u16, sender: usize, batches: usize) {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_nodelay(true).unwrap();
    let filler = "x".repeat(FILLER);
    for batch in 0..batches {
        let events: Vec<String> = (0..BATCH)
            .map(|index| {
                let number = (batch * CONNECTIONS + sender) * BATCH + index;
                format!(
                    r#"{{"type":"track","userId":"user-{}","event":"Report Created","messageId":"m-{number}",
                    "timestamp":"2026-01-02T03:04:05Z","properties":{{"filler":"{filler}"}}}}"#,
                    number % 50_000
                )
            })
            .collect();
        let body = format!(r#"{{"writeKey":"web-key","batch":[{}]}}"#, events.join(","));
        let head =
            format!("POST /v1/batch HTTP/1.1\r\nHost: relay\r\nContent-Length: {}\r\n\r\n", body.len());
        loop {
            connection.write_all(head.as_bytes()).unwrap();
            connection.write_all(body.as_bytes()).unwrap();
            let mut answer = [0; 4096];
            let read = connection.read(&mut answer).unwrap();
            if answer[..read].starts_with(b"HTTP/1.1 200") {
                break;
            }
            assert!(
                answer[..read].starts_with(b"HTTP/1.1 503"),
                "{}",
                String::from_utf8_lossy(&answer[..read])
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A line of `/proc/PID/status`, in megabytes.
fn memory(relay: &Child, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}
