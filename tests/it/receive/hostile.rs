//! Hostile clients and odd requests: what they cost, and that other senders are not affected.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use accoil_relay::sandbox::Options;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::encoding::gzip;
use super::{AMPLITUDE, EVENT, SEGMENT, TRACK, raw};
use crate::http::send;
use crate::relay::{Process, TEST_TIMEOUT, TestRelay, USUAL};
use crate::sandbox::RunningSandbox;

const OPEN: &str = "[[sources]]\nname = 'open'\nkind = 'segment'\n\
                    [[destinations]]\nname = 'accoil'\napi_key = 'k'\nbase_url = '${SANDBOX}'\n";

async fn connect(relay: &TestRelay, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(relay.relay.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// A large Content-Length and one byte, without a key: the relay reserves no memory for bytes that are only announced.
#[tokio::test]
async fn announced_bytes_take_no_room() {
    let relay = TestRelay::usual().await;
    let mut held = Vec::new();
    for path in ["/batch", "/segment"].repeat(30) {
        let length = if path == "/batch" { 20 << 20 } else { 4 << 20 };
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{{");
        held.push(connect(&relay, head.as_bytes()).await);
    }
    for _ in 0..20 {
        assert_eq!(relay.post("/v1/track", &[SEGMENT], TRACK).await.status, 200);
        assert_eq!(relay.post("/amplitude", &[AMPLITUDE], EVENT).await.status, 200);
    }
    drop(held);
    relay.stop().await;
}

/// Bodies without a right key have a small part of the memory. When it is full, senders with a key still have the rest.
#[tokio::test]
async fn bodies_without_a_key_have_a_budget_of_their_own() {
    let limits = "[limits]\ntracking_batch_bytes = 100000\nwebhook_bytes = 100000\namplitude_bytes = 100000\n\
                  amplitude_batch_bytes = 100000\nbuffered_bytes = 1600000\n";
    let relay = TestRelay::start(&format!("{limits}{USUAL}")).await;
    let head = "POST /segment HTTP/1.1\r\nHost: h\r\nContent-Length: 99999\r\n\r\n";
    let begun = format!("{head}{}", " ".repeat(99_000));
    let mut held = Vec::new();
    let keyed = async || relay.post("/segment", &[SEGMENT], format!("{TRACK}{}", " ".repeat(50_000))).await;
    for _ in 0..12 {
        held.push(connect(&relay, begun.as_bytes()).await);
    }
    // Enough of them have arrived when one of them is refused.
    let keyless = format!(r#"{{"writeKey":"web-key",{}{}"#, &TRACK[1..], " ".repeat(90_000));
    let refused = loop {
        let answer = relay.post("/segment", &[], keyless.clone()).await;
        if answer.status == 503 {
            break answer;
        }
    };
    assert_eq!(refused.json()["code"], "door.share", "all of them come from one address");
    assert_eq!(keyed().await.status, 200);
    drop(held);
    while relay.post("/segment", &[], keyless.clone()).await.status != 200 {}
    relay.stop().await;
}

/// A key inside a large compressed body is found.
#[tokio::test]
async fn a_large_compressed_body_is_read_with_its_key_inside() {
    let relay = TestRelay::usual().await;
    let events = vec![EVENT; 1000].join(",");
    let body =
        format!(r#"{{"padding":"{}","events":[{events}],"api_key":"product-key"}}"#, "x".repeat(2 << 20));
    let answer = relay.post("/batch", &[("content-encoding", "gzip")], gzip(body.as_bytes())).await;
    assert_eq!((answer.status.as_u16(), answer.json()["accepted"].as_u64()), (200, Some(1000)), "{answer:?}");
    relay.stop().await;
}

/// Clients that send nothing or read nothing hold all connections: health checks are answered, other senders wait, and the relay
/// stops in time.
#[tokio::test]
async fn idle_clients_and_clients_that_never_read_leave_room_for_health_checks() {
    let relay =
        TestRelay::start(&format!("[server]\nmax_connections = 4\nshutdown_timeout = \"9s\"\n{USUAL}")).await;
    let mut idle = vec![connect(&relay, b"").await, connect(&relay, b"POST").await];
    let mut deaf = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(&relay, b"").await;
        let many = "GET /v1/projects/web-key/settings HTTP/1.1\r\nHost: h\r\n\r\n".repeat(1000);
        // Ends when the relay reads no more.
        while let Ok(Ok(())) =
            tokio::time::timeout(Duration::from_millis(500), stream.write_all(many.as_bytes())).await
        {
        }
        deaf.push(stream);
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(send(Method::GET, &relay.url(path), &[], "").await.status, 200, "{path}");
    }
    let waits = relay.post("/v1/track", &[SEGMENT], TRACK);
    let leaves = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        idle.pop();
    };
    let (answer, ()) = tokio::join!(waits, leaves);
    assert_eq!(answer.status, 200, "it waited for a place: {answer:?}");
    relay.stop().await;
    drop((idle, deaf));
}

#[tokio::test]
async fn a_head_beyond_32_kib_is_refused() {
    let relay = TestRelay::usual().await;
    let head = |bytes| {
        format!(
            "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX-Long: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    assert!(raw(&relay, head(20_000)).await.starts_with("HTTP/1.1 200 "));
    let mut stream = connect(&relay, head(40_000).as_bytes()).await;
    let mut answer = [0; 13];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 431 ");
    relay.stop().await;
}

/// Heads that never end take the memory of bodies. Without memory their connections are closed.
#[tokio::test]
async fn unfinished_heads_count_in_the_memory_for_bodies() {
    let limits = "[limits]\ntracking_batch_bytes = 100000\nwebhook_bytes = 100000\namplitude_bytes = 100000\n\
                  amplitude_batch_bytes = 100000\nbuffered_bytes = 1600000\n";
    let relay = TestRelay::start(&format!("{limits}{USUAL}")).await;
    let head = format!("POST /segment HTTP/1.1\r\nHost: h\r\nX-Long: {}", "x".repeat(30_000));
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(connect(&relay, head.as_bytes()).await);
    }
    let is_open = |stream: &TcpStream| matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    let deadline = Instant::now() + TEST_TIMEOUT;
    // All of them would hold three megabytes.
    while open.len() * 30_000 > 1_600_000 {
        open.retain(is_open);
        assert!(Instant::now() < deadline, "{} unfinished heads are held", open.len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!open.is_empty());
    drop(open);
    while relay.post("/v1/track", &[SEGMENT], TRACK).await.status != 200 {}
    relay.stop().await;
}

/// Requests that servers may interpret differently get 400, on both listeners.
#[tokio::test]
async fn requests_that_break_the_rules_of_http_are_400() {
    let relay = TestRelay::usual().await;
    for request in [
        "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\nHost: a\nConnection: close\n\n",
        "GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\nConnection: close\r\n\r\n",
        "POST /v1/track HTTP/1.1\r\nHost: a\r\nX-Api-Key: web-key\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
        "POST /v1/track HTTP/1.1\r\nHost: a\r\nX-Api-Key: web-key\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
    ] {
        for address in [relay.relay.address, relay.relay.admin_address] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 13];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 400 ", "{request:?}");
        }
    }
    relay.stop().await;
}

/// A page of another site, and a page whose host name was made to lead here, cannot post to a source without a key.
#[tokio::test]
async fn a_source_without_a_key_takes_nothing_of_other_sites() {
    let relay = TestRelay::start(OPEN).await;
    for (headers, status) in [
        (&[][..], 200),
        (&[("origin", "http://localhost:3000")], 200),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("host", "rebound.example")], 403),
    ] {
        for path in ["/v1/track", "/segment"] {
            let answer = relay.post(path, headers, TRACK).await;
            assert_eq!(answer.status, status, "{path} {headers:?}");
            assert!(status == 200 || answer.json()["code"] == "door.origin", "{answer:?}");
        }
    }
    relay.stop().await;
}

/// The settings depend on the request: they name the first proxy's host or the configured address, and no cache may keep them.
#[tokio::test]
async fn the_settings_name_the_address_by_which_they_were_asked_for() {
    let url = "[server]\npublic_url = \"https://relay.example.com/in\"\n";
    for (config, headers, expected) in [
        ("", &[("host", "a:1")][..], ("a:1/v1", "http")),
        ("", &[("x-forwarded-host", "a , b"), ("x-forwarded-proto", "HTTPS,http")], ("a/v1", "https")),
        ("", &[("host", "a"), ("x-forwarded-proto", "http, https")], ("a/v1", "http")),
        (url, &[("x-forwarded-host", "evil"), ("host", "a")], ("relay.example.com/in/v1", "https")),
    ] {
        let relay = TestRelay::start(&format!("{config}{USUAL}")).await;
        let answer = send(Method::GET, &relay.url("/v1/projects/web-key/settings"), headers, "").await;
        let segment = answer.json()["integrations"]["Segment.io"].clone();
        assert_eq!((&segment["apiHost"], &segment["protocol"]), (&expected.0.into(), &expected.1.into()));
        assert_eq!(answer.header("cache-control"), "private, no-store");
        let vary: Vec<_> =
            answer.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert!(vary.contains(&"host, x-forwarded-host, x-forwarded-proto"), "{vary:?}");
        relay.stop().await;
    }
}

#[tokio::test]
async fn an_odd_path_of_the_admin_api_is_answered_in_json() {
    let relay = TestRelay::usual().await;
    let url = format!("http://{}/api/sync/%ff", relay.relay.admin_address);
    let answer = send(Method::POST, &url, &[], "").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (404, &"not_found".into()));
    relay.stop().await;
}

/// No stored event contains the write key, whether it can be read or not.
#[tokio::test]
async fn the_write_key_is_not_kept() {
    let relay = TestRelay::start(&USUAL.replace("web-key", "a-long-web-key")).await;
    let nameless = r#"{"writeKey":"a-long-web-key","type":"track","userId":"u1"}"#;
    assert_eq!(relay.post("/segment", &[], nameless).await.status, 400);
    let broken = &nameless[..nameless.len() - 2];
    assert_eq!(relay.post("/segment", &[("x-api-key", "a-long-web-key")], broken).await.status, 400);
    let kept: Vec<_> =
        relay.rejects().await.into_iter().map(|reject| String::from_utf8(reject.original).unwrap()).collect();
    assert_eq!(
        kept,
        [r#"{"writeKey":"[write key]","type":"track","userId":"u1"#, r#"{"type":"track","userId":"u1"}"#]
    );
    relay.stop().await;
}

/// Six senders post bodies that become 20 MB, without a key, and a hundred clients never read. The test measures a normal sender:
/// `cargo test --test it healthy_sender -- --nocapture` prints how much slower it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_sender_goes_on_beside_hostile_ones() {
    let (directory, sandbox) =
        (tempfile::tempdir().unwrap(), RunningSandbox::start(Options::default()).await);
    let relay = Process::start(directory.path(), USUAL, &sandbox.url).await;
    let quiet = percentiles(&relay).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut hostile = Vec::new();
    let bomb = gzip(&vec![b' '; 20 << 20]);
    let head = format!(
        "POST /batch HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    );
    for _ in 0..6 {
        let (address, is_over) = (relay.address().to_owned(), Arc::clone(&is_over));
        let request = [head.as_bytes(), &bomb].concat();
        hostile.push(std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let mut stream = std::net::TcpStream::connect(&address).unwrap();
                let _ = stream.write_all(&request);
                let _ = stream.read_to_end(&mut Vec::new());
                std::thread::sleep(Duration::from_millis(50));
            }
        }));
    }
    let many = "GET /v1/projects/web-key/settings HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2000);
    let deaf: Vec<_> = (0..100)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(relay.address()).unwrap();
            stream.set_nonblocking(true).unwrap();
            // As much as the system accepts.
            let _ = stream.write(many.as_bytes());
            stream
        })
        .collect();
    let beside = percentiles(&relay).await;
    is_over.store(true, Ordering::Relaxed);
    for thread in hostile {
        thread.join().unwrap();
    }
    drop(deaf);
    println!(
        "p50 {:?} quiet, {:?} beside; p99 {:?} quiet, {:?} beside: {:.1} times",
        quiet.0,
        beside.0,
        quiet.1,
        beside.1,
        beside.1.as_secs_f64() / quiet.1.as_secs_f64()
    );
    relay.kill();
}

/// Returns the median and the 99th percentile of the times of a normal sender's posts, all of which are accepted.
async fn percentiles(relay: &Process) -> (Duration, Duration) {
    let mut took = Vec::new();
    for _ in 0..500 {
        let began = std::time::Instant::now();
        assert_eq!(relay.post("/v1/track", &[SEGMENT], TRACK).await.status, 200);
        took.push(began.elapsed());
    }
    took.sort();
    (took[took.len() / 2], took[took.len() * 99 / 100])
}
