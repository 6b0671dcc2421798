//! The way to a destination: a name with a dead address, the proxies of the environment, an address where Accoil is not.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accoil_relay::deliver::{Endpoint, Resolver, State};
use accoil_relay::proxies::Proxies;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::Method;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::delivery::Delivery;
use super::stand_in::Act::Answer;
use super::stand_in::{OK, StandIn};
use crate::http::send;
use crate::relay::{Process, TEST_TIMEOUT, TestRelay, command};

/// Only the test's resolver and the proxy know this name.
const NAME: &str = "in.accoil.test";
const LIMIT: Duration = Duration::from_secs(10);
const TRACK: &str = r#"{"type":"track","userId":"u1","event":"Report Created","messageId":"m1"}"#;

fn one_call() -> [(String, String); 1] {
    [("u1".to_owned(), "1".to_owned())]
}

/// An address that never answers, because its queue of new connections is full.
struct BlackHole {
    _listener: TcpListener,
    _queue: JoinSet<()>,
}

impl BlackHole {
    async fn start(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut queue = JoinSet::new();
        for _ in 0..8 {
            queue.spawn(async move {
                let _held = TcpStream::connect(address).await;
                std::future::pending::<()>().await;
            });
        }
        // The queue is full when another connection does not get through.
        let full = async {
            while tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await.is_ok()
            {
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, full).await.expect("the queue fills");
        Self { _listener: listener, _queue: queue }
    }
}

fn resolver(addresses: Vec<SocketAddr>) -> Resolver {
    Resolver::new(tower::service_fn(move |_| {
        let addresses = addresses.clone();
        async move { Ok(addresses) }
    }))
}

/// Two addresses of one family, the first of them dead or refusing: the first attempt reaches the second one soon.
#[tokio::test]
async fn a_dead_first_address_is_skipped() {
    let stand_in = StandIn::start("127.0.0.1:0", 0, |_| Answer(OK)).await;
    let there: SocketAddr = stand_in.address.parse().unwrap();
    let dead = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 77).into(), there.port());
    let refusing = SocketAddr::new(Ipv4Addr::new(127, 0, 0, 78).into(), there.port());
    let _black_hole = BlackHole::start(dead).await;
    for addresses in [vec![dead, there], vec![refusing, there], vec![dead, refusing, there]] {
        let endpoint = Endpoint::new(&format!("http://{NAME}:{}", there.port())).unwrap();
        let endpoint = endpoint.with_resolver(resolver(addresses.clone()));
        let mut delivery = Delivery::within(LIMIT, endpoint);
        let started = Instant::now();
        delivery.accept(one_call()).await;
        let status = delivery.until(|status| status.delivered + status.retried > 0).await;
        println!("{addresses:?}: delivered after {:?}", started.elapsed());
        assert_eq!((status.delivered, status.retried), (1, 0), "{addresses:?}: {:?}", status.last_error);
        assert!(started.elapsed() < LIMIT / 2, "{:?}", started.elapsed());
        delivery.stop().await;
    }
}

/// A proxy for CONNECT and for whole URLs that requires the credentials `user:pass`.
struct Proxy {
    address: String,
    /// The request lines that came with the right credentials.
    seen: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Every CONNECT leads to this address.
    async fn start(leads_to: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (seen, mut tasks) = (Arc::<Mutex<Vec<String>>>::default(), JoinSet::new());
        let noted = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(proxy(stream, leads_to.clone(), Arc::clone(&noted)));
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn proxy(mut stream: TcpStream, leads_to: String, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(head) = read_request(&mut stream).await {
        let line = head.lines().next().unwrap_or_default().to_owned();
        if !head.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpwyxnz") {
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal).await.unwrap();
            continue;
        }
        seen.lock().unwrap().push(line.clone());
        if line.starts_with("CONNECT ") {
            let mut target = TcpStream::connect(&leads_to).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut target).await;
            return;
        }
        stream.write_all(OK.as_bytes()).await.unwrap();
    }
}

/// Reads the next request with its body and returns its head; `None` at the end.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if bytes.len() >= end + 4 + length.map_or(0, |length| length.trim().parse::<usize>().unwrap()) {
                return Some(head);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

fn proxies(variables: &[(&str, String)]) -> Proxies {
    Proxies::read(|wanted| {
        variables.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.as_str())
    })
}

/// An http destination: the proxy gets the whole URL; if it refuses the credentials, calls wait; `NO_PROXY` bypasses it.
#[tokio::test]
async fn an_http_destination_is_called_through_the_proxy() {
    let stand_in = StandIn::start("127.0.0.1:0", 0, |_| Answer(OK)).await;
    let proxy = Proxy::start(stand_in.address.clone()).await;
    let with_key = format!("http://user:pass@{}", proxy.address);
    let named = format!("http://{NAME}:8080/base");

    let endpoint = Endpoint::new(&named).unwrap().with_proxies(&proxies(&[("http_proxy", with_key.clone())]));
    let mut delivery = Delivery::within(LIMIT, endpoint.unwrap());
    delivery.accept((0..20).map(|number| (format!("u{number}"), number.to_string()))).await;
    delivery.until(|status| status.delivered == 20).await;
    delivery.stop().await;
    assert_eq!(proxy.seen(), vec![format!("POST http://{NAME}:8080/base/v2/track HTTP/1.1"); 20]);

    let wrong = proxies(&[("ALL_PROXY", format!("http://user:wrong@{}", proxy.address))]);
    for (url, reason) in [
        (named.as_str(), "answered 407"),
        ("https://in.accoil.test", "the proxy did not connect: tunnel error: proxy authorization required"),
    ] {
        let endpoint = Endpoint::new(url).unwrap().with_proxies(&wrong).unwrap();
        let mut delivery = Delivery::within(LIMIT, endpoint);
        delivery.accept(one_call()).await;
        let status = delivery.until(|status| status.retried > 0).await;
        assert_eq!((status.last_error.as_deref(), status.dead), (Some(reason), 0));
        delivery.stop().await;
    }

    let without = proxies(&[("HTTP_PROXY", with_key), ("NO_PROXY", "localhost,127.0.0.0/8".to_owned())]);
    let endpoint = Endpoint::new(&format!("http://{}", stand_in.address)).unwrap().with_proxies(&without);
    let mut delivery = Delivery::within(LIMIT, endpoint.unwrap());
    delivery.accept(one_call()).await;
    delivery.until(|status| status.delivered == 1).await;
    delivery.stop().await;
    assert_eq!((proxy.seen().len(), stand_in.calls().len()), (20, 1), "the last call went straight");
}

/// A server for `NAME` with TLS. It writes its certificate into the folder.
async fn secure_server(folder: &Path, seen: Arc<Mutex<Vec<String>>>) -> (String, JoinSet<()>) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).unwrap();
    let pem = BASE64_STANDARD.encode(cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
    std::fs::write(folder.join("roots.pem"), pem).unwrap();
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
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), Arc::clone(&seen));
            connections.spawn(async move { answer_all(acceptor.accept(stream).await.unwrap(), &seen).await });
        }
    });
    (address, tasks)
}

async fn answer_all(mut stream: impl AsyncRead + AsyncWrite + Unpin, seen: &Mutex<Vec<String>>) {
    while let Some(head) = read_request(&mut stream).await {
        seen.lock().unwrap().push(head.lines().next().unwrap_or_default().to_owned());
        stream.write_all(OK.as_bytes()).await.unwrap();
    }
}

/// The whole relay as a process: events and `test-connection` reach an https destination through CONNECT with credentials.
#[tokio::test]
async fn an_https_destination_is_called_through_a_tunnel() {
    let (directory, seen) = (tempfile::tempdir().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let (server, _server) = secure_server(directory.path(), Arc::clone(&seen)).await;
    let proxy = Proxy::start(server).await;
    let toml = format!(
        "[[sources]]\nname = \"web\"\nkind = \"segment\"\nwrite_key = \"web-key\"\n\
         [[destinations]]\nname = \"accoil\"\napi_key = \"accoil-key\"\nbase_url = \"https://{NAME}\"\n"
    );
    let environment = [
        ("HTTPS_PROXY", format!("http://user:pass@{}", proxy.address)),
        ("SSL_CERT_FILE", directory.path().join("roots.pem").display().to_string()),
    ];
    let mut serve = command();
    serve.arg("serve").envs(environment.clone());
    let process = Process::start_as(serve, directory.path(), &toml, "").await;
    let delivered = async {
        assert_eq!(process.post("/segment", &[("x-api-key", "web-key")], TRACK).await.status, 200);
        while seen.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(TEST_TIMEOUT, delivered).await;
    assert!(in_time.is_ok(), "{:?} {}", proxy.seen(), process.log());
    assert_eq!(proxy.seen(), [format!("CONNECT {NAME}:443 HTTP/1.1")]);
    assert_eq!(*seen.lock().unwrap(), ["POST /v2/track HTTP/1.1"]);

    let mut test = command();
    test.arg("test-connection").current_dir(directory.path()).envs(environment);
    let output = crate::child::output(test).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("answered 202"), "{printed}{output:?}");
    assert_eq!(proxy.seen().len(), 2, "test-connection takes the same way");
}

/// 2,000 calls to an address that answers 404 cost a few attempts and make no dead letter. Later all arrive in order.
#[tokio::test]
async fn a_wrong_address_costs_a_handful_of_tries_and_loses_nothing() {
    let right = Arc::new(AtomicBool::new(false));
    let is_right = Arc::clone(&right);
    let stand_in = StandIn::start("127.0.0.1:0", 0, move |_| {
        let wrong = "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot found";
        Answer(if is_right.load(Ordering::Relaxed) { OK } else { wrong })
    });
    let stand_in = stand_in.await;
    let mut delivery = Delivery::start(&format!("http://{}", stand_in.address));
    delivery.accept((0..2_000).map(|number| (format!("u{}", number % 40), format!("{number:04}")))).await;
    // Two attempts at the start, then one after each pause.
    let status = delivery.until(|status| status.retried >= 6).await;
    assert_eq!((status.state, status.reason(), status.dead), (State::CallsRefused, Some("answered 404"), 0));
    assert!(stand_in.calls().len() <= 8, "{} tries", stand_in.calls().len());
    right.store(true, Ordering::Relaxed);
    let tries = stand_in.calls().len();
    let status = delivery.until(|status| status.delivered == 2_000).await;
    assert_eq!((status.state, status.dead, status.failing_users), (State::Ok, 0, 0));
    let failures = status.counters.failures();
    assert_eq!(failures.first().and_then(|one| one.status), Some(404));
    let arrived = stand_in.calls().split_off(tries);
    for user in 0..40 {
        let of_user = |body: &&String| body.parse::<usize>().is_ok_and(|number| number % 40 == user);
        let mut theirs: Vec<_> = arrived.iter().filter(of_user).collect();
        theirs.dedup();
        assert!(theirs.is_sorted() && theirs.len() == 50, "u{user}: {theirs:?}");
    }
    delivery.stop().await;
}

/// The operator sees the reason, and where a redirect points, but not its secrets.
#[tokio::test]
async fn where_a_redirect_points_is_shown() {
    let stand_in = StandIn::start("127.0.0.1:0", 0, |_| {
        Answer(
            "HTTP/1.1 301 Moved\r\nLocation: https://new.example/v2?token=secret\r\nContent-Length: 0\r\n\r\n",
        )
    });
    let stand_in = stand_in.await;
    let toml = format!(
        "[[sources]]\nname = \"web\"\nkind = \"segment\"\nwrite_key = \"web-key\"\n\
         [[destinations]]\nname = \"accoil\"\napi_key = \"accoil-key\"\nbase_url = \"http://{}\"\n",
        stand_in.address
    );
    let relay = TestRelay::start(&toml).await;
    assert_eq!(relay.post("/segment", &[("x-api-key", "web-key")], TRACK).await.status, 200);
    let mut status = relay.relay.destinations[0].clone();
    let refused = status.wait_for(|status| status.state == State::CallsRefused);
    drop(tokio::time::timeout(TEST_TIMEOUT, refused).await.expect("it is refused in time").unwrap());
    let admin = |path: &str| format!("http://{}{path}", relay.relay.admin_address);
    let ready = send(Method::GET, &admin("/readyz"), &[], "").await.json();
    insta::assert_json_snapshot!(ready["destinations"], @r#"
    [
      {
        "name": "accoil",
        "reason": "answered 301, a redirect to https://new.example/v2",
        "state": "calls refused"
      }
    ]
    "#);
    let metrics = send(Method::GET, &admin("/metrics"), &[], "").await;
    let expected = r#"accoil_relay_destination_state{destination="accoil",state="calls refused"} 1"#;
    assert!(metrics.text().contains(expected), "{}", metrics.text());
    relay.stop().await;
}
