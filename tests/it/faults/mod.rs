//! The fault table: what can go wrong at a destination, and what becomes of the calls.
//! `cargo test --test it faults -- --nocapture` prints it; docs/delivery.md explains it.

mod delivery;
mod network;
mod stand_in;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use accoil_relay::deliver::State;
use accoil_relay::sandbox::Fault;
use http::Method;
use tokio::task::JoinSet;

use crate::http::send;
use crate::relay::{TEST_TIMEOUT, TestRelay};
use delivery::Delivery;
use stand_in::Act::{self, Answer, Close, Endless, HalfClose, Reset, Stall};
use stand_in::{OK, StandIn};

const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";

/// A row of the table: three calls of three users meet these acts in turn; after the last act every call succeeds.
struct Row {
    cause: &'static str,
    /// Connections that are reset before anything is read.
    resets: usize,
    acts: &'static [Act],
    /// Delivered, dead letters, attempts, and calls that arrived again after the destination may have acted on them.
    expected: (u64, u64, u64, usize),
    /// A part of the last error that the relay reports.
    error: &'static str,
}

const fn row(
    cause: &'static str,
    acts: &'static [Act],
    expected: (u64, u64, u64, usize),
    error: &'static str,
) -> Row {
    Row { cause, resets: 0, acts, expected, error }
}

const TABLE: &[Row] = &[
    row("nothing", &[], (3, 0, 3, 0), ""),
    row("no answer in time", &[Stall("")], (3, 0, 4, 1), "no answer in time"),
    row("headers that never end", &[Stall("HTTP/1.1 202 Acc")], (3, 0, 4, 1), "no answer in time"),
    row(
        "a body that never ends in time",
        &[Stall("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")],
        (3, 0, 4, 1),
        "the answer did not end in time",
    ),
    Row { resets: 2, ..row("reset before the call was read", &[], (3, 0, 5, 0), "reset") },
    row("reset after the call was read", &[Reset, Reset], (3, 0, 5, 2), "the connection was reset"),
    row("closed without an answer", &[Close("")], (3, 0, 4, 1), "the connection was closed"),
    row("half-closed without an answer", &[HalfClose("")], (3, 0, 4, 1), "the connection was closed"),
    row(
        "half-closed within the body",
        &[HalfClose("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")],
        (3, 0, 4, 1),
        "the connection was closed",
    ),
    row("closed after each answer", &[Close(OK), Close(OK), Close(OK)], (3, 0, 3, 0), ""),
    row(
        "an answer that is not HTTP",
        &[Close("SSH-2.0-nothing\r\n\r\n")],
        (3, 0, 4, 1),
        "the answer is not HTTP",
    ),
    row(
        "200 with an error in its body",
        &[Answer("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{\"success\":false}")],
        (3, 0, 3, 0),
        "",
    ),
    row(
        "200 with a web page",
        &[Answer("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")],
        (3, 0, 4, 1),
        "answered 200 with a web page",
    ),
    row(
        "200 with an endless body",
        &[Endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "9\r\nand so on\r\n")],
        (3, 0, 3, 0),
        "",
    ),
    row(
        "endless headers",
        &[Endless("HTTP/1.1 200 OK\r\n", "X-More: and so on\r\n")],
        (3, 0, 4, 1),
        "not HTTP",
    ),
    row(
        "400",
        &[Answer("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")],
        (2, 1, 3, 0),
        "answered 400",
    ),
    row(
        "413",
        &[Answer("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")],
        (2, 1, 3, 0),
        "answered 413",
    ),
    row(
        "302, not followed",
        &[Answer(
            "HTTP/1.1 302 Found\r\nLocation: https://u:p@elsewhere/sso?secret\r\nContent-Length: 0\r\n\r\n",
        )],
        (3, 0, 4, 0),
        "answered 302, a redirect to https://elsewhere/sso",
    ),
    row(
        "404",
        &[Answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")],
        (3, 0, 4, 0),
        "answered 404",
    ),
    row("410", &[Answer("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")], (3, 0, 4, 0), "answered 410"),
    row("422", &[Answer("HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n")], (2, 1, 3, 0), "answered 422"),
    row("408", &[Answer("HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n")], (3, 0, 4, 0), "answered 408"),
    row("500", &[Answer("HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n")], (3, 0, 4, 0), "answered 500"),
    row("501", &[Answer("HTTP/1.1 501 Never\r\nContent-Length: 0\r\n\r\n")], (3, 0, 4, 0), "answered 501"),
    row("a storm of 503", &[Answer(UNAVAILABLE); 12], (3, 0, 15, 0), "answered 503"),
];

#[tokio::test]
async fn every_cause_has_the_promised_outcome() {
    let mut runs = JoinSet::new();
    for (place, row) in TABLE.iter().enumerate() {
        runs.spawn(async move { (place, row, run(row).await) });
    }
    let mut runs = runs.join_all().await;
    runs.sort_by_key(|(place, ..)| *place);
    let mut table =
        String::from("cause | delivered | dead letters | attempts | duplicates | the relay tells\n");
    let mut wrong = Vec::new();
    for (_, row, (found, error)) in runs {
        let (delivered, dead, attempts, duplicates) = found;
        let line = format!("{} | {delivered} | {dead} | {attempts} | {duplicates} | {error}\n", row.cause);
        table.push_str(&line);
        if found != row.expected || !error.contains(row.error) {
            wrong.push(row.cause);
        }
    }
    println!("{table}");
    assert_eq!(wrong, [""; 0], "\n{table}");
}

async fn run(row: &'static Row) -> ((u64, u64, u64, usize), String) {
    let mut acts = row.acts.iter();
    let stand_in =
        StandIn::start("127.0.0.1:0", row.resets, move |_| acts.next().copied().unwrap_or(Answer(OK))).await;
    let mut delivery = Delivery::start(&format!("http://{}", stand_in.address));
    // One after another, so that a connection can be used again.
    for number in 1..=3_u64 {
        delivery.accept([(format!("u{number}"), number.to_string())]).await;
        delivery.until(|status| status.delivered + status.dead == number).await;
    }
    let status = delivery.until(|status| status.in_flight == 0).await;
    delivery.stop().await;
    let attempts = status.delivered + status.dead + status.retried;
    let error = status.last_error.as_deref().unwrap_or_default().to_owned();
    ((status.delivered, status.dead, attempts, stand_in.duplicates()), error)
}

/// A closed port, a name that does not resolve, a server without TLS: calls wait, and are delivered after the fault is fixed.
#[tokio::test]
async fn calls_wait_while_a_destination_cannot_be_reached() {
    let stand_in = StandIn::start("127.0.0.1:0", 0, |_| Answer(OK)).await;
    let plain = stand_in.address.clone();
    let (unused, (signed_by_itself, _tls)) = (free_address().await, tls::start().await);
    for (url, error) in [
        (format!("http://{unused}"), "could not connect"),
        (format!("https://{plain}"), "TLS failed"),
        (format!("https://{signed_by_itself}"), "TLS failed"),
        // Some resolvers are slow to report this.
        ("http://nowhere.invalid".to_owned(), ""),
    ] {
        let mut delivery = Delivery::start(&url);
        delivery.accept([("u1".to_owned(), "1".to_owned())]).await;
        let status = delivery.until(|status| status.retried >= 2).await;
        let last = status.last_error.as_deref().unwrap_or_default();
        assert!(status.dead == 0 && last.starts_with(error), "{url}: {status:?}");
        if url.ends_with(&unused) {
            let _there = StandIn::start(&unused, 0, |_| Answer(OK)).await;
            delivery.until(|status| status.delivered == 1).await;
        }
        delivery.stop().await;
    }
    assert_eq!(stand_in.calls(), [""; 0]);
}

async fn free_address() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// `Retry-After` in both forms, of one second each, delays every call to that destination.
#[tokio::test]
async fn a_requested_pause_is_kept() {
    for too_many in [
        "HTTP/1.1 429 Slow Down\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 429 Slow Down\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\nRetry-After: Tue, 14 Nov 2023 22:13:21 GMT\r\n\
         Content-Length: 0\r\n\r\n",
    ] {
        let mut acts = [Answer(too_many)].into_iter();
        let stand_in = StandIn::start("127.0.0.1:0", 0, move |_| acts.next().unwrap_or(Answer(OK))).await;
        let mut delivery = Delivery::start(&format!("http://{}", stand_in.address));
        let started = Instant::now();
        delivery.accept([("u1".to_owned(), "1".to_owned())]).await;
        let status = delivery.until(|status| status.retried == 1).await;
        assert_eq!(status.state, State::Paused);
        delivery.accept([("u2".to_owned(), "2".to_owned())]).await;
        delivery.until(|status| status.delivered == 2).await;
        assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());
        assert_eq!(stand_in.calls().len(), 3);
        delivery.stop().await;
    }
}

/// A refused key makes no dead letter and few calls, and every call is delivered after the key is fixed.
#[tokio::test]
async fn a_refused_key_is_waited_for() {
    let fixed = Arc::new(AtomicBool::new(false));
    let key = Arc::clone(&fixed);
    let stand_in = StandIn::start("127.0.0.1:0", 0, move |_| {
        let refused = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        Answer(if key.load(Ordering::Relaxed) { OK } else { refused })
    });
    let stand_in = stand_in.await;
    let mut delivery = Delivery::start(&format!("http://{}", stand_in.address));
    delivery.accept((0..100).map(|number| (format!("u{}", number % 20), number.to_string()))).await;
    let status =
        delivery.until(|status| status.state == State::CredentialsRefused && status.retried > 9).await;
    assert_eq!(status.reason(), Some("answered 401"));
    let probes = stand_in.calls().len();
    assert!(probes < 20, "{probes} calls with a refused key");
    fixed.store(true, Ordering::Relaxed);
    let status = delivery.until(|status| status.delivered == 100).await;
    assert_eq!((status.state, status.dead, stand_in.duplicates()), (State::Ok, 0, 0));
    delivery.stop().await;
}

/// `/readyz` of the public listener stays 200 and names no destination; the metrics show the state, and nothing that the
/// destination answered.
#[tokio::test]
async fn a_refused_key_is_shown() {
    let relay = TestRelay::usual().await;
    let refusal =
        Fault { status: Some(403), body: Some("u1 is unwelcome".to_owned()), times: 9, ..Fault::default() };
    relay.sandbox.faults().add(refusal).unwrap();
    let event = r#"{"type":"track","userId":"u1","event":"E","messageId":"m1"}"#;
    assert_eq!(relay.post("/segment", &[("x-api-key", "web-key")], event).await.status, 200);
    let mut status = relay.relay.destinations[0].clone();
    let refused = status.wait_for(|status| status.state == State::CredentialsRefused);
    drop(tokio::time::timeout(TEST_TIMEOUT, refused).await.expect("it is refused in time").unwrap());
    let ready = send(Method::GET, &relay.url("/readyz"), &[], "").await;
    assert_eq!(ready.status, 200);
    insta::assert_json_snapshot!(ready.json()["destinations"], @"null");
    let metrics = send(Method::GET, &format!("http://{}/metrics", relay.relay.admin_address), &[], "").await;
    let expected = r#"accoil_relay_destination_state{destination="accoil",state="credentials refused"} 1"#;
    assert!(metrics.text().lines().any(|line| line == expected), "{}", metrics.text());
    assert_eq!(send(Method::GET, &relay.url("/metrics"), &[], "").await.status, 404);
    relay.stop().await;
}

/// One user's fifty calls, many of them refused at first, arrive in order and delay no other user.
#[tokio::test]
async fn one_users_retries_keep_their_order_and_hold_up_nobody() {
    let (mut refusals, mut others) = (HashMap::new(), 0);
    let stand_in = StandIn::start("127.0.0.1:0", 0, move |body| {
        let Some(number) = body.strip_prefix("slow ").and_then(|number| number.parse::<u32>().ok()) else {
            others += 1;
            return Answer(OK);
        };
        let refused = refusals.entry(number).or_insert(0);
        *refused += 1;
        // The first call succeeds only after all the others: if they waited for it, nothing would ever arrive.
        let unlucky = if number == 0 { others < 200 } else { *refused <= number * 7 % 3 };
        Answer(if unlucky { UNAVAILABLE } else { OK })
    });
    let stand_in = stand_in.await;
    let mut delivery = Delivery::start(&format!("http://{}", stand_in.address));
    let slow: Vec<_> = (0..50).map(|number| format!("slow {number}")).collect();
    delivery.accept(slow.iter().map(|body| ("slow".to_owned(), body.clone()))).await;
    delivery.accept((0..200).map(|user| (format!("u{user}"), user.to_string()))).await;
    delivery.until(|status| status.delivered == 250).await;
    let mut arrived = stand_in.calls();
    arrived.retain(|body| body.starts_with("slow"));
    arrived.dedup();
    assert_eq!((arrived, stand_in.duplicates()), (slow, 0));
    delivery.stop().await;
}

/// A server whose certificate no authority signed.
mod tls {
    use std::sync::Arc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring::default_provider;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    pub(super) async fn start() -> (String, JoinSet<()>) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut greetings = JoinSet::new();
        greetings.spawn(async move {
            // One connection after another: each ends with the client's refusal.
            while let Ok((stream, _)) = listener.accept().await {
                let _ = acceptor.accept(stream).await;
            }
        });
        (address, greetings)
    }
}
